"""Contrastive learning: what belongs together lies close together   (SimCSE, CLIP; book Table 1.1)

    L = - mean over i of log softmax_j(cos(a_i, b_j) / tau)  at  j = i

In a batch of B pairs, each first must find its second among all B. SimCSE (Gao et al. 2021) pairs
two readings of one sentence by one encoder under different dropout; CLIP (Radford et al. 2021)
pairs texts and images, here any two texts such as translations, read by two encoders, and learns
the temperature tau. The other rows are the negatives, so this is the one loss that changes when a
batch is cut into micro-batches: each row has fewer negatives then. Read next:
models/published/sentence_encoder.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import (
    Tensor,
    TensorLike,
    cross_entropy,
    exp,
    matmul,
    minimum,
    sqrt,
    swapaxes,
    where,
)
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_where, scale_of_squares
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, DataError, DtypeError, ShapeError
from tinylm.nn.linear import normal_parameter
from tinylm.nn.module import Module
from tinylm.pretrain.batch import Batch, TokenBatch, pad_rows
from tinylm.pretrain.masked.masked import with_cls, without_padding
from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.models.encoder.encoder import Encoder


FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # Radford et al. 2021, section 2.5
POOLS = "first", "mean"


def unit(x: Tensor, eps: float = 1e-12) -> Tensor:
    """x / |x|: (..., D) -> (..., D). A zero vector stays zero."""
    if x.dtype == np.float16:  # which has no number as small as eps
        return unit(x.astype(np.float32), eps).astype(np.float16)
    # x / sqrt(|x|^2 + eps), with x divided by s first: s is 1 except where squares would overflow.
    s = scale_of_squares(x, -1, small=False)
    return x / s / sqrt(((x / s) ** 2).sum(axis=-1, keepdims=True) + eps / s / s)


def dot_score(a: Tensor, b: Tensor) -> Tensor:
    """Score(h_a, h_b) = h_a . h_b: (..., D) twice -> (...)."""
    return (a * b).sum(axis=-1)


def cosine_score(a: Tensor, b: Tensor) -> Tensor:
    """The dot product of unit vectors: 1 for equal directions, whatever the lengths."""
    return dot_score(unit(a), unit(b))


def bilinear_score(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """h_a M h_b, weight M (D, D)."""
    return dot_score(matmul(a, weight), b)


def cosines(a: Tensor, b: Tensor, temperature: TensorLike = 1.0) -> Tensor:
    """The cosine of every row of a with every row of b, divided by a temperature.

    a, b         (B, D) Tensors
    temperature  a number, or a Tensor () that is learned
    returns      (B, B) Tensor
    raises       ShapeError
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ShapeError(f"cosines: {a.shape} and {b.shape} must be the same (B, D)")
    return matmul(unit(a), swapaxes(unit(b), 0, 1)) / temperature  # (B, D) @ (D, B) -> (B, B)


def info_nce(scores: Tensor, excluded: np.ndarray | None = None, symmetric: bool = False) -> Tensor:
    """-log of the probability that row i picks column i, mean over rows   (Oord et al. 2018)

        - log  exp(s_ii) / sum over the columns j that row i may pick of exp(s_ij)

    scores     (B, C) Tensor, C >= B: of each row with its own column and with the negatives
    excluded   (B, C) bool, True: row i may not pick column j, whose score is not read; None: all
               may be picked
    symmetric  True: the mean of this and of columns that pick rows, for C = B   (CLIP)
    returns    Tensor (); 0 for one candidate, log C when all scores are equal
    raises     ShapeError; DtypeError if `excluded` is not bool; DataError for a row that may not
               pick its own column
    Check: tinylm gradcheck pretrain.info_nce
    """
    if scores.ndim != 2 or scores.shape[0] > scores.shape[1]:
        raise ShapeError(f"info_nce: scores {scores.shape}, needs (B, C) with C >= B")
    if symmetric and scores.shape[0] != scores.shape[1]:
        raise ShapeError(f"info_nce: scores {scores.shape}, needs (B, B) to be symmetric")
    # Row i is a classification among C candidates, of which the i-th is right.
    gold = np.arange(scores.shape[0], like=scores.data).astype(np.int64)
    if excluded is not None:
        scores = where(_checked(excluded, scores), -np.inf, scores)
    loss = cross_entropy(scores, gold)
    if not symmetric:
        return loss
    back = cross_entropy(swapaxes(scores, 0, 1), gold)
    return (loss + back) / 2


def _checked(excluded, scores):
    """Excluded pairs, if they are bool, of the shape of scores, and leave every row its own."""
    if excluded.dtype.kind != "b":
        raise DtypeError(f"info_nce: excluded must be bool, True = excluded, not {excluded.dtype}")
    if excluded.shape != scores.shape:
        raise ShapeError(f"info_nce: excluded {excluded.shape}, scores {scores.shape}")
    if np.diagonal(excluded).any():
        raise DataError("info_nce: a row is excluded from its own column, the right one")
    return excluded


def clip_loss(a: Tensor, b: Tensor, log_scale: Tensor) -> Tensor:
    """CLIP: the symmetric loss of cosines times exp(t), at most 100   (Radford et al. 2021, Fig. 3)

    a, b       (B, D) Tensors
    log_scale  t, a Tensor () that is learned
    returns    Tensor ()
    raises     ShapeError as cosines
    Check: tinylm gradcheck pretrain.clip_loss
    """
    temperature = exp(-minimum(log_scale, math.log(LARGEST_SCALE)))  # 1 / scale
    return info_nce(cosines(a, b, temperature), symmetric=True)


