"""A program and a dial in words are one computation, and its steps are what Python computes."""

import contextlib
import io
from dataclasses import replace

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.programs import (
    VARIABLES,
    WAYS,
    dial_items,
    program,
    program_items,
    solve_dial,
    solve_program,
    traced,
    values_of,
)
from tinylm.errors import ConfigError, DataError

START, TURNS = 4, [("+", 5), ("-", 3)]  # 4 + 5 = 9 = 2 and 2 - 3 = -1 = 6 modulo 7
TEXT = "x = 4\nx = (x + 5) % 7\nx = (x - 3) % 7\nprint(x)"


def printed(text):
    """What Python prints for a program."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(text, {})
    return out.getvalue().strip()


def test_a_computation_as_a_program_and_as_its_trace():
    assert values_of(START, TURNS, 7) == [2, 6]
    assert program(START, TURNS, 7) == TEXT
    assert traced(TEXT, [2, 6]) == (
        "x = 4\nx = (x + 5) % 7  # 2\nx = (x - 3) % 7  # 6\nprint(x)  # 6"
    )
    # A wrong trace keeps the code.
    assert traced(TEXT, [0, 1]).endswith("% 7  # 1\nprint(x)  # 1")
    for values in ([], [2], [2, 6, 6]):
        with pytest.raises(DataError, match=f"{len(values)} values for a program of 2 turns"):
            traced(TEXT, values)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_python_prints_the_answer_of_every_program_and_of_its_trace(steps):
    for item in program_items(20, seed=steps, steps=steps):
        text = item.question.partition("\n")[2]
        assert printed(text) == printed(item.rationale) == item.answer == solve_program(item)
        # A line for the start, one for each turn, one that prints; all but the first have values.
        lines = item.rationale.split("\n")
        assert len(lines) == steps + 2
        assert [("# " in line) for line in lines] == [False] + [True] * (steps + 1)
        assert text == "\n".join(line.partition("  # ")[0] for line in lines)


def test_a_dial_in_words():
    question = (
        "A dial has the marks 0 to 6 and points to 4. Ada turns it 5 forward. Hugo turns it 3 "
        "back. Where does it point?"
    )
    assert solve_dial(Item(question)) == "6"
    # With ten marks nothing goes around: 4 + 5 - 3.
    assert solve_dial(Item(question.replace("0 to 6", "0 to 9"))) == "6"
    assert solve_dial(Item(question.replace("0 to 6", "0 to 8"))) == "6"  # 9 is 0, and 0 - 3 is 6
    assert solve_dial(Item(question.replace("0 to 6", "0 to 4"))) == "1"  # 9 is 4, and 4 - 3 is 1


@pytest.mark.parametrize("marks", [2, 7])
def test_the_steps_of_a_dial_lead_to_its_answer(marks):
    signs = {way: sign for sign, way in WAYS.items()}
    for item in dial_items(20, seed=1, steps=3, marks=marks):
        assert solve_dial(item) == item.answer
        steps = [step.split() for step in item.rationale.removesuffix(".").split(". ")]
        assert len(steps) == 3 and f"points to {steps[0][0]}." in item.question
        for step, following in zip(steps, [*steps[1:], [item.answer]]):
            value, _, k, way, _, result = step
            assert values_of(int(value), [(signs[way], int(k))], marks) == [int(result)]
            assert following[0] == result


def test_all_values_turns_and_variables_occur():
    # The rarest, a variable of 8, is missed by 200 draws with probability 8 (7/8)^200 < 1e-10.
    programs, dials = program_items(200, steps=1), dial_items(200, steps=1)
    for items in (programs, dials):
        assert {item.answer for item in items} == set("0123456")
    assert {item.rationale[0] for item in programs} == set(VARIABLES)
    assert {item.rationale.split("\n")[0][-1] for item in programs} == set("0123456")
    turned = {tuple(item.rationale.split()[2:4]) for item in dials}
    # No turn by nothing: 6 numbers, both ways.
    assert turned == {(str(k), way) for k in range(1, 7) for way in ("forward", "back")}
    assert len({item.question for item in dial_items(5)}) == 5
    assert dial_items(3, seed=1) != dial_items(3, seed=2)
    assert [item.task for item in (programs[0], dials[0])] == ["programs", "dials"]


@pytest.mark.parametrize("make", [program_items, dial_items])
def test_settings_that_make_no_computation(make):
    assert make(1, steps=1, marks=2)
    with pytest.raises(ConfigError, match="steps is 0"):
        make(1, steps=0)
    with pytest.raises(ConfigError, match="marks is 1"):
        make(1, marks=1)


def test_texts_that_are_no_computation_of_this_kind():
    item = Item(f"What does this program print?\n{TEXT}")
    assert solve_program(item) == "6"
    for old, new, message in (
        ("(x - 3)", "(x * 3)", "none of 2 forms"),
        ("x = (x - 3)", "y = (y - 3)", "changes another variable than 'x'"),
        ("print(x)", "print(y)", "prints another variable than 'x'"),
        ("print?\n", "return?\n", "not of the form"),
        (TEXT, "x = 4", "not of the form"),
    ):
        with pytest.raises(DataError, match=message):
            solve_program(replace(item, question=item.question.replace(old, new)))
    dial = dial_items(1)[0]
    for old, new in (
        ("A dial", "A clock"),
        ("turns", "moves"),
        ("Where does", "When does"),
        (" Where does it point?", ""),
    ):
        with pytest.raises(DataError, match="form"):
            solve_dial(replace(dial, question=dial.question.replace(old, new)))
