"""Requirements are checked at their limits."""

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt.template.constraints import (
    characters_per_line,
    line_count,
    matches,
    max_characters,
    max_words,
    mentions,
    min_words,
    must_mention,
    must_not_mention,
    one_of,
    unmet,
)


@pytest.mark.parametrize(
    "constraint, text, met, found",
    [
        (max_words(50), "word " * 50, True, 50),
        (max_words(50), "word " * 51, False, 51),
        (max_words(1), "", True, 0),
        (min_words(3), "one two  three", True, 3),
        (min_words(3), "one\ntwo", False, 2),
        (max_characters(4), " abcd\n", True, 4),
        (max_characters(4), "a bcd", False, 5),
        (must_mention(["sea level", "wind"]), "Wind; the sea\nlevel rose", True, []),
        (must_mention(["sea level", "wind"]), "windy seas", False, ["sea level", "wind"]),
        (must_not_mention(["cost"]), "It costs nothing.", True, []),
        (must_not_mention(["cost", "x"]), "No Cost.", False, ["cost"]),
        (line_count(2), "a\n\nb\n", True, 2),
        (line_count(2), "a\nb\nc", False, 3),
        (line_count(1), "", False, 0),
        (one_of(["yes", "no"]), " yes\n", True, "yes"),
        (one_of(["yes", "no"]), "Yes", False, "Yes"),
        (one_of(["yes", "no"]), "yes.", False, "yes."),
        (matches(r"\d+", "a number"), " 12 ", True, "12"),
        (matches(r"\d+", "a number"), "12a", False, "12a"),
    ],
)
def test_a_requirement_is_met_or_not(constraint, text, met, found):
    check = constraint(text)
    assert (check.met, check.found) == (met, found)


def test_a_poem_of_five_characters_per_line_is_counted_without_marks():
    # Four lines of five characters: own lines, not a poem of anyone.
    poem = "春雨洗新山，\n小河入古城。\n\n風吹花滿路，\n人笑鳥還鳴。\n"
    assert characters_per_line(5)(poem).found == [5, 5, 5, 5]
    assert unmet(poem, [characters_per_line(5), line_count(4)]) == []
    seven = characters_per_line(7)(poem)
    assert not seven.met and seven.requirement == "7 characters per line"
    assert not characters_per_line(5)("春雨洗新山\n小河").met
    assert not characters_per_line(5)("").met
    assert characters_per_line(3)("abc\n---\na1b!").met


def test_phrases_are_whole_words_in_any_case_and_spacing():
    assert mentions("Global  WARMING!", "global warming") and mentions("C++ code", "c++")
    assert not mentions("C++ and C#, or CC", "C") and mentions("C+C, C.", "C")
    assert not mentions("globally warming", "global warming")
    assert not mentions("unfair", "fair") and not mentions("fairness", "fair")
    assert mentions("(fair)", "fair")


def test_what_is_unmet_says_what_was_required():
    checks = unmet("a b c", [max_words(2), min_words(1), line_count(2), must_mention(["d", "a"])])
    assert [check.requirement for check in checks] == [
        "no more than 2 words",
        "exactly 2 lines",
        "mention d, a",
    ]
    assert min_words(4)("").requirement == "at least 4 words"
    assert max_characters(4)("").requirement == "no more than 4 characters"
    assert must_not_mention(["a", "b"])("").requirement == "do not mention a, b"
    assert one_of(["a", "b"])("").requirement == "just one of: a, b"
    assert matches("a", "the letter a")("").requirement == "the letter a"


@pytest.mark.parametrize(
    "make", [max_words, min_words, max_characters, line_count, characters_per_line]
)
def test_a_limit_is_at_least_one(make):
    make(1)
    with pytest.raises(ConfigError, match="the limit is 0, and must be 1 or more"):
        make(0)
