"""Words of a text, in scripts with spaces between words and in scripts without.

White space separates words in most scripts. Chinese, Japanese, Thai, Lao, Khmer, Burmese and
Tibetan are written without spaces: there each letter counts as a word, because in search character
n-grams work about as well as a dictionary (Foo & Li 2004). A combining mark belongs to the letter
before it, a joiner to the letters around it. Read next: data/clean/words.py, which compares words.
"""

import functools
import unicodedata
from collections.abc import Callable, Iterable

import regex

# Scripts without spaces between words, as the members of a character class. The marks of long
# vowels in Japanese belong to no single script, so they are named.
UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tibetan}\u30fc\uff70"
)
LETTER = rf"[[{UNSPACED}]&&[\p{{L}}\p{{N}}]]"  # of a script without spaces
SPACED = rf"[[\p{{L}}\p{{N}}_]--[{UNSPACED}]]"  # of the others
INSIDE = r"[\p{M}\u200c\u200d\u00ad\u2060]"  # marks and joiners, which do not end a word
WORD = rf"{LETTER}{INSIDE}*|{SPACED}(?:{SPACED}|{INSIDE})*"

_LETTER = regex.compile(LETTER, regex.V1)
_MANY_MARKS = regex.compile(r"(\p{M}{30})(?=\p{M})")


def stream_safe(text: str) -> str:
    """`text` with a joiner (U+034F) after every 30th mark on one letter (UAX #15, section 13).

    Normalizing sorts the marks of a letter, in time that grows with the square of their number;
    no letter of any language has 30.
    """
    return _MANY_MARKS.sub("\\1\u034f", text)


def composed(text: str) -> str:
    """`text` in normal form NFC, one spelling for each letter with its marks, in linear time."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", stream_safe(text))


def is_unspaced(word: str) -> bool:
    """True if a word is in a script without spaces, and so a single letter."""
    return _LETTER.match(word) is not None


def has_unspaced(text: str) -> bool:
    """True if a text contains a letter of a script without spaces."""
    return _LETTER.search(text) is not None


def replaced(text: str, known: Iterable[str], other: Callable[[str], str | None]) -> str:
    """`text` with some words replaced.

    known    the words that may be replaced, in the form of `composed`: in a script without spaces,
             the longest of them that matches is the word
    other    word of the text, composed -> its replacement, or None to keep it
    """

    def of_match(match):
        found = other(composed(match[0]))
        if found is None:
            return match[0]
        return found

    return _words_and(frozenset(filter(is_unspaced, known))).sub(of_match, text)


@functools.lru_cache(maxsize=16)
def _words_and(known):
    """The pattern of the words of a text, with known words of scripts without spaces first."""
    # Alternatives are tried in order, so the longest word must come first.
    longest = sorted(known, key=lambda word: (-len(word), word))
    return regex.compile("|".join([*map(regex.escape, longest), WORD]), regex.V1)
