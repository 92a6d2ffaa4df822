"""Replaced-token detection: which tokens are not the author's?   (ELECTRA; book section 1.2.2.3)

    L = L_MLM(generator) + lambda * mean of [ -log sigmoid(+-z_i) ],   + where token i was replaced

A small generator fills masks with samples of its own; a discriminator, the model that is wanted,
classifies every token as original or replaced. A token that the generator happens to restore counts
as original. No gradient passes through the sampling: the generator learns by masked LM
alone. Read next: models/encoder/encoder.py (Electra).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, log_softmax, stack, take_along_axis, where
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch
from tinylm.pretrain.masked.masked import MaskedLM, with_cls
from tinylm.pretrain.score import masked_row_mean, row_means, score_rows
from tinylm.pretrain.special import Special


@dataclass(frozen=True)
class ReplacedBatch(TokenBatch):
    """A TokenBatch with the numbers that the generator's samples are drawn by; a mean over rows.

    original  (B, T) integers, the text before masking
    draws     (B, T) uniform numbers: with them the loss is a function of model and batch
    judged    (B, T) bool, the tokens that the discriminator classifies: all but special ones
    """

    original: np.ndarray = None
    draws: np.ndarray = None
    judged: np.ndarray = None

    @property
    def tokens(self) -> int:
        """The number of rows: the loss is a mean over them."""
        return len(self)


def replaced_labels(original: np.ndarray, replaced: np.ndarray) -> np.ndarray:
    """1 where a token was replaced by another, 0 where it is the original   (ELECTRA)

    By comparison, not by the places of masks: a token that the generator restored is original.

    original, replaced  integer arrays of one shape, which is also that of the labels
    """
    return (replaced != original).astype(np.int64)


def sample_from(logits: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One token for every position, by inverting the cumulative distribution.

    logits  (..., V) array;  draws (...) uniform numbers in [0, 1);  returns (...) integers
    """
    p = np.exp(logits - np.max(logits, axis=-1, keepdims=True))  # softmax but for its sum
    sums = np.cumsum(p, axis=-1)
    # The first token whose sum passes u * (total): as many as have not passed it come before.
    return np.sum(sums[..., :-1] <= draws[..., None] * sums[..., -1:], axis=-1)


def detection_losses(logits: Tensor, labels: np.ndarray) -> Tensor:
    """-log sigmoid(z) where replaced, -log(1 - sigmoid(z)) where original.

    As a cross-entropy of two classes with logits 0 and z, which is stable for any z:
    softmax(0, z)_1 = e^z / (1 + e^z) = sigmoid(z).

    logits   z (B, T);  labels (B, T), 1 where replaced
    returns  (B, T)
    """
    classes = stack([np.zeros_like(logits.data), logits], axis=-1)  # (B, T, 2)
    return cross_entropy(classes, labels, reduction="none")


@dataclass(frozen=True)
class ReplacedTokens:
    """Loss_MLM(generator) + weight * Loss_detection(discriminator), means over a row.

    special  Special
    masked   what is masked for the generator; [MASK] always, 15 % by default
    weight   lambda, 50 in the paper: a loss of two classes is much smaller than one of V
    """

    special: Special
    masked: MaskedLM | None = None
    weight: float = 50.0

    def make_batch(self, sequences: np.ndarray, rng: Random) -> ReplacedBatch:
        """sequences (B, T) -> ReplacedBatch, with [CLS] (B, T + 1)."""
        masked = self.masked or MaskedLM(self.special, shares=(1.0, 0.0, 0.0))
        batch = masked.make_batch(sequences, rng)
        ids = with_cls(sequences, self.special)
        draws = rng.uniform(ids.shape, np.float64)
        judged = ~self.special.among(ids)
        return ReplacedBatch(
            batch.inputs, batch.targets, batch.mask, original=ids, draws=draws, judged=judged
        )

    def fill(self, logits: np.ndarray, batch: Batch) -> np.ndarray:
        """The text with the generator's samples at the n masked places.

        logits   (n, V) array
        returns  (B, T) integers
        """
        places = batch.targets != IGNORE
        filled = batch.original.copy()
        filled[places] = sample_from(logits, batch.draws[places])
        return filled

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The generator's loss plus `weight` times the discriminator's.

        model    model.generator has hidden(ids, mask=) and logits(h);
                 model.discriminator(ids, mask=) -> (B, T)
        returns  (Tensor, {"tokens": rows, "loss", "masked", "detection"})
        """
        h = model.generator.hidden(batch.inputs, **batch.options)
        masked, logits = masked_row_mean(model.generator, h, batch.targets)
        replaced = self.fill(logits.data, batch)  # a plain array: no gradient goes through
        labels = replaced_labels(batch.original, replaced)
        found = detection_losses(model.discriminator(replaced, **batch.options), labels)
        detection = row_means(found, batch.judged).mean()
        total = masked + detection * self.weight
        return score_rows(total, len(batch), masked=masked, detection=detection)


def fooling_loss(
    logits: Tensor, tokens: np.ndarray, rewards: np.ndarray, targets: np.ndarray
) -> Tensor:
    """The adversarial alternative for the generator, by policy gradient   (book section 1.2.2.3)

    Sampling has no derivative; the sum over masked places of -reward * log Pr(token) has, on
    average, the gradient of the expected reward (Clark et al. 2020, appendix F).

    logits   (B, T, V) of the generator;  tokens (B, T) its samples
    rewards  (B, T) array, such as the discriminator's log-probability that the sample is original
    targets  (B, T), IGNORE where nothing was masked
    returns  Tensor (), a sum
    """
    # Logits at other places are set to 0, so that an infinity there sends no NaN back.
    logits = where((targets != IGNORE)[..., None], logits, 0.0)
    # d/dtheta E[r] = E[r d/dtheta log Pr(token)]: the gradient of -r log Pr is an estimate of it.
    log_p = log_softmax(logits)  # (B, T, V)
    log_p = take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]  # -> (B, T)
    return -where(targets != IGNORE, log_p * rewards, 0.0).sum()
