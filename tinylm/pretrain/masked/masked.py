"""Masked language modeling: hide some tokens and predict them from both sides   (BERT)

    L = - sum over chosen i of log Pr(x_i | corrupted x)             (book eqs. 1.10-1.12, 1.18)

Of the chosen 15 % of the tokens, 80 % become [MASK], 10 % a random token and 10 % stay as they are;
all of them are predicted, also those that stay: at no position can the model trust its input. Masks
are drawn anew each time a text is read (dynamic) unless fixed by StaticMasks. Masked tokens are
predicted independently of each other; permuted.py does not assume that. Read next: choose.py for
the choice, discriminative/pairs.py for the rest of BERT.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch, as_rows
from tinylm.pretrain.masked.choose import choose_tokens
from tinylm.pretrain.score import score_tokens
from tinylm.pretrain.special import Special


def mask_tokens(ids: np.ndarray, chosen: np.ndarray, mask: int) -> np.ndarray:
    """x with [MASK] at the chosen positions: ids (..., T), chosen bool (..., T) -> (..., T)."""
    return np.where(chosen, mask, ids)


def targets_at(ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The original tokens where they were chosen, IGNORE elsewhere."""
    return np.where(chosen, ids, IGNORE)


def corrupt_chosen(
    ids: np.ndarray,
    chosen: np.ndarray,
    rng: Random,
    special: Special,
    shares: tuple[float, ...] = (0.8, 0.1, 0.1),
) -> np.ndarray:
    """BERT's corruption of chosen tokens   (book section 1.3.1.1).

    shares   probabilities of [MASK], a random ordinary token, and no change
    returns  (B, T)
    """
    fate = rng.uniform(ids.shape)  # [0, .8) masked, [.8, .9) replaced, [.9, 1) kept
    masked = chosen & (fate < shares[0])
    replaced = chosen & (fate >= shares[0]) & (fate < shares[0] + shares[1])
    others = special.ordinary[rng.integers(0, len(special.ordinary), ids.shape)]
    return np.where(masked, special.mask, np.where(replaced, others, ids))


def with_cls(sequences: np.ndarray, special: Special, operation: str = "with_cls") -> np.ndarray:
    """[CLS] before every row, if there is one: (B, T) -> (B, T + 1), int64. Errors: as_rows."""
    sequences = as_rows(sequences, operation)
    if special.cls is None:
        return sequences
    front = np.full((len(sequences), 1), special.cls, sequences.dtype)
    return np.concatenate([front, sequences], axis=1)


def without_padding(ids: np.ndarray, special: Special) -> np.ndarray | None:
    """The attention mask of padded rows: (B, T) bool, True at tokens; None if no row is padded."""
    if special.pad is None:
        return None
    held = ids != special.pad
    if held.all():
        return None  # attention without a mask is faster
    return held


@dataclass(frozen=True)
class MaskedLM:
    """BERT's first objective, RoBERTa's only one, XLM's on text of one language.

    special  Special, with mask; rows get [CLS] in front if it has cls
    rate     share of the ordinary tokens that is predicted
    shares   of these, the shares masked, replaced and kept
    choose   how they are chosen: choose_tokens, WholeWords, GeometricSpans
    """

    special: Special
    rate: float = 0.15
    shares: tuple = (0.8, 0.1, 0.1)
    choose: Callable = choose_tokens

    def __post_init__(self) -> None:
        self.special.need("MaskedLM", "mask")
        if len(self.shares) != 3 or min(self.shares) < 0 or not math.isclose(sum(self.shares), 1):
            raise ConfigError(
                f"MaskedLM: shares {self.shares} must be three probabilities that sum to 1"
            )

    def make_batch(self, sequences: np.ndarray, rng: Random) -> TokenBatch:
        """sequences (B, T) integers; rng a tinylm Random -> TokenBatch, with [CLS] (B, T + 1)."""
        ids = with_cls(sequences, self.special, "MaskedLM.make_batch")
        inputs, targets = self.corrupt(ids, rng)
        return TokenBatch(inputs, targets, without_padding(ids, self.special))

    def corrupt(self, ids: np.ndarray, rng: Random) -> tuple[np.ndarray, np.ndarray]:
        """ids (B, T), with special tokens, which are never chosen -> inputs, targets (B, T)."""
        chosen = self.choose(ids, ~self.special.among(ids), rng, self.rate)
        return corrupt_chosen(ids, chosen, rng, self.special, self.shares), targets_at(ids, chosen)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean of -log Pr(x_i | corrupted x) over the chosen i. See score_tokens for the model."""
        return score_tokens(model, batch)


@dataclass(frozen=True)
class StaticMasks:
    """Another objective's masks, drawn once: a sequence is corrupted in the same way every time.

    That is BERT's preprocessing; RoBERTa draws masks anew.
    """

    objective: MaskedLM
    seed: int = 0

    def make_batch(self, sequences: np.ndarray, rng: Random | None = None) -> TokenBatch:
        """As the objective's, but what is drawn depends on the sequence alone."""
        sequences = as_rows(sequences, "StaticMasks.make_batch")
        parts = []
        for row in sequences:
            rng = Random(self.seed, "static", row.tobytes().hex())  # the row itself is the seed
            parts.append(self.objective.make_batch(row[None], rng))
        inputs = np.concatenate([part.inputs for part in parts])  # B of (1, T) -> (B, T)
        targets = np.concatenate([part.targets for part in parts])
        return TokenBatch(inputs, targets, without_padding(inputs, self.objective.special))

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As the objective's."""
        return self.objective.loss(model, batch)


def causal_from_masked(ids: np.ndarray, mask: int) -> TokenBatch:
    """Causal prediction as a special case: every right context masked in turn   (book section
    1.2.2.1).

    ids      (T,) integers
    returns  Batch of T - 1 rows: row t has x_0 .. x_t and then [MASK]; its one target is x_{t+1}
    """
    T = len(ids)
    at = np.arange(T)
    inputs = np.where(at <= at[:-1, None], ids, mask)  # (T - 1, T): row t shows x_0 .. x_t
    targets = np.where(at == at[1:, None], ids, IGNORE)  # and is scored on x_{t+1}
    return TokenBatch(inputs, targets)
