"""Words and punctuation marks: the units in which the book's examples are written.

The book counts tokens as an English reader would: words, punctuation apart, and the endings that an
apostrophe attaches ("It's" is "It" and "'s"; section 1.1, footnotes 1 and 3), which is how the Penn
Treebank cuts (Marcus et al. 1993). Every word is one row of the vocabulary, so a text always has
words outside it. Read next: wordpiece.py, which cuts those up instead.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import regex

from tinylm.errors import DataError
from tinylm.tokenizers.base import Tokenizer, numbered, utf8
from tinylm.writing import INSIDE, LETTER, UNSPACED

# In this order: a word before "n't" ("do" of "don't"); "n't"; other endings; numbers; letters of
# scripts without spaces, each a word; words, with hyphens inside; signs.
_WORD = rf"[[\p{{L}}--[{UNSPACED}]]{INSIDE}]+"
_UNIT = regex.compile(
    rf"""{_WORD}(?=[nN]['’][tT]\b)|[nN]['’][tT]\b|['’](?i:s|re|ve|ll|d|m)\b"""
    rf"""|\p{{N}}+(?:[.,]\p{{N}}+)*|{LETTER}{INSIDE}*"""
    rf"""|{_WORD}(?:-{_WORD})*|\S""",
    regex.V1,
)
_CUT = regex.compile(r"(?r)(?=\s)")  # no unit holds white space


def words_and_punctuation(text: str) -> list[str]:
    """The words and punctuation marks of a text, in order, without white space   (book 1.1).

    text     str
    returns  list of str: "It's amazing!" -> ["It", "'s", "amazing", "!"]
    """
    return _UNIT.findall(text)


class WordTokenizer(Tokenizer):
    """Words and punctuation marks get the ids 0, 1, ... in the order given; special tokens follow.

    words    list of distinct str
    special  names of special tokens
    unk      name of the special token that stands for every other word; added if it is not among
             them
    raises   DataError for a word given twice
    """

    kind = "word"

    def __init__(
        self, words: Sequence[str], special: Sequence[str] = (), unk: str = "<unk>"
    ) -> None:
        self.words, self.unk = list(words), unk
        special = numbered(special, len(self.words))
        special.setdefault(unk, len(self.words) + len(special))
        # Each word decodes with the space before it; `decode` takes the first one off.
        super().__init__([*(utf8(" " + word) for word in self.words), *map(utf8, special)], special)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = next(w for i, w in enumerate(self.words) if self._ids[w] != i)
            raise DataError(f"word {twice!r} is in the vocabulary twice; each may stand once")

    @classmethod
    def from_text(
        cls, text: str, most: int | None = None, special: Sequence[str] = (), unk: str = "<unk>"
    ) -> "WordTokenizer":
        """The tokenizer of the `most` most frequent words of a text (all of them by default)."""
        seen = Counter(words_and_punctuation(text))
        # Equally frequent words are sorted, so the ids do not depend on the order of the text.
        return cls(sorted(seen, key=lambda word: (-seen[word], word))[:most], special, unk)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of `text`, (T,) int32; a word outside the vocabulary is the unknown token."""
        unknown = self.special[self.unk]
        return np.array(
            [self._ids.get(word, unknown) for word in words_and_punctuation(text)], np.int32
        )

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """No word holds white space, so a text may be cut before any of it."""
        match = _CUT.search(text, start + 1, stop)
        if match:
            return match.start()
        return start

    def decode(self, ids: Sequence[int]) -> str:
        """The words with single spaces between; the white space of the text itself is lost."""
        return super().decode(ids).removeprefix(" ")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`."""
        return {
            "kind": self.kind,
            "words": self.words,
            "special": list(self.special),
            "unk": self.unk,
        }

    @classmethod
    def from_dict(cls, described: dict[str, str | list[str]]) -> "WordTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(described["words"], described["special"], described["unk"])
