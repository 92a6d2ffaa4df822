"""Filters of generated samples."""

import pytest

from tinylm.align.synthesis.filters import (
    FILTERS,
    begins_oddly,
    instruction_length,
    needs_other_media,
    output_repeats_input,
    too_similar,
    without_conflicts,
)
from tinylm.data.mix.instruction_mixture import filtered
from tinylm.data.read.instructions import Instruction


def sample(instruction, output="yes", given=""):
    return Instruction(instruction, output, given)


def test_an_instruction_has_4_to_150_words():
    complain = instruction_length()
    assert complain(sample("Sort the words")) == "instruction too short"
    assert complain(sample("Sort the words now")) is None
    assert complain(sample("a " * 150)) is None
    assert complain(sample("a " * 151)) == "instruction too long"
    assert instruction_length(2, 3)(sample("a b")) is None


def test_pictures_and_sound_are_nothing_for_a_model_of_text():
    assert needs_other_media(sample("Describe the Picture, please.")) == "needs other media"
    assert needs_other_media(sample("Mapping is fun.")) is None  # not the word "map"


@pytest.mark.parametrize(
    "text, complaint", [("Go", None), ("2 + 2", None), ("- go", "begins oddly")]
)
def test_an_instruction_begins_with_a_letter_or_a_digit(text, complaint):
    assert begins_oddly(sample(text)) == complaint
    assert begins_oddly(sample("")) == "begins oddly"


def test_an_output_is_not_the_input():
    assert output_repeats_input(sample("a", "x ", " x")) == "output repeats input"
    assert output_repeats_input(sample("a", "x", "y")) is None
    assert output_repeats_input(sample("a", "", "")) is None  # empty: another complaint


def test_similarity_is_rouge_l_with_any_instruction_and_the_limit_is_excluded():
    others = ["sort the words of a line"]
    complain = too_similar(others)
    # 5 of 6 and 6 words in common: 10 / 12 >= .7
    assert complain(sample("Sort all words of a line!")) == "too similar"
    assert complain(sample("add two numbers")) is None
    # 3 of 4 and 4 words: exactly the limit of .75
    assert too_similar(["a b c d"], 0.75)(sample("a b c e")) == "too similar"
    assert too_similar(["a b c d"], 0.76)(sample("a b c e")) is None
    # 7 of 10 and 10: the paper's limit itself
    ten = ["a b c d e f g h i j"]
    assert too_similar(ten)(sample("a b c d e f g x y z")) == "too similar"
    assert too_similar(ten)(sample("a b c d e f w x y z")) is None
    others.append("add two numbers")  # the list may grow
    assert complain(sample("add two numbers")) == "too similar"
    assert too_similar([])(sample("anything")) is None


def test_questions_with_two_answers_are_dropped_and_pairs_are_kept_once():
    a, again, other = sample("q", "1", "x"), sample("q", "1", "x"), sample("q", "2", "y")
    conflict = [sample("p", "1", "z"), sample("p", "2", "z"), sample("p", "2", "z")]
    kept, duplicates, conflicts = without_conflicts([a, conflict[0], other, again, *conflict[1:]])
    assert kept == [a, other] and (duplicates, conflicts) == (1, 3)


def test_the_usual_filters_count_what_they_drop():
    good = sample("Name a color of the sky.", "Blue.")
    bad = [
        sample("Go on."),
        sample("Draw a line from here."),
        sample("# Write a short poem."),
        sample("Name a color of the sky.", " "),
        sample("Name a color of the sky.", "Name a color of the sky."),
        sample("Repeat the word that follows.", "sky", "sky"),
    ]
    kept, reasons = filtered([*bad, good], *FILTERS)
    assert kept == [good]
    assert list(reasons) == [
        "instruction too short",
        "needs other media",
        "begins oddly",
        "empty answer",
        "answer repeats the question",
        "output repeats input",
    ]
