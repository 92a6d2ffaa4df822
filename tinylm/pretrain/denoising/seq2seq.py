"""Encoder-decoder objectives: a source is read, a target is predicted.

    L = - sum over t of log Pr(y_t | x, y_0 .. y_{t-1})   (book sections 1.2.3.1-2, eqs. 1.15, 1.16)

What differs between prefix LM, MASS, BERT-style masking, denoising and T5's spans is only how a row
of text becomes a source and a target. That is a task: task(ids, draws) -> (source, target), a pure
function of the row and of uniform numbers (noise.py). A target may hold IGNORE where nothing is
predicted; the decoder reads [MASK] there. Read next: sentinels.py, language/prefix.py, ul2.py for
more tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE, Batch, Seq2SeqBatch, as_rows, pad_rows
from tinylm.pretrain.denoising.noise import DRAWS, random_share
from tinylm.pretrain.masked.choose import budget
from tinylm.pretrain.masked.masked import mask_tokens, targets_at
from tinylm.pretrain.score import score
from tinylm.pretrain.special import Special


def shifted(targets: np.ndarray, start: int, mask: int | None = None) -> np.ndarray:
    """The decoder's input: <s>, then the targets without the last; [MASK] for IGNORE.

    (B, T) -> (B, T).
    """
    if mask is not None:
        targets = np.where(targets == IGNORE, mask, targets)
    front = np.full((len(targets), 1), start, targets.dtype)
    return np.concatenate([front, targets[:, :-1]], axis=1)


def seq2seq_batch(pairs: Sequence[tuple], special: Special, end: bool = True) -> Seq2SeqBatch:
    """Sources and targets of any lengths as one batch.

    pairs    list of (source, target), integer sequences; [CLS] goes in front of sources if special
             has cls
    end      </s> after every target, if special has end
    returns  Seq2SeqBatch
    """
    special.need("seq2seq_batch", "start", "pad")
    first = [i for i in (special.cls,) if i is not None]
    last = [i for i in (special.end,) if i is not None and end]
    source, mask = pad_rows([[*first, *pair[0]] for pair in pairs], special.pad)
    targets, filled = pad_rows([[*pair[1], *last] for pair in pairs], IGNORE)
    # Without a [MASK], [PAD] stands for IGNORE. Behind a target nothing is predicted: any id does.
    hidden = special.mask
    if hidden is None:
        hidden = special.pad
    decoder = np.where(filled, shifted(targets, special.start, hidden), special.pad)
    return Seq2SeqBatch(source, targets, decoder, mask)


@dataclass(frozen=True)
class Seq2SeqLM:
    """The objective of an encoder-decoder: -log Pr(target | source), one token after the other.

    special  Special, with start and pad
    task     (ids (T,), draws (5, T + 1)) -> (source, target)
    end      </s> after every target, if there is one: generation stops at it
    """

    special: Special
    task: Callable
    end: bool = True

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Seq2SeqBatch:
        """sequences (B, T) integers; rng a tinylm Random -> Seq2SeqBatch."""
        sequences = as_rows(sequences, "Seq2SeqLM.make_batch")
        # (B, 5, T + 1): every row has numbers of its own, so that a cut of the batch draws the same
        draws = rng.uniform((len(sequences), DRAWS, sequences.shape[1] + 1), np.float64)
        pairs = [self.task(row, numbers) for row, numbers in zip(sequences, draws)]
        return seq2seq_batch(pairs, self.special, self.end)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the targets.

        model    (source (B, S), decoder (B, T), source_mask=) -> logits (B, T, V)
        """
        logits = model(batch.inputs, batch.decoder, source_mask=batch.mask)
        return score(logits, batch.targets, batch.tokens)


def masked_pair(ids: np.ndarray, chosen: np.ndarray, mask: int) -> tuple[np.ndarray, np.ndarray]:
    """Predict at the masked positions alone: source with [MASK], target with IGNORE elsewhere
    (BERT-style, MASS).
    """
    return mask_tokens(ids, chosen, mask), targets_at(ids, chosen)


@dataclass(frozen=True)
class Masked:
    """BERT-style training of an encoder-decoder: only the masked tokens are predicted."""

    special: Special
    rate: float = 0.15

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        chosen = random_share(len(ids), self.rate, draws[0])
        return masked_pair(ids, chosen, self.special.mask)


@dataclass(frozen=True)
class Fragment:
    """MASS: one run of tokens is masked and predicted   (Song et al. 2019).

    rate   share of the row: one token is BERT-style masking, all tokens are language modeling
    """

    special: Special
    rate: float = 0.5

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        k = int(budget(np.ones(len(ids), bool), self.rate))
        start = int(draws[0, 0] * (len(ids) - k + 1))  # uniform in 0 .. T - k
        return fragment(ids, start, k, self.special.mask)


def fragment(ids: np.ndarray, start: int, k: int, mask: int) -> tuple[np.ndarray, ...]:
    """The source with tokens start .. start+k-1 masked, and the target with only them."""
    at = np.arange(len(ids))
    return masked_pair(ids, (at >= start) & (at < start + k), mask)


@dataclass(frozen=True)
class Denoise:
    """Reconstruct the whole row from a corrupted one   (eq. 1.16; BART): the loss counts every
    token.

    noise   a corruption of noise.py
    """

    noise: Callable

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.noise(ids, draws), ids
