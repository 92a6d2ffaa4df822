"""Calls in a text: found, read, nested, refused with a reason, and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.prompt.tools.markers import (
    Marker,
    find_marker,
    format_marker,
    inert,
    is_name,
    open_marker,
    parse_marker,
)

SEARCH = '{tool: web-search, query: "2028 Olympics"}'  # V-73
POOL = "{tool: calculator, expression: 10 * 4 * 2}"  # V-74


def test_the_calls_of_the_book():
    text = f"Information is given as follows: {SEARCH} So {POOL}"
    first = find_marker(text)
    assert first == Marker("web-search", {"query": "2028 Olympics"}, 33, 33 + len(SEARCH))
    assert text[first.start : first.end] == SEARCH
    second = find_marker(text, first.end)
    assert (second.name, second.arguments) == ("calculator", {"expression": "10 * 4 * 2"})
    assert find_marker(text, second.end) is None and find_marker(text, 34) == second
    assert format_marker("web-search", {"query": "2028 Olympics"}) == SEARCH
    assert format_marker("calculator", {"expression": "10 * 4 * 2"}) == POOL


@pytest.mark.parametrize(
    "body, arguments",
    [
        ("", {}),
        (", q: Paris, France", {"q": "Paris, France"}),  # no argument follows the comma
        (", q: Paris, n: 3", {"q": "Paris", "n": "3"}),
        (" ,a:1 ,  b : 2 ", {"a": "1", "b": "2"}),
        (', q: "a, b: c}", n: 1', {"q": "a, b: c}", "n": "1"}),
        (r', q: "say \"hi\"\n\\ \d"', {"q": 'say "hi"\n\\ \\d'}),
        (', q: it"s', {"q": 'it"s'}),  # a quotation mark inside a text is itself
        (", q: {a: {b}} c", {"q": "{a: {b}} c"}),  # other braces must balance
        (", top-k: 3", {"top-k": "3"}),
        (', q: ""', {"q": ""}),
    ],
)
def test_arguments(body, arguments):
    text = f"{{tool: f{body}}}"
    assert find_marker(text + "} z") == Marker("f", arguments, 0, len(text))


@pytest.mark.parametrize(
    "text, fault",
    [
        ("{tool:}", "the name of a tool"),
        ("{tool: 3d}", "the name of a tool"),
        ("{tool: f x: 1}", "then a comma"),
        ("{tool: f,}", "'' is no argument"),
        ("{tool: f, 3 + 4}", "'3 \\+ 4' is no argument of the form name: value"),
        ("{tool: f, x: }", "x: it has no value"),
        ('{tool: f, x: "a" b}', "x: after a string"),
        ('{tool: f, x: "a",}', "'' is no argument"),
        ("{tool: f, x: 1, x: 2}", "x: the argument 'x' stands twice"),
    ],
)
def test_what_is_no_call_is_named(text, fault):
    import re

    found = find_marker(f"a {text} b")
    assert re.search(fault, found.fault) and (found.start, found.end) == (2, 2 + len(text))
    assert parse_marker(text).fault == found.fault


def test_a_call_does_not_go_past_its_line():
    text = 'a {tool: f, x: "1}\nb {tool: g}'
    found = find_marker(text)
    assert found == Marker("", {}, 2, 18, "it is not closed on its line")
    assert text[found.end :] == "\nb {tool: g}"  # the line break stays
    # A backslash does not take the end of the line into a string.
    found = find_marker('{tool: f, x: "1\\\nb {tool: g}')
    assert (found.start, found.end) == (0, 16) and found.fault == "it is not closed on its line"
    assert open_marker('{tool: f, x: "1\\') == 0
    found = find_marker("{tool: f, x: {tool: g\n")
    assert (found.start, found.end) == (0, 21)  # of open calls the outer one
    assert find_marker("{ \n {tool: g}").name == "g"  # other braces may


def test_of_calls_inside_each_other_the_inner_one_is_complete_first():
    text = "a {tool: f, x: {tool: g, y: 1} * 2} b"
    assert find_marker(text) == Marker("g", {"y": "1"}, 15, 30)
    assert find_marker("a {tool: f, x: 7 * 2} b").arguments == {"x": "7 * 2"}
    assert find_marker('{tool: f, x: "{tool: g}"}') == Marker("f", {"x": "{tool: g}"}, 0, 25)


@pytest.mark.parametrize(
    "text, start",
    [
        ("ab {tool: f", 3),
        ('ab {tool: f, x: "}', 3),
        ('ab {tool: f, x: "\\"}', 3),
        ("ab {tool: f, x: {}", 3),
        ("ab {tool: f, x: {tool: g", 3),
        ("{ab} {tool: f, x: } ", None),
        ("ab {tool f", None),
        ("}}{", None),
        ("{tool: f}", None),
    ],
)
def test_a_call_that_is_not_complete_is_open(text, start):
    assert open_marker(text) == start
    if start is not None:
        assert find_marker(text) is None


VALUES = st.text("ab1 .+,:\"\\{}\n'", max_size=8) | st.text("0123 +*()", max_size=8)


@given(st.dictionaries(st.sampled_from(["a", "b-c", "d_1"]), VALUES, max_size=3))
def test_a_call_that_was_written_is_read_back(arguments):
    text = format_marker("f", arguments)
    assert find_marker(text) == Marker("f", arguments, 0, len(text))
    for end in range(len(text)):  # and not before it is complete
        assert find_marker(text[:end]) is None


def test_numbers_are_written_without_quotation_marks():
    assert (
        format_marker("f", {"n": 3, "x": "-1.5", "y": "1,"}) == '{tool: f, n: 3, x: -1.5, y: "1,"}'
    )


def test_quotation_marks_outside_of_calls_are_text():
    assert find_marker('said: "a {tool: g} b"').name == "g"
    assert find_marker('said: "a {tool: g}').start == 9
    assert open_marker('said: "a {tool: g') == 9
    assert find_marker("x", 1) is None and open_marker('{ said: "a') is None


def test_a_space_separates_a_result_from_what_it_could_begin_a_call_with():
    for n in range(1, 6):
        start, rest = "{tool:"[:n], "{tool:"[n:]
        assert inert(f"{rest} f", f"a {start}") == f" {rest} f"
        assert inert(rest[0], start) == f" {rest[0]}"
        assert inert(f"a {start}") == f"a {start} "
        assert inert("x", start) == "x" and inert("", start) == "" and inert(rest, "a") == rest
    assert is_name("a-b_3") and not is_name("a.b") and not is_name("3a")


def test_no_call_begins_in_the_result_of_a_tool():
    assert inert("x {tool: f} {tool:g}") == "x {tool : f} {tool :g}"
    assert find_marker(inert(SEARCH)) is None
