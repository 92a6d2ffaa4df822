"""Is this prose? Eight counts that tell text from menus, tables, lists of words and noise.

Gopher's quality rules (Rae et al. 2021, appendix A.1.1), each a pure function that returns True for a text to keep. The
thresholds are theirs, made for whole English web pages: for other texts give others. Book section 2.2.1. Read next:
repetition.py, the second half of Gopher's rules; classifier.py and ngram.py, which learn what good text is.
"""
import regex

STOP_WORDS = frozenset("the be to of and that have with".split())
_WORD = regex.compile(r"\S+")
_BULLETS = ("•", "‣", "▪", "●", "○", "-", "*", "·", "–")
_SYMBOL = regex.compile(r"#|\.\.\.|…")


def words_of(text):
    """What white space separates."""
    return _WORD.findall(text)


def _lines(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def word_count(least=50, most=100_000):
    """Between `least` and `most` words."""
    return lambda text: least <= len(words_of(text)) <= most


def mean_word_length(least=3, most=10):
    """Words of `least` to `most` characters on average: neither single letters nor run together."""
    def rule(text):
        words = words_of(text)
        return bool(words) and least <= sum(map(len, words)) / len(words) <= most
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
        words = words_of(text)
        return bool(words) and sum(any(c.isalpha() for c in word) for word in words) >= least * len(words)
    return rule


def has_stop_words(least=2, stop_words=STOP_WORDS):
    """At least `least` different ones of the words that no running English text does without."""
    return lambda text: len(stop_words & {word.strip(".,;:!?\"'()").lower() for word in words_of(text)}) >= least


def gopher_quality(least_words=50):
    """All the rules above: {name: rule}, with Gopher's thresholds.

    least_words  for documents shorter than web pages
    """
    return {"word count": word_count(least_words), "mean word length": mean_word_length(), "symbols": few_symbols(),
            "bullets": few_bullets(), "ellipses": few_ellipses(), "letters": alphabetic_words(), "stop words": has_stop_words()}
