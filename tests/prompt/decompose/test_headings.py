"""Headings in all the forms that models write, and lines that are none."""

import pytest

from tinylm.prompt.decompose.headings import headings, point


def titles(text):
    """The titles in a text with "|" for line breaks."""
    return list(headings(text.split("|"))[0].values())


@pytest.mark.parametrize(
    "text",
    [
        "1. One|2. Two|3. Three",
        " 1) One|2) Two|3) Three",
        "1: One|2: Two|3: Three",
        "Section 1: One|SECTION 2. Two|section 3) Three",
        "Part 1 - One|Part 2 – Two|Chapter 3 — Three",
        "- Section 1: One|- Section 2: Two|- Section 3: Three",  # as SmolLM2 writes them
        "I. One|II. Two|III) Three",
        "## I. One|## II. Two|## III. Three",
        "**1. One**|**2. Two:**|**3. Three**:",
        "1. **One**|2. **Two**:|3. __Three__",
        "# One|# Two|# Three",
        "**One**|**Two:**|**Three**:",
        "__One__|__Two__:|__Three__",
    ],
)
def test_every_form_alone_is_read(text):
    assert titles(text) == ["One", "Two", "Three"]


def test_a_heading_stands_where_its_line_is():
    assert headings(["Outline", "1. One", "- a", "2. Two"]) == ({1: "One", 3: "Two"}, 4)
    assert headings(["# One", "", "# Two", "- a"]) == ({0: "One", 2: "Two"}, 4)
    assert headings(["words", "- a"]) == ({}, 2) and headings([]) == ({}, 0)


@pytest.mark.parametrize(
    "text, found",
    [
        # The title of the whole is no section.
        ("# All|1. One|2. Two", ["One", "Two"]),
        ("# All|## One|### a|### b|## Two", ["One", "Two"]),
        ("**All**|1. One|2. Two", ["One", "Two"]),
        ("**All**|# One|# Two", ["One", "Two"]),
        # Of numbers, words go before Roman, and Roman before Arabic.
        ("I. One|1. a|2. b|II. Two|1. c", ["One", "Two"]),
        ("Section 1: One|1. a|2. b|Section 2: Two|I. c", ["One", "Two"]),
        ("Section 1: One|I. a|Section 2: Two|II. b", ["One", "Two"]),
        # Numbers that begin again, or go on behind a heading, count points.
        ("## One|1. a|2. b|## Two|1. c", ["One", "Two"]),
        ("**One**|1. a|2. b|**Two**|3. c", ["One", "Two"]),
        ("## One|- a|## Two|1. b|2. c", ["b", "c"]),
        ("**I. One**|**A. a**|**B. b**|**II. Two**", ["One", "Two"]),
        ("**Part 1: One**|**Part 2: Two**|**Part 3: Three**", ["One", "Two", "Three"]),
        ("One:|1. a|2. b|Two:|1. c", []),
        ("1. One|  1. a|  2. b|2. Two|  1. c", ["One", "Two"]),
        ("1. One| 2. Two|   3. c", ["One", "Two"]),
        # Letters are no Roman numbers: C and D are 100 and 500, and X is 10.
        ("I. One|A. a|B. b|C. c|X. d|II. Two", ["One", "Two"]),
        ("XIV. Late", []),
    ],
)
def test_the_form_is_chosen_for_the_whole(text, found):
    assert titles(text) == found


def test_headings_have_one_number_each_from_1():
    assert titles("1. One|3. Three|2. Two") == ["One", "Two"]
    assert titles("2. Two|3. Three") == [] and titles("0. None|1. One") == ["One"]
    roman = "I II III IV V VI VII VIII IX X XI XII XIII XIV XV".split()
    assert len(titles("|".join(f"{number}. T" for number in roman))) == 15
    assert len(titles("|".join(f"{i}. T" for i in range(1, 31)))) == 30


def test_where_the_first_heading_comes_again_the_text_begins():
    lines = ["1. One", "2. Two", "", "1. One", "It begins.", "2. Two", "1. other"]
    assert headings(lines) == ({0: "One", 1: "Two"}, 3)
    assert headings(["**Section 1: One**", "Section 1: One"]) == ({0: "One"}, 1)


@pytest.mark.parametrize(
    "text",
    [
        "In 2020 it began.", "1.5 is a number", "1.One", "#one|#two", "# One", "**One**",
        "I think.", "Part 1 is short.", "**One** and|**Two** are bold", "# **|# **", "1. **|2. **",
        "One:|Two:",
    ],
)  # fmt: skip
def test_other_lines_are_no_headings(text):
    assert titles(text) == []


def test_bold_words_of_a_title_are_plain():
    assert titles("1. **One**: a *b* c|2. Two *b*") == ["One: a *b* c", "Two *b"]


@pytest.mark.parametrize(
    "line, text",
    [
        ("- a", "a"), ("  * a: ", "a"), ("• a", "a"), ("+ a", "a"), ("- **a** b", "a b"),
        ("1. a", "a"), ("12) a", "a"), ("(3) a", "a"), ("1.1 a", "a"), ("1.12.3. a", "a"),
        ("A. a", "a"), ("b) a", "a"), ("(c) a", "a"), ("iv. a", "a"), ("-a", None), ("1.5a", None),
        ("words", None), ("ab. c", None), ("", None),
    ],
)  # fmt: skip
def test_points_have_bullets_numbers_or_letters(line, text):
    assert point(line) == text
