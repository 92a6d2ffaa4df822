"""Pairs of sentences: does the second follow the first, and in this order?   (BERT, ALBERT; book
eqs. 1.17, 1.19)

    [CLS] It is raining . [SEP] I need an umbrella . [SEP]      IsNext
      0   0  0  0       0  0    1 1    1  1        1  1         segments

The class is told from the first position. BERT adds this loss to that of masked LM; RoBERTa left it
away, ALBERT asks for the order instead. Read next: masked/masked.py; models/encoder/encoder.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import cross_entropy
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import TokenBatch, as_rows, pad_rows
from tinylm.pretrain.masked.masked import MaskedLM, targets_at, without_padding
from tinylm.pretrain.score import masked_row_mean, score_rows
from tinylm.pretrain.special import Special

IS_NEXT, NOT_NEXT = 0, 1
IN_ORDER, SWAPPED = 0, 1


@dataclass(frozen=True)
class PairBatch(TokenBatch):
    """A TokenBatch of packed pairs with classes (B,); its loss is a mean over rows."""

    classes: np.ndarray = None

    @property
    def tokens(self):
        """How many rows there are: the loss is a mean over them."""
        return len(self)


def pack(special, first, second=None):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]   (book section 1.3.1).

    first, second  integer sequences
    returns        ids (n,), segments (n,): 0 up to the first [SEP], 1 after it
    """
    special.need("pack", "cls", "sep")
    ids = [special.cls, *first, special.sep]
    one = len(ids)
    if second is not None:
        ids += [*second, special.sep]
    return np.array(ids, np.int64), (np.arange(len(ids)) >= one).astype(np.int64)


def truncate_pair(first, second, room):
    """Both shortened to `room` tokens together, the longer one first, from its end   (BERT)."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


def next_sentence_pairs(documents, rng, count, p_negative=0.5):
    """Sentence pairs that follow each other in a document, or do not   (book section 1.2.2.3).

    documents  list of documents, each a list of sentences, each a sequence of ids; at least two
               documents
    rng        tinylm Random
    returns    list of (first, second, class); a negative is a sentence of another document that
               differs from the true next
    raises     DataError if no document has two sentences, or there is no other one
    """
    pairs = [(d, i) for d, document in enumerate(documents) for i in range(len(document) - 1)]
    if not pairs or len(documents) < 2:
        raise DataError(
            f"next_sentence_pairs: {len(documents)} documents with {len(pairs)} pairs: needs two documents and a pair"
        )
    draws, found = rng.uniform((count, 3), np.float64), []
    for u in draws:
        d, i = pairs[int(u[0] * len(pairs))]
        first, second = documents[d][i], documents[d][i + 1]
        others = [
            s
            for e, document in enumerate(documents)
            if e != d
            for s in document
            if list(s) != list(second)
        ]
        negative = u[1] < p_negative and others
        found.append(
            (first, others[int(u[2] * len(others))], NOT_NEXT)
            if negative
            else (first, second, IS_NEXT)
        )
    return found


@dataclass(frozen=True)
class NextSentence:
    """Windows of text cut in two, the second part replaced by a random piece of a corpus for half
    of them.

    corpus      (N,) integers, where the negatives come from; a memory map will do
    p_negative  how often
    """

    corpus: np.ndarray
    p_negative: float = 0.5

    def __call__(self, sequences, rng):
        """sequences (B, T) -> list of B pairs, classes (B,). No negative equals what truly comes
        next.
        """
        B, T = sequences.shape
        cuts, draws, pairs = rng.integers(1, T, (B,)), rng.uniform((B, 2), np.float64), []
        classes = np.where(draws[:, 0] < self.p_negative, NOT_NEXT, IS_NEXT)
        for row, cut, negative, u in zip(sequences, cuts, classes == NOT_NEXT, draws[:, 1]):
            pairs.append((row[:cut], self._other(row[cut:], u) if negative else row[cut:]))
        return pairs, classes

    def _other(self, true, u):
        places = len(self.corpus) - len(true) + 1
        for step in range(min(places, 10_000)):  # a corpus may repeat itself, but hardly that often
            other = self.corpus[(int(u * places) + step) % places :][: len(true)]
            if not np.array_equal(other, true):
                return other
        raise DataError(
            f"NextSentence: the corpus of {len(self.corpus)} tokens has nothing but the {len(true)} that come next"
        )


@dataclass(frozen=True)
class SentenceOrder:
    """Windows of text cut in two, the parts swapped for half of them   (ALBERT; Lan et al. 2020)."""

    p_swapped: float = 0.5

    def __call__(self, sequences, rng):
        """sequences (B, T) -> list of B pairs, classes (B,)."""
        B, T = sequences.shape
        cuts = rng.integers(1, T, (B,))
        classes = np.where(rng.uniform((B,)) < self.p_swapped, SWAPPED, IN_ORDER)
        parts = [(row[:cut], row[cut:]) for row, cut in zip(sequences, cuts)]
        return [pair[::-1] if c == SWAPPED else pair for pair, c in zip(parts, classes)], classes


@dataclass(frozen=True)
class SentencePairs:
    """Loss_BERT = Loss_MLM + Loss_pair, each a mean over a row, their sum a mean over rows   (book
    eq. 1.17)

    special  Special, with cls and sep
    pairs    NextSentence(corpus) | SentenceOrder()
    masked   MaskedLM, or None for the pair loss alone
    """

    special: Special
    pairs: object
    masked: MaskedLM | None = None

    def make_batch(self, sequences, rng):
        """sequences (B, T), T >= 2 -> PairBatch of rows of T + 3 tokens."""
        pairs, classes = self.pairs(as_rows(sequences, "SentencePairs.make_batch", shortest=2), rng)
        return self.with_pairs(pairs, classes, rng)

    def with_pairs(self, pairs, classes, rng=None):
        """The batch of given pairs, of any lengths (they are padded), with classes (B,)."""
        packed = [pack(self.special, *pair) for pair in pairs]
        lengths = {len(ids) for ids, _ in packed}
        if len(lengths) > 1:
            self.special.need("SentencePairs: pairs of different lengths", "pad")
        ids, _ = pad_rows(
            [ids for ids, _ in packed], self.special.pad if self.special.pad is not None else 0
        )
        segments, _ = pad_rows([segments for _, segments in packed], 0)
        nothing = ids, targets_at(ids, np.zeros(ids.shape, bool))
        inputs, targets = nothing if self.masked is None else self.masked.corrupt(ids, rng)
        return PairBatch(
            inputs,
            targets,
            without_padding(ids, self.special),
            segments,
            classes=np.asarray(classes, np.int64),
        )

    def loss(self, model, batch):
        """The sum of both losses. The model is an Encoder with a token head and classes, or has its
        methods.

        returns  (Tensor, {"tokens": rows, "loss", "pair", and "masked" with masked LM})
        raises   ConfigError if the model tells no classes
        """
        if getattr(model, "classifier", True) is None:
            raise ConfigError(
                "SentencePairs.loss: this model tells no classes: set classes=2 in its configuration"
            )
        h = model.hidden(batch.inputs, **batch.options)
        pair = cross_entropy(model.pair_logits(h), batch.classes)
        if self.masked is None:
            return score_rows(pair, len(batch), pair=pair)
        masked, _ = masked_row_mean(model, h, batch.targets)
        return score_rows(masked + pair, len(batch), masked=masked, pair=pair)
