"""What a word is, for every rule that knows words: found by script, compared in one form.

White space separates words in most scripts. Chinese, Japanese, Thai, Lao, Khmer, Burmese and
Tibetan are written without spaces: there each letter is a word of its own, as character n-grams
do about as well as a dictionary in search (Foo & Li 2004). A combining mark belongs to the letter
before it. Two words are the same if their NFKC forms are, without regard to case (Unicode's
UAX #15 and UAX #31). Read next: quality.py, dedup.py; generate/retrieval/bm25.py.
"""
import unicodedata

import regex

# Scripts without spaces between words, as the members of a character class. The marks of long
# vowels in Japanese belong to no single script, so they are named.
UNSPACED = (r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
            r"\p{Tibetan}\u30fc\uff70")
# Letters of the other scripts: what a name or an address must not go on with.
SPACED_WORD = rf"[\w--[{UNSPACED}]]"

_LETTER = rf"[[{UNSPACED}]&&[\p{{L}}\p{{N}}]]"
_OTHER = rf"[[\p{{L}}\p{{N}}_]--[{UNSPACED}]]"
_WORD = regex.compile(rf"{_LETTER}\p{{M}}*|{_OTHER}(?:{_OTHER}|\p{{M}})*", regex.V1)
# As it stands in the text: marks and punctuation stay with the letter before them.
_PIECE = regex.compile(rf"{_LETTER}[^\s\p{{L}}\p{{N}}]*|(?:(?!{_LETTER})\S)+", regex.V1)
_UNSPACED_LETTER = regex.compile(_LETTER, regex.V1)
_JOINERS = str.maketrans("", "", "\u200c\u200d\u00ad\u2060")

# Letters of a typical word where a word is not to be seen: Chinese and Japanese words have about
# two, words in alphabets such as Thai's about four.
_SHORT_WORDS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}]")

_MANY_MARKS = regex.compile(r"(\p{M}{30})(?=\p{M})")


def stream_safe(text):
    """`text` with a joiner (U+034F) after every 30th mark on one letter (UAX #15, section 13).

    Normalizing sorts the marks of a letter, in time that grows with the square of their number;
    no letter of any language has 30.
    """
    return _MANY_MARKS.sub("\\1\u034f", text)


def comparable(text):
    """`text` in the form in which words are compared: NFKC, case folded, without joiners."""
    folded = unicodedata.normalize("NFKC", stream_safe(text.translate(_JOINERS))).casefold()
    return unicodedata.normalize("NFC", folded)             # folding may take a letter apart again


def words(text):
    """The words of a text in their comparable form, without punctuation: list of str."""
    return _WORD.findall(comparable(text))


def words_of(text):
    """The words of a text as they stand in it, punctuation with them: list of str."""
    return _PIECE.findall(text)


def is_unspaced(word):
    """True if a word is of a script without spaces, so that it is one letter of a real word."""
    return _UNSPACED_LETTER.match(word) is not None


def mostly_unspaced(pieces):
    """True if most of the words are of scripts without spaces."""
    return 2 * sum(map(is_unspaced, pieces)) > len(pieces)


def pieces_per_word(pieces):
    """How many of these pieces a real word has: 1 where spaces stand between words, else 2 or 4."""
    if not mostly_unspaced(pieces):
        return 1
    short = sum(_SHORT_WORDS.match(piece) is not None for piece in pieces)
    return 2 if 2 * short > len(pieces) else 4