def mean_pool(h: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """The mean of the hidden states of tokens: (B, T, D), mask (B, T) bool or None -> (B, D)."""
    if mask is None:
        return h.mean(axis=1)
    mask = bool_mask(mask, "mean_pool", bias=None)[..., None]  # (B, T, 1)
    return mean_where(h, mask, axis=1)


def _pooled(h, mask, pool):
    """One vector of the states of a row: (B, T, D) -> (B, D)."""
    if pool == "first":
        return h[:, 0]
    return mean_pool(h, mask)


def _known_pool(objective):
    if objective.pool not in POOLS:
        name = type(objective).__name__
        raise ConfigError(f"{name}: pool = {objective.pool!r} is not first or mean")


@dataclass(frozen=True)
class SentenceEmbedding:
    """SimCSE: a sentence read twice, with different dropout, must find itself again.

    special      Special
    temperature  0.05 in the paper
    pool         first (the state of [CLS]) | mean
    """

    special: Special
    temperature: float = 0.05
    pool: str = "first"

    def __post_init__(self) -> None:
        _known_pool(self)

    def make_batch(self, sequences: np.ndarray, rng: Random | None = None) -> TokenBatch:
        """sequences (B, T) -> TokenBatch whose targets (B, 1) make every row count once."""
        ids = with_cls(sequences, self.special, "SentenceEmbedding.make_batch")
        once = np.zeros((len(ids), 1), np.int64)  # no class: only that it is not IGNORE matters
        return TokenBatch(ids, once, without_padding(ids, self.special))

    def embed(self, model: "Encoder", batch: Batch) -> Tensor:
        """One vector for each row: (B, D)."""
        return _pooled(model.hidden(batch.inputs, **batch.options), batch.mask, self.pool)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """info_nce of two readings. The model is an Encoder in training mode, with dropout."""
        first, second = self.embed(model, batch), self.embed(model, batch)  # dropout drawn twice
        loss = info_nce(cosines(first, second, self.temperature))
        return loss, {"tokens": len(batch), "loss": float(loss.item())}


class PairedEncoders(Module):
    """CLIP's model: two encoders, a linear map of each into one space, and the learned temperature.

    first, second  encoders, with hidden(ids, mask=) -> (B, T, D); their widths may differ
    widths         (D of the first, D of the second)
    d_embed        E, the width of the common space
    seed, dtype    of the maps

    Afterwards exp(`log_scale`) is 1 / temperature, at the start 1 / 0.07.
    """

    def __init__(
        self,
        first: Module,
        second: Module,
        widths: tuple[int, ...],
        d_embed: int,
        seed: int = 0,
        dtype: DType = np.float32,
    ) -> None:
        rng = Random(seed, "init")
        self.first, self.second = first, second
        self.first_map, self.second_map = (
            normal_parameter((D, d_embed), rng, D**-0.5, dtype) for D in widths
        )
        start = np.array(math.log(FIRST_SCALE), dtype)
        self.log_scale = Tensor(start, requires_grad=True)

    def limit_scale(self) -> None:
        """Bring the parameter itself back to log 100 where an update went beyond.

        Above the limit the loss is constant in it: without this it would stay there for good.
        """
        np.minimum(self.log_scale.data, math.log(LARGEST_SCALE), out=self.log_scale.data)


@dataclass(frozen=True)
class PairedBatch(TokenBatch):
    """A TokenBatch of the first texts, and beside it the second ones.

    second       (B, S) integers
    second_mask  (B, S) bool, True where there is a token; None: everywhere
    """

    second: np.ndarray = None
    second_mask: np.ndarray | None = None


@dataclass(frozen=True)
class PairEmbedding:
    """CLIP's objective on pairs of texts: each first finds its second, and each second its first.

    special  Special; rows get [CLS] in front if it has cls
    pool     first (the state of [CLS]) | mean
    """

    special: Special
    pool: str = "first"

    def __post_init__(self) -> None:
        _known_pool(self)

    def make_batch(
        self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], rng: Random | None = None
    ) -> PairedBatch:
        """pairs: list of B (first, second), integer sequences of any lengths -> PairedBatch."""
        firsts, seconds = zip(*pairs)
        ids, mask = self._rows(firsts)
        second, second_mask = self._rows(seconds)
        once = np.zeros((len(ids), 1), np.int64)  # every row counts once
        return PairedBatch(ids, once, mask, second=second, second_mask=second_mask)

    def _rows(self, texts):
        rows = [list(text) for text in texts]
        if self.special.cls is not None:
            rows = [[self.special.cls, *row] for row in rows]
        if len({len(row) for row in rows}) > 1:
            self.special.need("PairEmbedding: texts of different lengths", "pad")
        ids, _ = pad_rows(rows, self.special.pad or 0)  # rows of one length need no [PAD]
        return ids, without_padding(ids, self.special)

    def embed(self, model: PairedEncoders, batch: Batch) -> tuple[Tensor, Tensor]:
        """The vectors of the firsts and of the seconds, (B, E) each; model is a PairedEncoders."""
        h = model.first.hidden(batch.inputs, **batch.options)  # (B, T, D)
        h_second = model.second.hidden(batch.second, mask=batch.second_mask)  # (B, S, D)
        # Each encoder has a map of its own into the common space: (B, D) -> (B, E).
        a = matmul(_pooled(h, batch.mask, self.pool), model.first_map)
        b = matmul(_pooled(h_second, batch.second_mask, self.pool), model.second_map)
        return a, b

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """clip_loss of the two vectors of each pair, at the model's temperature."""
        model.limit_scale()
        loss = clip_loss(*self.embed(model, batch), model.log_scale)
        return loss, {"tokens": len(batch), "loss": float(loss.item())}
