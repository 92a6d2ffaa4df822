"""Every number of the figure is the engine's, and the steps are the tape's."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.explore import AtHand, page
from tinylm.explore.expression import EXAMPLE, figures, traced
from tinylm.explore.formula import Formula

TEXTS = (EXAMPLE, "x * x + sin(x) / x", "sum(softmax(x @ w) * y)", "std(x)", "max(x) * mean(x)")


def array(shown):
    return np.array(shown["rows"]).reshape(shown["shape"])


@pytest.mark.parametrize("text", TEXTS)
def test_gradients_are_those_of_backward(text):
    data, formula = traced(Formula(text)), Formula(text)
    formula.run().backward()
    last = {}
    for step in data["steps"]:
        for send in step["sends"]:
            last[send["to"]] = send.get("total")
    for place, leaf in enumerate(formula.leaves.values()):
        assert data["nodes"][place]["name"] == leaf.name
        np.testing.assert_array_equal(array(last[place]), leaf.grad.numpy())


@pytest.mark.parametrize("text", TEXTS)
def test_a_node_fires_once_with_all_that_was_sent_to_it(text):
    data = traced(Formula(text))
    fired = [step["node"] for step in data["steps"]]
    operations = [i for i, node in enumerate(data["nodes"]) if node["op"]]
    assert fired == sorted(fired, reverse=True) and set(fired) <= set(operations)
    arrived = {fired[0]: np.ones(data["nodes"][fired[0]]["value"]["shape"])}
    for step in data["steps"]:
        np.testing.assert_array_equal(array(step["gradient"]), arrived[step["node"]])
        for send in step["sends"]:
            arrived[send["to"]] = array(send["part"]) + arrived.get(send["to"], 0)
            if "total" in send:
                np.testing.assert_array_equal(array(send["total"]), arrived[send["to"]])


def test_a_value_that_is_read_twice_gets_two_parts():
    data = traced(Formula("x * x", {"x": 3}))
    sends = data["steps"][0]["sends"]
    assert [array(send["part"]).item() for send in sends] == [3, 3]
    assert array(sends[-1]["total"]).item() == 6 and "total" not in sends[0]


def test_the_rule_is_the_line_of_the_file():
    data = traced(Formula("sum(tanh(x) * y)"))
    rules = {node["op"]: node["rules"] for node in data["nodes"] if node["op"]}
    assert rules["tanh"][0]["text"] == "g * (1 - y * y)"
    assert [rule["text"] for rule in rules["mul"]] == ["g * b", "g * a"]
    path, line = rules["tanh"][0]["at"].split(":")
    assert path == "tinylm/autograd/primitives/elementwise.py" and int(line) > 0
    assert rules["sum"][0]["text"].startswith("def ")


def test_nan_and_infinity_are_shown_and_not_hidden():
    data = traced(Formula("log(x) + y / z", {"x": -1, "z": 0, "y": 1}))
    values = [node["value"]["rows"][0][0] for node in data["nodes"] if node["op"]]
    assert np.isnan(values[0]) and np.isposinf(values[1])


def test_a_result_that_is_no_scalar_names_the_mend():
    with pytest.raises(ConfigError, match=r"try sum\(x @ w\)"):
        traced(Formula("x @ w"))


# In the browser.


def picture(page):
    return page.locator("#expression-1 .stage").inner_html()


def test_stepping_there_and_back_restores_the_picture(open_page):
    opened = open_page(page("gradients", figures(AtHand()))).drawn()
    forward = opened.page.get_by_role("button", name="Step forward")
    whole = picture(opened.page)
    opened.page.get_by_role("button", name="First step").click()
    seen = [picture(opened.page)]
    while forward.is_enabled():
        forward.click()
        seen.append(picture(opened.page))
    assert len(seen) == 12  # the start, 5 operations, the seed, 5 rules
    assert len(set(seen)) == 12 and seen[-1] == whole  # what a reader sees at first
    for before in seen[-2::-1]:
        opened.page.keyboard.press("ArrowLeft")
        assert picture(opened.page) == before
    assert opened.complaints == []


def test_two_figures_do_not_meet(open_page):
    two = figures(AtHand()) + figures(AtHand(expression="x * x"))
    opened = open_page(page("two", two)).drawn()
    first = picture(opened.page)
    opened.page.locator("#expression-2").get_by_role("button", name="First step").click()
    assert picture(opened.page) == first


def test_the_table_holds_the_numbers_of_the_engine(open_page):
    formula = Formula(EXAMPLE)
    formula.run().backward()
    opened = open_page(page("gradients", figures(AtHand()))).drawn()
    opened.page.get_by_text("as a table").click()
    opened.page.locator("tbody tr th").first.wait_for()
    rows = opened.page.locator("details tbody tr").all_inner_texts()
    for row, (name, leaf) in zip(rows, formula.leaves.items()):
        title, *cells = row.split("\t")
        assert title == name
        for cell, expected in zip(cells, (leaf.data, leaf.grad.numpy())):
            found = [float(text.replace("−", "-")) for text in cell.split()]
            np.testing.assert_allclose(found, np.ravel(expected), rtol=1e-6)


def test_the_last_step_shows_the_gradients_of_the_engine(open_page):
    formula = Formula(EXAMPLE)
    formula.run().backward()
    opened = open_page(page("gradients", figures(AtHand()))).drawn()
    for name, leaf in formula.leaves.items():
        card = opened.page.locator(
            ".card.leaf", has=opened.page.locator(f".name:text-is('{name}')")
        )
        for kind, expected in (("value", leaf.data), ("gradient", leaf.grad.numpy())):
            cells = card.locator(f".of-{kind} td").all_inner_texts()
            found = [float(cell.replace("−", "-")) for cell in cells]
            np.testing.assert_allclose(found, np.ravel(expected), rtol=5e-3)  # three digits
