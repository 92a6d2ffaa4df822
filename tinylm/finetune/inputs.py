"""From a task's texts to what an encoder reads   (book section 1.4, Fig. 1.5; Devlin et al. 2019).

    one text      [CLS] x_1 .. x_m [SEP]                    m + 2 tokens
    two texts     [CLS] x_1 .. x_m [SEP] y_1 .. y_n [SEP]   n + m + 3 tokens, the last of which has the index n + m + 2
    words         the same, and where each word begins: a label of a word belongs to its first piece

Rows of a batch are filled up with [PAD] at their ends. A vocabulary without [CLS] or [SEP] does
without them, which is how a GPT reads. Read next: tasks/heads.py, what is put on top of the
encoder; tasks/classify.py, the first tasks.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.discriminative.pairs import truncate_pair
from tinylm.pretrain.special import Special

# What tokenizers call their special tokens, most usual first.
CALLED = {
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>"),
    "pad": ("[PAD]", "<pad>"),
    "start": ("<s>", "<bos>"),
    "end": ("</s>", "<eos>", "<|endoftext|>"),
}
UNKNOWN = "[UNK]", "<unk>"


def special_of(tokenizer):
    """The special ids of a tokenizer, found by the names that are usual; what has another name is
    one of `others`.
    """
    found = {
        kind: next((tokenizer.special[name] for name in names if name in tokenizer.special), None)
        for kind, names in CALLED.items()
    }
    others = set(tokenizer.special.values()) - set(found.values())
    return Special(tokenizer.vocab_size, **found, others=tuple(sorted(others)))


def frame(special, first, second=None):
    """[CLS] first [SEP] or [CLS] first [SEP] second [SEP], without the marks that the vocabulary
    has not.

    first, second  integer sequences
    returns        ids (n,), segments (n,): 0 up to the first [SEP], 1 after it
    """
    mark = {
        name: [] if getattr(special, name) is None else [getattr(special, name)]
        for name in ("cls", "sep")
    }
    ids = [*mark["cls"], *first, *mark["sep"]]
    one = len(ids)
    if second is not None:
        ids += [*second, *mark["sep"]]
    return np.array(ids, np.int64), (np.arange(len(ids)) >= one).astype(np.int64)


@dataclass(frozen=True)
class EncoderInput:
    """How the texts of a task become rows of token ids.

    special    Special, with pad if rows differ in length
    tokenizer  encode(text) -> ids; None: texts are sequences of ids already
    limit      most tokens in a row, marks among them; of two texts the longer one loses its end
               first. None: no limit
    """

    special: Special
    tokenizer: object = None
    limit: int | None = None

    @classmethod
    def of(cls, tokenizer, limit=None):
        """The input of a tokenizer with special ids of its own, such as a WordPieceTokenizer.

        The tokenizer of an encoder that `tinylm train` made has none: they are those of
        train.families.family_of(config, tokenizer.vocab_size).special, and EncoderInput takes them
        beside the tokenizer.
        """
        return cls(special_of(tokenizer), tokenizer, limit)

    def ids(self, text):
        """The ids of one text, marks not among them: list of int. DataError for a str without a
        tokenizer.
        """
        if not isinstance(text, str):
            return [int(i) for i in text]
        if self.tokenizer is None:
            raise DataError(
                f"EncoderInput: the text {text[:30]!r} needs a tokenizer; without one, give ids"
            )
        return self.tokenizer.encode(text).tolist()

    def room(self, texts):
        """How many ids of so many texts fit beside the marks; None if any number does."""
        if self.limit is None:
            return None
        room = self.limit - (self.special.cls is not None) - texts * (self.special.sep is not None)
        if room < 0:
            raise ConfigError(
                f"EncoderInput: a limit of {self.limit} tokens has no room for the marks of {texts} text(s)"
            )
        return room

    def row(self, text):
        """One text, or a tuple of two -> ids (n,), segments (n,)."""
        if not isinstance(text, tuple):
            return frame(self.special, self.ids(text)[: self.room(1)])
        first, second = map(self.ids, text)
        room = self.room(2)
        return frame(
            self.special, *((first, second) if room is None else truncate_pair(first, second, room))
        )

    def rows(self, texts):
        """A list of texts, or of tuples of two texts, as a batch.

        returns  inputs (B, T), and {"mask": (B, T) bool, "segments": (B, T)}: the fields of a
                 TokenBatch; mask None if all rows are of one length
        """
        return self.padded([self.row(text) for text in texts])

    def padded(self, rows):
        """The same from a list of (ids, segments)."""
        if len({len(ids) for ids, _ in rows}) > 1:
            self.special.need("EncoderInput: rows of different lengths", "pad")
        ids, mask = pad_rows([ids for ids, _ in rows], self.special.pad or 0)
        segments, _ = pad_rows([segments for _, segments in rows], 0)
        return ids, {"mask": None if mask.all() else mask, "segments": segments}

    def pieces(self, words):
        """The ids of words, each cut on its own, and how many of them each word has: list of int,
        (m,) integers.

        A word without pieces (it may consist of control characters) is the unknown token. Ids may
        stand for words: each is then a word of one piece.
        """
        if not len(words) or not isinstance(words[0], str):
            return self.ids(words), np.ones(len(words), np.int64)
        cut = [self.ids(word) or self._unknown(word) for word in words]
        return [i for ids in cut for i in ids], np.array([len(ids) for ids in cut], np.int64)

    def _unknown(self, word):
        found = [self.tokenizer.special[name] for name in UNKNOWN if name in self.tokenizer.special]
        if not found:
            raise DataError(
                f"EncoderInput: the word {word!r} has no pieces, and the tokenizer no unknown token to stand for it"
            )
        return found[:1]

    def word_row(self, words, before=None):
        """[CLS] words [SEP], or [CLS] before [SEP] words [SEP], and where the words begin.

        words    list of str, or ids
        before   text in front of them, such as a question; it is never cut, the words lose their
                 end
        returns  ids (n,), segments (n,), first (k,): the place of the first piece of every word
                 whose first piece fits; k <= m
        raises   ConfigError if there is no room for any
        """
        ids, lengths = self.pieces(words)
        front = [] if before is None else self.ids(before)
        room = self.room(1 if before is None else 2)
        room = len(ids) if room is None else room - len(front)
        if len(words) and room < 1:
            raise ConfigError(
                f"EncoderInput: a limit of {self.limit} tokens leaves no room for a word: raise it"
            )
        first = np.cumsum(lengths) - lengths
        ids, first = ids[:room], first[first < room]
        row, segments = (
            frame(self.special, ids) if before is None else frame(self.special, front, ids)
        )
        start = len(row) - len(ids) - (self.special.sep is not None)
        return row, segments, start + first
