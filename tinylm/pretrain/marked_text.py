"""Text in which special ids have names: [MASK], [SEP], the sentinels [X], [Y], [Z], [X3], ...

A run's special ids follow those of its tokenizer, which therefore neither reads nor writes them.
Here a user can write "To be or [MASK]", and a model can answer "[X] not". Read first: special.py;
read next: generate/fill.py.
"""

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np

from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


# [MASK] as BERT has it, <mask> as RoBERTa and BART; <extra_id_0> is T5's first sentinel.
_NAMES = re.compile(r"\[MASK\]|<mask>|\[SEP\]|\[[XYZ]\]|\[X\d+\]|\[#\d+\]|<extra_id_\d+>")
MASKS = "[MASK]", "<mask>"


class MarkedText:
    """A tokenizer that also reads and writes the names of special ids.

    tokenizer   of the words; ids from its vocab_size on are special
    special     Special, or None where all special ids are the tokenizer's own
    """

    def __init__(self, tokenizer: "Tokenizer", special: Special | None) -> None:
        self.words, self.marks = tokenizer, special
        self.vocab_size = tokenizer.vocab_size
        if special is not None:
            self.vocab_size = special.vocab_size
        self.special = tokenizer.special
        # Tokens such as " not" have the space before a word, so a hidden token has it as well.
        self.spaces_lead = _spaces_lead(tokenizer)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, its names read as special ids: (T,) int64.

        A name that the vocabulary has no id for is plain text. One space before a mark is left out
        where tokens hold the space before their word.
        """
        parts, at = [], 0
        for found in _NAMES.finditer(text):
            mark = self.mark(found[0])
            if mark is None:
                continue
            before = text[at : found.start()]
            if self.spaces_lead and found[0] != "[SEP]":
                before = before.removesuffix(" ")
            parts += [self.words.encode(before), [mark]]
            at = found.end()
        parts.append(self.words.encode(text[at:]))
        return np.concatenate(parts).astype(np.int64)

    def mark(self, name: str) -> int | None:
        """The special id of a name, or None."""
        marks = self.marks
        if marks is None:
            if name in MASKS:  # whichever of the two the vocabulary has
                return next((self.special[one] for one in MASKS if one in self.special), None)
            return self.special.get(name)
        if name in MASKS:
            return marks.mask
        if name == "[SEP]":
            return marks.sep
        if name.startswith("<extra_id_"):
            number = int(name[len("<extra_id_") : -1])
            return next(iter(marks.sentinels[number : number + 1]), None)
        for i in (*marks.sentinels, *marks.others):
            if marks.name(i) == name:
                return i
        return None

    def is_special(self, i: int) -> bool:
        """True for an id that is no word."""
        if self.marks is None:
            return i in self.special.values()
        return i >= self.words.vocab_size

    def token_bytes(self, i: int) -> bytes:
        """The bytes of an id; of a special one its name, with a space on each side."""
        if self.marks is not None and i >= self.words.vocab_size:
            return f" {self.marks.name(int(i))} ".encode()
        return self.words.token_bytes(i)

    def decode(self, ids: np.ndarray) -> str:
        """Ids as text: words as the tokenizer writes them, special ids by their names, and bytes
        that are no character, such as a part of one, as \\xe2.
        """
        text = ""
        words = self.words.vocab_size
        for known, group in itertools.groupby(map(int, ids), lambda i: i < words):
            if known:
                group = list(group)
                piece = self.words.decode(group)
                if "\ufffd" in piece:
                    piece = self.words.decode_bytes(group).decode("utf-8", "backslashreplace")
                text += piece
            else:
                text += b"".join(map(self.token_bytes, group)).decode()
        return text


def _spaces_lead(tokenizer):
    """True if some token is a space and the letters behind it."""
    for i in range(tokenizer.vocab_size):
        piece = tokenizer.token_bytes(i)
        if len(piece) > 1 and piece[:1] == b" " and piece[1:].isalpha():
            return True
    return False
