"""A program and a lift in words are one computation, and its steps are what Python computes."""

import contextlib
import io
import re
from dataclasses import replace

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.programs import (
    VARIABLES,
    lift_items,
    program,
    program_items,
    solve_lift,
    solve_program,
    traced,
    values_of,
)
from tinylm.errors import ConfigError, DataError

START, MOVES = 2, [("+", 3), ("-", 4)]  # 2 + 3 = 5 and 5 - 4 = 1
TEXT = "x = 2\nx += 3\nx -= 4\nprint(x)"
WORDS = "A lift is on floor 2. It goes 3 up. It goes 4 down. On which floor is it?"


def printed(text):
    """What Python prints for a program."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(text, {})
    return out.getvalue().strip()


def test_a_computation_as_a_program_and_as_its_trace():
    assert values_of(START, MOVES) == [5, 1]
    assert program(START, MOVES) == TEXT
    assert traced(TEXT, [5, 1]) == "x = 2\nx += 3  # 5\nx -= 4  # 1\nprint(x)  # 1"
    # A wrong trace keeps the code.
    assert traced(TEXT, [0, 7]) == "x = 2\nx += 3  # 0\nx -= 4  # 7\nprint(x)  # 7"
    for values in ([], [5], [5, 1, 1]):
        with pytest.raises(DataError, match=f"{len(values)} values for a program of 2 moves"):
            traced(TEXT, values)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_python_prints_the_answer_of_every_program_and_of_its_trace(steps):
    for item in program_items(20, seed=steps, steps=steps):
        text = item.question.partition("\n")[2]
        assert printed(text) == printed(item.rationale) == item.answer == solve_program(item)
        # A line for the start, one for each move, one that prints; all but the first have values.
        lines = item.rationale.split("\n")
        assert len(lines) == steps + 2
        assert [("# " in line) for line in lines] == [False] + [True] * (steps + 1)
        assert text == "\n".join(line.partition("  # ")[0] for line in lines)


def test_a_lift_in_words():
    assert solve_lift(Item(WORDS)) == "1"
    assert solve_lift(Item(WORDS.replace("up", "down"))) == "-5"
    # A program, or a lift, that does nothing keeps the value.
    assert solve_lift(Item("A lift is on floor 6. On which floor is it?")) == "6"
    assert solve_program(Item("What does this program print?\nx = 6\nprint(x)")) == "6"


def test_the_steps_of_a_lift_lead_to_its_answer():
    signs = {"up": "+", "down": "-"}
    for item in lift_items(20, seed=1, steps=3):
        assert solve_lift(item) == item.answer
        steps = [step.split() for step in item.rationale.removesuffix(".").split(". ")]
        assert len(steps) == 3 and f"on floor {steps[0][0]}." in item.question
        for step, following in zip(steps, [*steps[1:], [item.answer]]):
            value, _, k, way, _, result = step
            assert values_of(int(value), [(signs[way], int(k))]) == [int(result)]
            assert following[0] == result


@pytest.mark.parametrize("make", [program_items, lift_items])
def test_all_moves_within_the_limits_occur_and_no_other(make):
    # From 0, 1 or 2 to one of the two others: 6 moves. Of 200 draws one is missed with probability
    # 6 (5/6)^200 < 1e-14.
    items = make(200, steps=1, top=2)
    assert {item.answer for item in items} == set("012")
    moves = {tuple(re.findall("[0-9]", item.rationale)[:3]) for item in items}
    assert moves == {
        (str(a), str(abs(b - a)), str(b)) for a in range(3) for b in range(3) if a != b
    }
    # With one floor beside it, a lift goes up and down in turn.
    assert {item.answer for item in make(50, steps=1, top=1)} == set("01")
    assert {item.answer for item in make(200)} == set("0123456789")


def test_items_differ():
    # A variable of 8 is missed by 200 draws with probability 8 (7/8)^200 < 1e-10.
    programs = program_items(200, steps=1)
    assert {item.rationale[0] for item in programs} == set(VARIABLES)
    assert len({item.question for item in lift_items(5)}) == 5
    assert lift_items(3, seed=1) != lift_items(3, seed=2)
    assert [item.task for item in (programs[0], lift_items(1)[0])] == ["programs", "lifts"]
    # Three moves, unless another number is given: a line each, and the first and the last.
    assert program_items(1)[0].rationale.count("\n") + 1 == 3 + 2
    assert lift_items(1)[0].question.count("It goes") == 3


@pytest.mark.parametrize("make", [program_items, lift_items])
def test_settings_that_make_no_computation(make):
    with pytest.raises(ConfigError, match="steps is 0"):
        make(1, steps=0)
    with pytest.raises(ConfigError, match="top is 0"):
        make(1, top=0)


def test_texts_that_are_no_computation_of_this_kind():
    item = Item(f"What does this program print?\n{TEXT}")
    assert solve_program(item) == "1"
    for old, new, message in (
        ("x -=", "x *=", "none of 2 forms"),
        ("x -=", "y -=", "changes another variable than 'x'"),
        ("print(x)", "print(y)", "prints another variable than 'x'"),
        ("print?\n", "return?\n", "not of the form"),
        (TEXT, "x = 4", "not of the form"),
    ):
        with pytest.raises(DataError, match=message):
            solve_program(replace(item, question=item.question.replace(old, new)))
    for old, new in (
        ("A lift", "A bird"),
        ("goes", "falls"),
        ("On which", "At which"),
        (" On which floor is it?", ""),
    ):
        with pytest.raises(DataError, match="form"):
            solve_lift(Item(WORDS.replace(old, new)))
