"""One token for each byte of UTF-8: 256 tokens write every text there is, with nothing to train.

ByT5 (Xue et al. 2022) models text this way. The price is length: one token a byte, two to four for
a character outside ASCII. Read next: `bpe.py`, which starts here and merges.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.tokenizers.base import Tokenizer, numbered, utf8


class ByteTokenizer(Tokenizer):
    """The id of a byte is its value; special tokens follow from 256.

    special  names of special tokens
    """

    kind = "byte"

    def __init__(self, special: Sequence[str] = ()) -> None:
        special = numbered(special, 256)
        single_bytes = [bytes([value]) for value in range(256)]
        names = [utf8(name) for name in special]
        super().__init__(single_bytes + names, special)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of `text`, (T,) int32; `position` is where the text begins in a longer one, for
        error messages.
        """
        # The bytes are the ids: uint8 (T,) -> int32 (T,).
        return np.frombuffer(utf8(text, position), np.uint8).astype(np.int32)

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """No character shares a byte with its neighbor, so any position is a certain cut."""
        return stop

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`."""
        return {"kind": self.kind, "special": list(self.special)}

    @classmethod
    def from_dict(cls, described: dict[str, str | list]) -> "ByteTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(described["special"])
