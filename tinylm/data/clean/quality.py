"""Is this prose? Eight counts that tell text from menus, tables, lists of words and noise.

Gopher's quality rules (Rae et al. 2021, appendix A.1.1), each a pure function that returns True for
a text to keep. The thresholds are theirs, made for whole English web pages: for other texts give
others. Book section 2.2.1. Read next: repetition.py, the second half of Gopher's rules;
classifier.py and ngram.py, which learn what good text is.
"""

import regex

from tinylm.data.clean.words import mostly_unspaced, words, words_of
from tinylm.writing import is_unspaced

STOP_WORDS = frozenset("the be to of and that have with".split())
_BULLETS = ("•", "‣", "▪", "●", "○", "-", "*", "·", "–")
_SYMBOL = regex.compile(r"#|\.\.\.|…")


def _lines(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def word_count(least=50, most=100_000):
    """Between `least` and `most` words."""
    return lambda text: least <= len(words_of(text)) <= most


def mean_word_length(least=3, most=10):
    """Words of `least` to `most` characters on average: neither single letters nor run together.

    Where there are no spaces, nothing is known of the length of words: a text that is mostly in
    such scripts passes, in others the rule looks at the words between spaces alone.
    """

    def rule(text):
        found = words_of(text)
        if mostly_unspaced(found):
            return True
        spaced = [word for word in found if not is_unspaced(word)]
        return bool(spaced) and least <= sum(map(len, spaced)) / len(spaced) <= most

    return rule


def few_symbols(most=0.1):
    """At most `most` marks "#" and "..." for each word."""
    return lambda text: len(_SYMBOL.findall(text)) <= most * max(len(words_of(text)), 1)


def few_bullets(most=0.9):
    """At most this part of the lines begins with a bullet."""

    def rule(text):
        lines = _lines(text)
        return sum(line.startswith(_BULLETS) for line in lines) <= most * len(lines)

    return rule


def few_ellipses(most=0.3):
    """At most this part of the lines ends with an ellipsis: not a page of teasers."""

    def rule(text):
        lines = _lines(text)
        return sum(line.endswith(("...", "…")) for line in lines) <= most * len(lines)

    return rule


def alphabetic_words(least=0.8):
    """At least this part of the words has a letter in it."""

    def rule(text):
        found = words_of(text)
        with_letter = sum(any(c.isalpha() for c in word) for word in found)
        return bool(found) and with_letter >= least * len(found)

    return rule


def has_stop_words(least=2, stop_words=STOP_WORDS):
    """At least `least` different ones of the words that no running English text does without."""
    return lambda text: len(stop_words.intersection(words(text))) >= least


def gopher_quality(least_words=50):
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
