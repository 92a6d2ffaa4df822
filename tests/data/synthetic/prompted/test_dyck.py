"""Open brackets are closed, the last one first."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.dyck import (
    CLOSING,
    dyck_completion,
    dyck_items,
    dyck_prefix,
    dyck_trace,
    stacks,
)
from tinylm.errors import ConfigError, DataError


def test_the_examples_of_the_book():
    assert dyck_completion("[ {") == dyck_completion("[{") == "}]"
    assert dyck_completion(["<", "[", "["]) == "]]>"
    assert dyck_trace("[ {") == "0: empty stack\n1: [ ; stack: [\n2: { ; stack: [ {"
    assert dyck_trace("< [ [").splitlines() == [
        "0: empty stack",
        "1: < ; stack: <",
        "2: [ ; stack: < [",
        "3: [ ; stack: < [ [",
    ]


def test_a_trace_may_begin_at_another_number():
    assert dyck_trace("()", 3) == "3: empty stack\n4: ( ; stack: (\n5: ) ; stack: empty"


def test_a_closed_bracket_leaves_the_stack():
    assert stacks("([])(") == [("(",), ("(", "["), ("(",), (), ("(",)]
    assert dyck_trace("()").splitlines()[-1] == "2: ) ; stack: empty"
    assert dyck_completion("()") == dyck_completion("") == "" and stacks("") == []


@pytest.mark.parametrize("symbols", [")", "(]", "([)", "())", "(a", "x"])
def test_what_cannot_be_closed_is_refused(symbols):
    with pytest.raises(DataError, match="only the last open bracket"):
        dyck_completion(symbols)


def shrunk(text):
    """The text without pairs of neighboring brackets, again and again."""
    while (less := text.replace("()", "").replace("[]", "")) != text:
        text = less
    return text


@pytest.mark.parametrize("symbols", ["".join(four) for four in product("([)", repeat=4)])
def test_the_completion_makes_the_sequence_balanced(symbols):
    try:
        completion = dyck_completion(symbols)
    except DataError:
        # No continuation can balance it: of matched pairs removed, a closing bracket is left over.
        assert ")" in shrunk(symbols)
    else:
        assert shrunk(symbols + completion) == ""


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 4), st.integers(1, 4))
def test_a_prefix_keeps_to_its_difficulty(seed, length, depth, kinds):
    symbols = dyck_prefix(length, depth, kinds, generator(seed, "x"))
    heights = [len(stack) for stack in stacks(symbols)]
    assert len(symbols) == length and max(heights) <= depth and heights[-1] > 0
    assert set(symbols) <= {c for pair in list(CLOSING.items())[:kinds] for c in pair}


def test_every_prefix_of_three_can_occur():
    # Of one kind, with depth 2 and open at the end: (((  is too deep, so only ()( and (() remain.
    found = {dyck_prefix(3, 2, 1, generator(seed, "x")) for seed in range(40)}
    assert found == {"()(", "(()"}


def test_a_bracket_is_opened_or_closed_with_equal_chance():
    # After "(" a second symbol of three may do both.
    opened = sum(dyck_prefix(3, 3, 1, generator(seed, "x"))[1] == "(" for seed in range(400))
    assert abs(opened - 200) < 40  # four standard deviations of 10


def test_defaults_and_limits():
    items = dyck_items(40)
    assert {len(item.question.partition("Input: ")[2].split()) for item in items} == {6}
    assert {c for item in items for c in item.answer.split()} == set(CLOSING.values())
    assert max(len(item.answer.split()) for item in items) == 4
    # Up to four are open at once, also where some of them are closed again before the end.
    shown = [item.question.partition("Input: ")[2].split() for item in dyck_items(400)]
    assert max(len(stack) for symbols in shown for stack in stacks(symbols)) == 4
    for wrong in ({"length": 0}, {"depth": 1}, {"kinds": 0}, {"kinds": 5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            dyck_items(1, **wrong)
