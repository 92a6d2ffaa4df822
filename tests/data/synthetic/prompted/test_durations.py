"""A duration is the difference of two years that the text names."""

import re

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.durations import (
    FORMS,
    duration_items,
    solve_duration,
    sub_problems,
    years,
)
from tinylm.errors import ConfigError, DataError

QUESTION = "How long was the duration of the environmental study?"
CONTEXTS = [form.format(event="environmental study", start=2015, end=2020, number=3)
            for form in FORMS]  # fmt: skip


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_example_of_the_book(context):
    assert sub_problems(QUESTION, context) == [
        (
            "When did the environmental study start?",
            "The environmental study started in 2015.",
        ),
        (
            "When did the environmental study end?",
            "The environmental study ended in 2020.",
        ),
    ]
    assert solve_duration(Item(QUESTION, context=context)) == "5 years"


def test_one_year_is_no_plural_and_time_goes_forward():
    assert years(1999, 2000) == "1 year" and years(1999, 2001) == "2 years"
    for end in (1999, 1998):
        with pytest.raises(DataError, match="no duration"):
            years(1999, end)


def test_a_text_about_something_else_is_refused():
    for context in (
        CONTEXTS[0].replace("environmental study", "peace treaty"),
        "In 2015 it began.",
    ):
        with pytest.raises(DataError):
            solve_duration(Item(QUESTION, context=context))


def test_items_have_a_text_and_two_steps():
    items = duration_items(300, longest=2)
    assert {item.answer for item in items} == {"1 year", "2 years"}
    assert {int(item.answer.split()[0]) for item in duration_items(400)} == set(range(1, 31))
    # 3,000 draws of 100 first years and 98 numbers: one is missed with probability below 1e-10
    texts = " ".join(item.context for item in duration_items(3000, longest=1))
    starts = [int(year) for year in re.findall(r"(?:from|In|since) ([0-9]{4})", texts)]
    numbers = [int(n) for n in re.findall(r"(?:cost|staff of|ended,) ([0-9]+)", texts)]
    assert set(starts) == set(range(1900, 2000)) and set(numbers) == set(range(2, 100))
    assert duration_items(1, longest=1)[0].answer == "1 year"
    item = items[0]
    start, end = (
        int(answer.rstrip(".").split()[-1])
        for _, answer in sub_problems(item.question, item.context)
    )
    years_between = end - start
    assert item.rationale.endswith(
        f" {end}-{start}=<<{end}-{start}={years_between}>>{years_between}."
    )
    with pytest.raises(ConfigError, match="longest is 0"):
        duration_items(1, longest=0)
