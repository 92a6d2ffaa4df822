import re

import pytest

from tinylm import book
from tinylm.book import check, contents, facts
from tinylm.book.results import Result, Results
from tinylm.book.site import section


def maker(results=None):
    return section.Maker(
        check.repository(), results or Results(), lambda f, display: "<math ></math>"
    )


def row(**columns):
    blank = {"id": "X", "section": "2.1", "concept": "c", "symbol": "-", "test": "-", "script": "-"}
    return book.Row(**{**blank, **columns})


def shown(one, maker):
    return section.concept(maker, facts.facts(one, maker.root), {})


def test_texts_of_the_index_are_escaped():
    text = shown(row(concept="a <b>: x & `y<z`"), maker())
    assert "a &lt;b&gt;" in text and "x &amp; <code>y&lt;z</code>" in text
    assert "<b>" not in text


def test_code_is_shown_once_on_a_page():
    one = row(symbol="tinylm.backend:Random.child")
    two = row(id="Y", symbol="tinylm.backend:Random.child")
    made = maker()
    known = {r.id: facts.facts(r, made.root) for r in (one, two)}
    part = contents.Section("2.1", "T", [one, two], [])
    text = section.section_page(made, [part], known)
    assert text.count("<pre") == 1
    assert 'Code: above, at <a href="#X">X</a>' in text


def test_short_code_of_the_first_symbol_is_open():
    text = shown(row(symbol="tinylm.backend:Random.child tinylm.backend:Random"), maker())
    assert re.findall(r"<details class=code( open)?>", text) == [" open", ""]


def test_a_symbol_that_is_gone_is_said_to_be_gone():
    assert "has no &#x27;nothing&#x27;" in shown(row(symbol="tinylm.backend:nothing"), maker())


def test_results_are_shown_where_they_are_recorded_and_nowhere_else():
    test = "tests/nn/test_norm.py::test_mean_is_zero"
    recorded = Results()
    recorded.tests[test] = Result("passed", "2 cases, 0.10 s", "2026-11-30")
    recorded.gradients["softmax"] = Result("failed", "error", "2026-11-30")
    one = row(
        test=f"{test}[a-b] tests/nn/test_norm.py::test_other", symbol="tinylm.autograd:softmax"
    )
    text = shown(one, maker(recorded))
    assert text.count('class="result passed"') == 1 and text.count('class="result failed"') == 1
    assert "2 cases, 0.10 s, 2026-11-30" in text
    assert 'class="result' not in shown(one, maker())


@pytest.mark.parametrize(
    "test, words",
    [
        ("tests/a.py::test_softmax_sums_to_one", "softmax sums to one"),
        ("tests/a.py::TestA::test_b[x::y_z]", "b"),
        ("tests/a.py", ""),
    ],
)
def test_the_name_of_a_test_is_a_sentence(test, words):
    assert section.sentence(test) == words


def test_a_script_has_its_claim_verdict_and_page():
    made = maker()
    text = shown(row(script="scripts/engine_tour.py tinylm"), made)
    assert "Verdict: exact" in text and 'href="script-engine_tour.html"' in text
    assert made.scripts == {"scripts/engine_tour.py": ["X"]}


def test_pictures_are_named_in_the_site_and_left_to_the_build(tmp_path):
    made = maker()
    picture = tmp_path / "loss_by_step.svg"
    text = section.figures(made, (picture,))
    (file,) = made.figures.values()
    assert f'src="{file}"' in text and 'alt="loss by step"' in text
