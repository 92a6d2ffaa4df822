"""Redundant words are marked, and what is left means the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.verbose import (
    ADJECTIVES,
    ADVERBS,
    AFTER,
    BEFORE,
    Verbose,
    marked,
    meaning,
    shortened,
    verbose_instruction,
    verbose_items,
)
from tinylm.errors import ConfigError, DataError

LONG = "could you please carefully translate the following text into French if at all possible"


def test_an_example():
    one = marked(LONG)
    assert one.long == LONG and one.short == shortened(LONG) == "translate the text into French"
    kept = [word for word, gone in zip(one.words, one.redundant) if not gone]
    assert kept == one.short.split() and sum(one.redundant) == 9  # 3 + 1 + 1 + 4 words
    assert (
        meaning(LONG)
        == meaning(one.short)
        == (
            "translate",
            (("language", "French"), ("object", "text")),
        )
    )


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_the_marks_are_those_of_the_lists_and_the_meaning_stays(seed, redundancy):
    one = verbose_instruction(generator(seed, "x"), redundancy)
    assert marked(one.long) == one
    assert meaning(one.long) == meaning(one.short)
    assert marked(one.short).redundant == (False,) * len(one.short.split())


def test_different_instructions_mean_different_things():
    texts = ["translate the text into French", "translate the text into Arabic",
             "translate the story into French", "summarize the text in 10 words",
             "summarize the text in 20 words", "list the dates of the text",
             "classify the text as true or false"]  # fmt: skip
    assert len({meaning(text) for text in texts}) == len(texts)
    for other in ("translate the poem into French", "list the dates of the text text"):
        with pytest.raises(DataError, match="is no object of the grammar"):
            meaning(other)
    for other in ("translate the text", "sing", "summarize the text in ten words"):
        with pytest.raises(DataError, match="of none of 4 forms"):
            meaning(other)


def test_the_longest_phrase_is_marked():
    # "please" alone is redundant too, "could you" is not.
    assert marked("could you please go").redundant == (True, True, True, False)
    assert marked("could you go please").redundant == (False, False, False, True)
    assert Verbose(("a", "b"), (True, False)).short == "b"


def test_difficulty_is_the_share_of_redundant_phrases():
    assert all(item.question == item.answer for item in verbose_items(20, redundancy=0.0))
    assert verbose_items(1, redundancy=0.0)[0].rationale == "Redundant: nothing."
    full = [verbose_instruction(generator(seed, "x"), 1.0) for seed in range(300)]
    for phrases in (BEFORE, ADVERBS, ADJECTIVES, AFTER):
        assert all(any(f" {phrase} " in f" {one.long} " for phrase in phrases) for one in full)
        assert all(any(f" {phrase} " in f" {one.long} " for one in full) for phrase in phrases)
    # Of four places 70 % have a phrase by default: 2.8, standard deviation sqrt(0.84 / 400) = 0.046
    count = sum(
        f" {phrase} " in f" {item.question} "
        for item in verbose_items(400)
        for phrase in ("kindly", "please", "i would like you to", "your task is to", *ADVERBS,
                       *ADJECTIVES, *AFTER)
    )  # fmt: skip
    assert abs(count / 400 - 2.8) < 4 * 0.046
    numbers = {slots["number"] for one in full for slots in [dict(meaning(one.long)[1])]
               if "number" in slots}  # fmt: skip
    assert numbers == set(range(10, 101, 10))
    for redundancy in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="redundancy"):
            verbose_items(1, redundancy=redundancy)
