"""Is this prose? Counts that distinguish text from menus, tables, lists of words and noise.

Gopher's quality rules (Rae et al. 2021, appendix A.1.1), each a pure function that returns True for
a text to keep. The thresholds are theirs, made for whole English web pages; other texts need
others. Book section 2.2.1. Read next: repetition.py, the second half of Gopher's rules;
classifier.py and ngram.py, which learn what good text is.
"""

from collections.abc import Callable

import regex

from tinylm.data.clean.words import mostly_unspaced, words, words_of
from tinylm.writing import is_unspaced

STOP_WORDS = frozenset("the be to of and that have with".split())  # those of the paper
_BULLETS = ("•", "‣", "▪", "●", "○", "-", "*", "·", "–")
_SYMBOL = regex.compile(r"#|\.\.\.|…")


def _lines(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def word_count(least: int = 50, most: int = 100_000) -> Callable:
    """The rule that a text has `least` to `most` words."""
    return lambda text: least <= len(words_of(text)) <= most


def mean_word_length(least: int = 3, most: int = 10) -> Callable:
    """The rule that words have `least` to `most` characters on average.

    Words of scripts without spaces have no known length: a text mostly in such scripts passes, and
    in others only the words between spaces count.
    """

    def rule(text):
        found = words_of(text)
        if mostly_unspaced(found):
            return True
        spaced = [word for word in found if not is_unspaced(word)]
        return bool(spaced) and least <= sum(map(len, spaced)) / len(spaced) <= most

    return rule


def few_symbols(most: float = 0.1) -> Callable:
    """The rule that there are at most `most` marks "#" and "..." for each word."""
    # max: a text without words has at least the denominator 1.
    return lambda text: len(_SYMBOL.findall(text)) <= most * max(len(words_of(text)), 1)


# Below, shares are compared as counts, count <= share * all, which needs no case for all = 0.


def few_bullets(most: float = 0.9) -> Callable:
    """The rule that at most this share of the lines begins with a bullet."""

    def rule(text):
        lines = _lines(text)
        return sum(line.startswith(_BULLETS) for line in lines) <= most * len(lines)

    return rule


def few_ellipses(most: float = 0.3) -> Callable:
    """The rule that at most this share of the lines ends with an ellipsis, as teasers do."""

    def rule(text):
        lines = _lines(text)
        return sum(line.endswith(("...", "…")) for line in lines) <= most * len(lines)

    return rule


def alphabetic_words(least: float = 0.8) -> Callable:
    """The rule that at least this share of the words contains a letter."""

    def rule(text):
        found = words_of(text)
        with_letter = sum(any(c.isalpha() for c in word) for word in found)
        return bool(found) and with_letter >= least * len(found)

    return rule


def has_stop_words(least: int = 2, stop_words: frozenset[str] = STOP_WORDS) -> Callable:
    """The rule that at least `least` of the words are there that all English text contains."""
    return lambda text: len(stop_words.intersection(words(text))) >= least


def gopher_quality(least_words: int = 50) -> dict[str, Callable]:
    """All the rules above: {name: rule}, with Gopher's thresholds.

    least_words  for documents shorter than web pages
    """
    return {
        "word count": word_count(least_words),
        "mean word length": mean_word_length(),
        "symbols": few_symbols(),
        "bullets": few_bullets(),
        "ellipses": few_ellipses(),
        "letters": alphabetic_words(),
        "stop words": has_stop_words(),
    }
