"""The words of a text, for all rules on words: found by script, compared in one form.

In scripts without spaces each letter is a word of its own (writing.py). Two words are the same if
their NFKC forms are, without regard to case (Unicode's UAX #15 and UAX #31). Read next:
quality.py, dedup.py; generate/retrieval/bm25.py.
"""

import unicodedata
from collections.abc import Sequence

import regex

from tinylm.writing import LETTER, SPACED, UNSPACED, is_unspaced, stream_safe

# Letters of scripts with spaces: a name or an address ends only where none of them follows.
SPACED_WORD = rf"[\w--[{UNSPACED}]]"

_WORD = regex.compile(rf"{LETTER}\p{{M}}*|{SPACED}(?:{SPACED}|\p{{M}})*", regex.V1)
# A word as it is written: marks and punctuation belong to the letter before them.
_PIECE = regex.compile(rf"{LETTER}[^\s\p{{L}}\p{{N}}]*|(?:(?!{LETTER})\S)+", regex.V1)
_JOINERS = str.maketrans("", "", "\u200c\u200d\u00ad\u2060")

# Letters of a typical word in scripts without spaces: Chinese and Japanese words have about two,
# words in alphabets such as Thai's about four.
_SHORT_WORDS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}]")


def comparable(text: str) -> str:
    """`text` in the form in which words are compared: NFKC, case folded, without joiners."""
    folded = unicodedata.normalize("NFKC", stream_safe(text.translate(_JOINERS))).casefold()
    return unicodedata.normalize("NFC", folded)  # folding may take a letter apart again


def words(text: str) -> list[str]:
    """The words of a text in their comparable form, without punctuation: list of str."""
    return _WORD.findall(comparable(text))


def words_of(text: str) -> list[str]:
    """The words of a text as they are written, with their punctuation: list of str."""
    return _PIECE.findall(text)


def mostly_unspaced(pieces: Sequence[str]) -> bool:
    """True if most of the words are of scripts without spaces."""
    return 2 * sum(map(is_unspaced, pieces)) > len(pieces)


def pieces_per_word(pieces: Sequence[str]) -> int:
    """How many of these pieces make a word: 1 in scripts with spaces, else 2 or 4."""
    if not mostly_unspaced(pieces):
        return 1
    short = sum(_SHORT_WORDS.match(piece) is not None for piece in pieces)
    if 2 * short > len(pieces):
        return 2
    return 4
