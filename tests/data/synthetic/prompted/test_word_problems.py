"""Word problems are computed step by step from their text, and a step can be made wrong."""

import re

import pytest

from tinylm.data.read.gsm8k import ANNOTATION, gsm8k_fields
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.word_problems import (
    CHANGES,
    step,
    word_problem_items,
    worked,
    wrong_step,
)
from tinylm.errors import ConfigError, DataError

PROBLEM = (
    "Ada has 12 pens. Ada buys 3 more. Ada puts them into 5 equal boxes and keeps one box. "
    "How many pens does Ada have now?"
)


@pytest.mark.parametrize(
    "a, sign, b, line, result",
    [
        (8, "*", 2, "8*2=<<8*2=16>>16", 16),  # the first step of the book's first example
        (100, "-", 23, "100-23=<<100-23=77>>77", 77),  # of its third
        (77, "+", 10, "77+10=<<77+10=87>>87", 87),
        (8, "/", 2, "8/2=<<8/2=4>>4", 4),  # of its second
    ],
)
def test_a_step_is_annotated_as_in_gsm8k(a, sign, b, line, result):
    assert step(a, sign, b) == (line, result)


@pytest.mark.parametrize("b", [0, 5])
def test_a_division_has_no_remainder(b):
    with pytest.raises(DataError, match=f"12 cannot be split into {b} equal parts"):
        step(12, "/", b)


def test_a_problem_is_worked_from_its_text():
    assert worked(PROBLEM) == ("12+3=<<12+3=15>>15. 15/5=<<15/5=3>>3.", "3")
    more = PROBLEM.replace("buys 3 more", "loses 2 of them")
    assert worked(more) == ("12-2=<<12-2=10>>10. 10/5=<<10/5=2>>2.", "2")
    assert worked("Bo has 3 eggs. A year later there are 4 times as many. How many eggs does Bo "
                  "have now?") == ("3*4=<<3*4=12>>12.", "12")  # fmt: skip
    assert worked("Bo has 3 eggs. How many eggs does Bo have now?") == ("", "3")


@pytest.mark.parametrize(
    "old, new",
    [
        ("does Ada", "does Bo"),
        ("How many pens", "How many eggs"),
        ("Ada buys", "Bo buys"),
        ("buys 3 more", "eats 3 more"),
        ("How many", "How much"),
        (" Ada buys 3 more.", " Ada buys three more."),
        ("Ada has 12", "Ada had 12"),
    ],
)
def test_a_problem_of_another_form_is_refused(old, new):
    with pytest.raises(DataError):
        worked(PROBLEM.replace(old, new))


def test_the_solution_is_one_that_the_reader_of_gsm8k_takes_apart():
    for item in word_problem_items(30):
        record = {"question": item.question, "answer": f"{item.rationale}\n#### {item.answer}"}
        assert gsm8k_fields(record)["answer"] == item.answer
        found = ANNOTATION.findall(item.rationale)
        assert found[-1][1] == item.answer
        # Each step begins with the result of the one before.
        for (_, result), (expression, _) in zip(found, found[1:]):
            assert re.match("[0-9]+", expression)[0] == result


@pytest.mark.parametrize("steps", [1, 6])
def test_difficulty_is_the_number_of_steps(steps):
    for item in word_problem_items(40, steps=steps, largest=2):
        assert len(ANNOTATION.findall(item.rationale)) == steps and int(item.answer) >= 1
    assert len(ANNOTATION.findall(word_problem_items(1)[0].rationale)) == 3
    for wrong in ({"steps": 0}, {"largest": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            word_problem_items(1, **wrong)


def test_numbers_stay_small_and_every_change_occurs():
    items = word_problem_items(300, steps=4)
    results = [int(result) for item in items for _, result in ANNOTATION.findall(item.rationale)]
    # 144 from a multiplication, and up to 20 more with each of three additions
    assert min(results) >= 1 and max(results) <= 144 + 3 * 20
    texts = " ".join(item.question for item in items)
    assert all(form.partition("} ")[2].partition(" {")[0] in texts for form in CHANGES)
    starts = {int(re.search("has ([0-9]+)", item.question)[1]) for item in items}
    assert starts == set(range(2, 21))  # 300 draws of 19 numbers: one is missed once in 600,000


@pytest.mark.parametrize(
    "pattern, numbers",
    [
        ("(?:buys|finds) ([0-9]+) more", {1, 2, 3}),  # up to `largest`
        ("are ([0-9]+) times", {2, 3, 4, 5}),
        ("into ([0-9]+) equal", {2, 3, 4, 5}),
        ("(?:gives|loses) ([0-9]+) of", {1, 2, 3, 4}),
    ],
)
def test_the_numbers_of_every_change(pattern, numbers):
    texts = " ".join(item.question for item in word_problem_items(600, largest=3))
    found = {int(number) for number in re.findall(pattern, texts)}
    if "gives" in pattern:
        assert found >= numbers  # up to one less than there are
    else:
        assert found == numbers


def test_a_wrong_step_ends_the_solution_with_a_wrong_number():
    rationale = "So 12+3=<<12+3=15>>15. Then 15/5=<<15/5=3>>3."
    wrong = [wrong_step(rationale, 0, generator(seed, "x")) for seed in range(200)]
    found = {re.fullmatch(r"So 12\+3=<<12\+3=(-?\d+)>>\1", text)[1] for text in wrong}
    # Off by 1 to 9 in both directions, never right: one of 18 is missed once in 5,000 seeds.
    assert found == {str(15 + by) for by in range(-9, 10) if by}
    assert wrong_step(rationale, 1, generator(0, "x")).startswith(
        "So 12+3=<<12+3=15>>15. Then 15/5=<<15/5="
    )
    for number in (-1, 2):
        with pytest.raises(ConfigError, match=f"step {number} of a solution with 2 steps"):
            wrong_step(rationale, number, generator(0, "x"))
