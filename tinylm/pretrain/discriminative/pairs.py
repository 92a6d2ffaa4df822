"""Pairs of sentences: does the second follow the first, and in this order?   (BERT, ALBERT; book
eqs. 1.17, 1.19)

    [CLS] It is raining . [SEP] I need an umbrella . [SEP]      IsNext
      0   0  0  0       0  0    1 1    1  1        1  1         segments

The class is predicted from the state of [CLS]. BERT adds this loss to that of masked LM; RoBERTa
dropped it, ALBERT predicts the order instead. Read next: masked/masked.py;
models/encoder/encoder.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch, as_rows, pad_rows
from tinylm.pretrain.masked.masked import MaskedLM, without_padding
from tinylm.pretrain.score import masked_row_mean, score_rows
from tinylm.pretrain.special import Special

IS_NEXT, NOT_NEXT = 0, 1
IN_ORDER, SWAPPED = 0, 1


@dataclass(frozen=True)
class PairBatch(TokenBatch):
    """A TokenBatch of packed pairs with classes (B,); its loss is a mean over rows."""

    classes: np.ndarray = None

    @property
    def tokens(self) -> int:
        """The number of rows: the loss is a mean over them."""
        return len(self)


def pack(
    special: Special, first: ArrayLike | range, second: ArrayLike | range | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]   (book section 1.3.1).

    first, second  integer sequences
    returns        ids (n,), segments (n,): 0 up to the first [SEP], 1 after it
    """
    special.need("pack", "cls", "sep")
    ids = [special.cls, *first, special.sep]
    segments = [0] * len(ids)
    if second is not None:
        ids += [*second, special.sep]
        segments += [1] * (len(second) + 1)
    return np.array(ids, np.int64), np.array(segments, np.int64)


def truncate_pair(
    first: Sequence[int], second: Sequence[int], room: int
) -> tuple[list[int], list[int]]:
    """Both shortened to `room` tokens together, the longer one first, from its end   (BERT)."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        longer = first if len(first) > len(second) else second
        longer.pop()
    return first, second


def next_sentence_pairs(
    documents: Sequence[list[list[int]]], rng: Random, count: int, p_negative: float = 0.5
) -> list[tuple[list[int], list[int], int]]:
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
            f"next_sentence_pairs: {len(documents)} documents with {len(pairs)} pairs: "
            "needs two documents and a pair"
        )
    found = []
    for u in rng.uniform((count, 3), np.float64):  # the pair, negative or not, which negative
        d, i = pairs[int(u[0] * len(pairs))]
        first, second = documents[d][i], documents[d][i + 1]
        others = _elsewhere(documents, d, second)
        if u[1] < p_negative and others:
            found.append((first, others[int(u[2] * len(others))], NOT_NEXT))
        else:
            found.append((first, second, IS_NEXT))
    return found


def _elsewhere(documents, d, second):
    """The sentences of all documents but the d-th that are not equal to `second`."""
    others = [document for e, document in enumerate(documents) if e != d]
    return [s for document in others for s in document if list(s) != list(second)]


@dataclass(frozen=True)
class NextSentence:
    """Windows of text cut in two, the second part replaced by a random piece of a corpus for half
    of them.

    corpus      (N,) integers, where the negatives come from; may be a memory map
    p_negative  probability of a negative
    """

    corpus: np.ndarray
    p_negative: float = 0.5

    def __call__(self, sequences: np.ndarray, rng: Random) -> tuple[list[tuple], np.ndarray]:
        """sequences (B, T) -> list of B pairs, classes (B,). No negative equals the true part."""
        B, T = sequences.shape
        cuts = rng.integers(1, T, (B,))  # both parts have a token at least
        draws = rng.uniform((B, 2), np.float64)  # negative or not, where it comes from
        classes = np.where(draws[:, 0] < self.p_negative, NOT_NEXT, IS_NEXT)
        pairs = []
        for row, cut, label, u in zip(sequences, cuts, classes, draws[:, 1]):
            second = row[cut:]
            if label == NOT_NEXT:
                second = self._other(second, u)
            pairs.append((row[:cut], second))
        return pairs, classes

    def _other(self, true, u):
        """A piece of the corpus as long as `true` and different: the first from place u on."""
        places = len(self.corpus) - len(true) + 1
        for step in range(min(places, 10_000)):  # a corpus may repeat itself, but hardly that often
            other = self.corpus[(int(u * places) + step) % places :][: len(true)]
            if not np.array_equal(other, true):
                return other
        raise DataError(
            f"NextSentence: the corpus of {len(self.corpus)} tokens "
            f"holds only copies of the {len(true)} that come next"
        )


@dataclass(frozen=True)
class SentenceOrder:
    """Windows of text cut in two, the parts swapped for half of them   (ALBERT; Lan 2020)."""

    p_swapped: float = 0.5

    def __call__(self, sequences: np.ndarray, rng: Random) -> tuple[list[tuple], np.ndarray]:
        """sequences (B, T) -> list of B pairs, classes (B,)."""
        B, T = sequences.shape
        cuts = rng.integers(1, T, (B,))
        classes = np.where(rng.uniform((B,)) < self.p_swapped, SWAPPED, IN_ORDER)
        parts = [(row[:cut], row[cut:]) for row, cut in zip(sequences, cuts)]
        pairs = [pair[::-1] if c == SWAPPED else pair for pair, c in zip(parts, classes)]
        return pairs, classes


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

    def make_batch(self, sequences: np.ndarray, rng: Random) -> PairBatch:
        """sequences (B, T), T >= 2 -> PairBatch of rows of T + 3 tokens."""
        pairs, classes = self.pairs(as_rows(sequences, "SentencePairs.make_batch", shortest=2), rng)
        return self.with_pairs(pairs, classes, rng)

    def with_pairs(
        self, pairs: Sequence[tuple], classes: ArrayLike, rng: Random | None = None
    ) -> PairBatch:
        """The batch of given pairs, of any lengths (they are padded), with classes (B,)."""
        rows, segments = zip(*(pack(self.special, *pair) for pair in pairs))
        if len({len(row) for row in rows}) > 1:
            self.special.need("SentencePairs: pairs of different lengths", "pad")
        ids, _ = pad_rows(rows, self.special.pad or 0)  # (B, T); one length needs no [PAD]
        segments, _ = pad_rows(segments, 0)
        inputs, targets = ids, np.full_like(ids, IGNORE)  # no token is predicted
        if self.masked is not None:
            inputs, targets = self.masked.corrupt(ids, rng)
        return PairBatch(
            inputs,
            targets,
            without_padding(ids, self.special),
            segments,
            classes=np.asarray(classes, np.int64),
        )

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The sum of both losses.

        model    an Encoder with a token head and classes, or a model with its methods
        returns  (Tensor, {"tokens": rows, "loss", "pair", and "masked" with masked LM})
        raises   ConfigError if the model has no classifier
        """
        if getattr(model, "classifier", True) is None:
            raise ConfigError(
                "SentencePairs.loss: this model has no classifier: "
                "set classes=2 in its configuration"
            )
        h = model.hidden(batch.inputs, **batch.options)  # (B, T, D)
        pair = cross_entropy(model.pair_logits(h), batch.classes)  # (B, 2) against (B,)
        if self.masked is None:
            return score_rows(pair, len(batch), pair=pair)
        masked, _ = masked_row_mean(model, h, batch.targets)
        return score_rows(masked + pair, len(batch), masked=masked, pair=pair)
