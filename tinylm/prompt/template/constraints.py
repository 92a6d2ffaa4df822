"""Requirements that a text can be checked for: lengths, words, forms   (book sections 3.1.3 and
3.1.4.3).

"Do not exceed 500 words", "in no more than 50 words", "five characters per line": a prompt can
require it, only a check can tell. A constraint is a function from a text to a Check, so a list of
them is a specification. Read next: ../tasks/generation.py, which lets a model try again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinylm.errors import ConfigError

WORD_END = r"(?!\w|[+#]+(?!\w))"  # "C" ends before a comma, and not in C++ or C#


@dataclass(frozen=True)
class Check:
    """Whether a text meets one requirement.

    requirement  what is required, in words that can stand in a prompt
    met          bool
    found        what was found instead: a number, or the words that are missing
    """

    requirement: str
    met: bool
    found: object = None


def max_words(limit: int) -> Callable:
    """At most `limit` words, runs of characters without white space."""
    _check_limit("max_words", limit)

    def check(text):
        count = len(text.split())
        return Check(f"no more than {limit} words", count <= limit, count)

    return check


def min_words(limit: int) -> Callable:
    """At least `limit` words."""
    _check_limit("min_words", limit)

    def check(text):
        count = len(text.split())
        return Check(f"at least {limit} words", count >= limit, count)

    return check


def max_characters(limit: int) -> Callable:
    """At most `limit` characters, white space at the ends not counted."""
    _check_limit("max_characters", limit)

    def check(text):
        count = len(text.strip())
        return Check(f"no more than {limit} characters", count <= limit, count)

    return check


def must_mention(phrases: Sequence[str]) -> Callable:
    """Each of the phrases, as whole words, in capitals or not."""

    def check(text):
        # All that are missing are reported, not only the first.
        missing = [phrase for phrase in phrases if not mentions(text, phrase)]
        return Check(f"mention {', '.join(phrases)}", not missing, missing)

    return check


def must_not_mention(phrases: Sequence[str]) -> Callable:
    """None of the phrases."""

    def check(text):
        present = [phrase for phrase in phrases if mentions(text, phrase)]
        return Check(f"do not mention {', '.join(phrases)}", not present, present)

    return check


def mentions(text: str, phrase: str) -> bool:
    """True if the phrase stands in the text as whole words, in any case and spacing."""
    # No word border beside a mark, as in C++: look for letters around the phrase, and for marks
    # that make another word of it.
    words = r"\s+".join(map(re.escape, phrase.split()))
    return re.search(rf"(?<!\w){words}{WORD_END}", text, re.IGNORECASE) is not None


def line_count(count: int) -> Callable:
    """Exactly `count` lines, empty ones not counted."""
    _check_limit("line_count", count)

    def check(text):
        found = len(_lines(text))
        return Check(f"exactly {count} lines", found == count, found)

    return check


def characters_per_line(count: int) -> Callable:
    """Exactly `count` letters or digits in every line: a five-character poem has 5.

    Marks and spaces are not counted, and lines without a letter are skipped.
    """
    _check_limit("characters_per_line", count)

    def check(text):
        # A Chinese character is alphanumeric, its punctuation is not.
        lengths = [sum(map(str.isalnum, line)) for line in _lines(text)]
        lengths = [length for length in lengths if length]
        # No line at all is no poem.
        met = bool(lengths) and all(length == count for length in lengths)
        return Check(f"{count} characters per line", met, lengths)

    return check


def one_of(choices: Sequence[str]) -> Callable:
    """The text is one of the choices and nothing else, to the letter."""

    def check(text):
        return Check(f"just one of: {', '.join(choices)}", text.strip() in choices, text.strip())

    return check


def matches(pattern: str, requirement: str) -> Callable:
    """The whole text is of a form.

    pattern      regular expression
    requirement  the same in words
    """

    def check(text):
        return Check(requirement, re.fullmatch(pattern, text.strip()) is not None, text.strip())

    return check


def unmet(text: str, constraints: Sequence[Callable]) -> list[Check]:
    """The checks that a text fails, in order: list of Check, empty if it meets them all."""
    checks = [constraint(text) for constraint in constraints]
    return [check for check in checks if not check.met]


def _lines(text):
    return [line for line in text.splitlines() if line.strip()]


def _check_limit(name, limit):
    if limit < 1:
        raise ConfigError(f"{name}: the limit is {limit}, and must be 1 or more")
