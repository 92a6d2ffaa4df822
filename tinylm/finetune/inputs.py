"""From a task's texts to what an encoder reads   (book section 1.4, Fig. 1.5; Devlin et al. 2019).

    one text      [CLS] x_1 .. x_m [SEP]                     m + 2 tokens
    two texts     [CLS] x_1 .. x_m [SEP] y_1 .. y_n [SEP]    m + n + 3 tokens
    words         the same, and the index of each word's first piece, which carries its label

Rows of a batch are padded with [PAD] at their ends. Where the vocabulary has no [CLS] or [SEP],
they are left out, as for a GPT. Read next: tasks/heads.py, what is put on top of the encoder;
tasks/classify.py, the first tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.discriminative.pairs import truncate_pair
from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


# The usual names of special tokens, most usual first.
CALLED = {
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>"),
    "pad": ("[PAD]", "<pad>"),
    "start": ("<s>", "<bos>"),
    "end": ("</s>", "<eos>", "<|endoftext|>"),
}
UNKNOWN = "[UNK]", "<unk>"


def special_of(tokenizer: "Tokenizer") -> Special:
    """The special ids of a tokenizer, found by their usual names; all others are `others`."""
    found = {}
    for kind, names in CALLED.items():
        ids = [tokenizer.special[name] for name in names if name in tokenizer.special]
        found[kind] = next(iter(ids), None)
    others = set(tokenizer.special.values()) - set(found.values())
    return Special(tokenizer.vocab_size, **found, others=tuple(sorted(others)))


def _if_any(mark):
    """The id of a mark as a list, empty where the vocabulary has none."""
    if mark is None:
        return []
    return [mark]


def frame(
    special: Special, first: Sequence[int], second: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    special        a mark that is None here is left out
    first, second  integer sequences
    returns        ids (n,), segments (n,): 0 up to the first [SEP], 1 after it
    """
    sep = _if_any(special.sep)
    ids = [*_if_any(special.cls), *first, *sep]
    end_of_first = len(ids)
    if second is not None:
        ids += [*second, *sep]
    segments = np.arange(len(ids)) >= end_of_first
    return np.array(ids, np.int64), segments.astype(np.int64)


@dataclass(frozen=True)
class EncoderInput:
    """How the texts of a task become rows of token ids.

    special    Special, with pad if rows differ in length
    tokenizer  encode(text) -> ids; None: texts are sequences of ids already
    limit      most tokens in a row, marks included; of two texts the longer one is cut first, at
               its end. None: no limit
    """

    special: Special
    tokenizer: object = None
    limit: int | None = None

    @classmethod
    def of(cls, tokenizer: "Tokenizer", limit: int | None = None) -> "EncoderInput":
        """The input of a tokenizer with special ids of its own, such as a WordPieceTokenizer.

        The tokenizer of an encoder that `tinylm train` made has none: they are those of
        config.special(tokenizer.vocab_size), and EncoderInput takes them beside the tokenizer.
        """
        return cls(special_of(tokenizer), tokenizer, limit)

    def ids(self, text: str | Sequence[int]) -> list[int]:
        """The ids of one text without marks: list of int. DataError for a str without tokenizer."""
        if not isinstance(text, str):
            return [int(i) for i in text]
        if self.tokenizer is None:
            raise DataError(
                f"EncoderInput: the text {text[:30]!r} needs a tokenizer; without one, give ids"
            )
        return self.tokenizer.encode(text).tolist()

    def room(self, texts: int) -> int | None:
        """The ids of `texts` texts that fit in a row beside the marks; None without a limit."""
        if self.limit is None:
            return None
        # one [CLS], and a [SEP] for each text, as far as the vocabulary has them
        room = self.limit - (self.special.cls is not None) - texts * (self.special.sep is not None)
        if room < 0:
            raise ConfigError(
                f"EncoderInput: a limit of {self.limit} tokens has no room for the marks of "
                f"{texts} text(s)"
            )
        return room

    def row(self, text: str | Sequence[int]) -> tuple[np.ndarray, ...]:
        """One text, or a tuple of two -> ids (n,), segments (n,)."""
        if not isinstance(text, tuple):
            return frame(self.special, self.ids(text)[: self.room(1)])
        first, second = map(self.ids, text)  # two sentences, or question and text
        room = self.room(2)
        if room is not None:
            first, second = truncate_pair(first, second, room)
        return frame(self.special, first, second)

    def rows(self, texts: Sequence) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
        """A list of texts, or of tuples of two texts, as a batch.

        returns  inputs (B, T), and {"mask": (B, T) bool, "segments": (B, T)}: the fields of a
                 TokenBatch; mask None if all rows are of one length
        """
        return self.padded([self.row(text) for text in texts])

    def padded(
        self, rows: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
        """A batch of (ids, segments) of any lengths; returns as rows()."""
        if len({len(ids) for ids, _ in rows}) > 1:
            self.special.need("EncoderInput: rows of different lengths", "pad")
        ids, mask = pad_rows([ids for ids, _ in rows], self.special.pad or 0)  # (B, T) twice
        segments, _ = pad_rows([segments for _, segments in rows], 0)
        if mask.all():
            mask = None  # nothing is padded, and attention without a mask is faster
        return ids, {"mask": mask, "segments": segments}

    def pieces(self, words: Sequence) -> tuple[list[int], np.ndarray]:
        """Each word tokenized by itself: ids (list of int), and the pieces of each word (m,).

        A word without pieces (it may consist of control characters) is the unknown token. Ids may
        stand for words: each is then a word of one piece.
        """
        if not len(words) or not isinstance(words[0], str):
            return self.ids(words), np.ones(len(words), np.int64)
        # word by word, so that a label can be given to the first piece of each
        cut = [self.ids(word) or self._unknown(word) for word in words]
        lengths = np.array([len(ids) for ids in cut], np.int64)
        return [i for ids in cut for i in ids], lengths

    def _unknown(self, word):
        found = [self.tokenizer.special[name] for name in UNKNOWN if name in self.tokenizer.special]
        if not found:
            raise DataError(
                f"EncoderInput: the word {word!r} has no pieces, "
                "and the tokenizer no unknown token to stand for it"
            )
        return found[:1]

    def word_row(
        self, words: Sequence, before: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[CLS] words [SEP], or [CLS] before [SEP] words [SEP], with the index of each word.

        words    list of str, or ids
        before   text in front of them, such as a question; never cut, unlike the words
        returns  ids (n,), segments (n,), first (k,): the index of the first piece of every word
                 whose first piece fits; k <= m
        raises   ConfigError if there is no room for any
        """
        ids, lengths = self.pieces(words)
        front, texts = [], 1
        if before is not None:
            front, texts = self.ids(before), 2
        room = self.room(texts)
        if room is None:
            room = len(ids)
        else:
            room -= len(front)
        if len(words) and room < 1:
            raise ConfigError(
                f"EncoderInput: a limit of {self.limit} tokens leaves no room for a word: raise it"
            )
        first = np.cumsum(lengths) - lengths  # (m,) index of each word's first piece among `ids`
        ids, first = ids[:room], first[first < room]
        if before is None:
            row, segments = frame(self.special, ids)
        else:
            row, segments = frame(self.special, front, ids)
        # the words end the row, with only a [SEP] behind them
        start = len(row) - len(ids) - (self.special.sep is not None)
        return row, segments, start + first
