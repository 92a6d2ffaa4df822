"""Ids that mean something of their own: [CLS], [MASK], sentinels and the like   (book section 1.2).

Corruptions never mask or replace them, and random replacements are never drawn from them. A
published vocabulary has them somewhere in its middle; one that has none gets them after its last
word. Read next: masked/masked.py.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinylm.errors import ConfigError

NAMES = "cls", "sep", "mask", "pad", "start", "end", "prefix", "suffix", "middle"


@dataclass(frozen=True)
class Special:
    """The special ids of a vocabulary; None for a kind that it does not have.

    vocab_size  V, with all of these
    cls, sep    [CLS] in front of what an encoder reads, [SEP] after every part of it
    mask, pad   [MASK] in place of what is hidden; what fills up short rows
    start, end  <s>, which a decoder reads first; </s>, which it predicts last
    prefix, suffix, middle  in front of the parts of a text whose middle is filled in
    sentinels   [X], [Y], ...: each stands for one span
    others      more ids that are no words
    """

    vocab_size: int
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None
    pad: int | None = None
    start: int | None = None
    end: int | None = None
    prefix: int | None = None
    suffix: int | None = None
    middle: int | None = None
    sentinels: tuple = ()
    others: tuple = ()

    @classmethod
    def after(cls, words: int, sentinels: int = 100, others: int = 0) -> "Special":
        """All of them, for a vocabulary of `words` ids that has none: numbered from `words` on."""
        first = words + len(NAMES)
        last = first + sentinels + others
        return cls(
            last,
            **{name: words + i for i, name in enumerate(NAMES)},
            sentinels=tuple(range(first, first + sentinels)),
            others=tuple(range(first + sentinels, last)),
        )

    def need(self, operation: str, *names: str) -> None:
        """Raise ConfigError unless the vocabulary has all of these."""
        # None and () are missing; the id 0 is not.
        missing = [name for name in names if getattr(self, name) in (None, ())]
        if missing:
            raise ConfigError(
                f"{operation}: the vocabulary has no special id for {', '.join(missing)}: "
                "give it one, as Special.after does"
            )

    @cached_property
    def ids(self) -> np.ndarray:
        """All special ids, sorted: (n,) int64."""
        single = [value for value in (getattr(self, name) for name in NAMES) if value is not None]
        return np.unique(np.array([*single, *self.sentinels, *self.others], np.int64))

    @cached_property
    def ordinary(self) -> np.ndarray:
        """All other ids, (V - n,) int64."""
        return np.setdiff1d(np.arange(self.vocab_size), self.ids)

    @cached_property
    def _table(self):
        return np.isin(np.arange(self.vocab_size), self.ids)

    def among(self, ids: np.ndarray) -> np.ndarray | bool:
        """Which of these ids are special: bool, of their shape."""
        return self._table[ids]

    def name(self, i: int) -> str:
        """The name of a special id: [MASK], <s>, [X]; None for a word."""
        for field in dataclasses.fields(self):
            if field.name in SHOWN and getattr(self, field.name) == i:
                return SHOWN[field.name]
        if i in self.sentinels:
            number = self.sentinels.index(i)
            if number < 3:
                return f"[{'XYZ'[number]}]"
            return f"[X{number}]"
        if i in self.others:
            return f"[#{self.others.index(i)}]"
        return None


SHOWN = {
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
    "pad": "[PAD]",
    "start": "<s>",
    "end": "</s>",
    "prefix": "[PRE]",
    "suffix": "[SUF]",
    "middle": "[MID]",
}
