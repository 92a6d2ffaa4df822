"""One token for each character: the smallest vocabulary that a small alphabet allows.

Good for toy tasks and for nanoGPT's Shakespeare. The price: long sequences, and no way to write a
character that the vocabulary was not built with. Read next: `byte.py`, which can write anything.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import DataError
from tinylm.tokenizers.base import Tokenizer, numbered, utf8


class CharTokenizer(Tokenizer):
    """Characters get the ids 0, 1, ... in the order given; special tokens follow.

    characters  string of distinct characters
    special     names of special tokens
    unk         None: an unknown character is an error. A name such as "<unk>": it becomes that
                special token (added to the special tokens if it is not among them)
    raises      DataError for a character given twice
    """

    kind = "characters"

    def __init__(
        self, characters: str, special: Sequence[str] = (), unk: str | None = None
    ) -> None:
        special = numbered(special, len(characters))
        if unk is not None:
            special.setdefault(unk, len(characters) + len(special))
        super().__init__([*map(utf8, characters), *map(utf8, special)], special)
        self.characters, self.unk = characters, unk
        if len(set(characters)) != len(characters):
            twice = next(c for i, c in enumerate(characters) if c in characters[:i])
            raise DataError(f"character {twice!r} is in the vocabulary twice; each may stand once")
        points = _code_points(characters)
        unknown = -1
        if unk is not None:
            unknown = special[unk]
        # From code point to id, for all characters at once; the last entry serves every point
        # beyond the table.
        self._ids = np.full(int(points.max(initial=0)) + 2, unknown, np.int32)
        self._ids[points] = np.arange(len(points))

    @classmethod
    def from_text(
        cls, text: str, special: Sequence[str] = (), unk: str | None = None
    ) -> "CharTokenizer":
        """The tokenizer of the characters in `text`, in the order of their code points."""
        return cls("".join(sorted(set(text))), special, unk)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of `text`, (T,) int32; `position` is where the text begins in a longer one, for
        error messages.
        """
        points = _code_points(text)
        ids = self._ids[np.minimum(points, len(self._ids) - 1)]
        if self.unk is None and (ids < 0).any():
            at = int((ids < 0).argmax())
            raise DataError(
                f"character {text[at]!r} (U+{ord(text[at]):04X}) at position {position + at} is "
                f"not among the {len(self.characters)} of this tokenizer, in "
                f"{text[max(0, at - 12) : at + 12]!r}: {self._mend(text[at])}"
            )
        return ids

    def _mend(self, character):
        """What a user can do about an unknown character."""
        mend = "leave it out"
        if alike := _alike(character, self.characters):
            mend = f"write {alike!r} in its place"
        return (
            f"{mend}, or take a tokenizer that writes any character, as `tinylm train --tokenizer "
            "bpe` or bytes makes; in Python also unk='<unk>'"
        )

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """Characters are encoded one by one, so any position is a certain cut."""
        return stop

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`."""
        return {
            "kind": self.kind,
            "characters": self.characters,
            "special": list(self.special),
            "unk": self.unk,
        }

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> "CharTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(described["characters"], described["special"], described["unk"])


# Typographic marks, and what a keyboard has.
_MARKS = {
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "–": "-",
    "—": "-",
    "…": "...",
    "\t": " ",
    "\u00a0": " ",
}


def _alike(character, known):
    """What stands for a character in an alphabet: without its accent, in the other case, or the
    plain form of a typographic mark; "" for nothing.
    """
    plain = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    for other in (_MARKS.get(character, ""), plain, plain.lower(), plain.upper()):
        if other and set(other) <= set(known):
            return other
    return ""


def _code_points(text):
    """The code point of each character, (T,) uint32."""
    # UTF-32 is four bytes a character. A lone surrogate passes: it is an unknown character like
    # any other, with an error that names its position.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
