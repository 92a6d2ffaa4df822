"""Contrastive learning: what belongs together lies close together   (SimCSE, CLIP; book Table 1.1, sentence comparison)

In a batch of B pairs, each first is to find its second among all B: cross-entropy over similarities. The pairs may be
two readings of one sentence under different dropout (Gao et al. 2021), translations, or texts and images (Radford et
al. 2021). The other rows are the negatives, so this loss alone is not the same when a batch is cut into micro-batches:
the negatives are then those of the micro-batch. Read next: models/published/sentence_encoder.py.
"""
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import cross_entropy, matmul, sqrt, swapaxes
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_where, scale_of_squares
from tinylm.errors import ConfigError, ShapeError
from tinylm.pretrain.batch import TokenBatch
from tinylm.pretrain.masked.masked import with_cls, without_padding
from tinylm.pretrain.special import Special


def unit(x, eps=1e-12):
    """x / |x|: (..., D) -> (..., D). A zero vector stays zero."""
    if x.dtype == np.float16:                               # which has no number as small as eps
        return unit(x.astype(np.float32), eps).astype(np.float16)
    s = scale_of_squares(x, -1, small=False)                # 1, but where squares would overflow
    return x / s / sqrt(((x / s) ** 2).sum(axis=-1, keepdims=True) + eps / s / s)


def dot_score(a, b):
    """Score(h_a, h_b) = h_a . h_b: (..., D) twice -> (...)."""
    return (a * b).sum(axis=-1)


def cosine_score(a, b):
    """The dot product of unit vectors: 1 for equal directions, whatever the lengths."""
    return dot_score(unit(a), unit(b))


def bilinear_score(a, b, weight):
    """h_a M h_b, weight M (D, D)."""
    return dot_score(matmul(a, weight), b)


def info_nce(a, b, temperature=0.05, symmetric=False):
    """-log of the probability that row i of a picks row i of b, by cosine over temperature, mean over rows.

    a, b       (B, D) Tensors
    symmetric  also b picks a, and the mean of both   (CLIP)
    returns    Tensor (); 0 for one row, log B when all similarities are equal
    raises     ShapeError
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ShapeError(f"info_nce: {a.shape} and {b.shape} must be the same (B, D)")
    scores = matmul(unit(a), swapaxes(unit(b), 0, 1)) / temperature                     # (B, B)
    gold = np.arange(len(a.data), like=a.data).astype(np.int64)
    loss = cross_entropy(scores, gold)
    return (loss + cross_entropy(swapaxes(scores, 0, 1), gold)) / 2 if symmetric else loss


def mean_pool(h, mask=None):
    """The mean of the hidden states of tokens: (B, T, D), mask (B, T) bool or None -> (B, D)."""
    if mask is None:
        return h.mean(axis=1)
    mask = bool_mask(mask, "mean_pool", bias=None)[..., None]                           # (B, T, 1)
    return mean_where(h, mask, axis=1)


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

    def __post_init__(self):
        if self.pool not in ("first", "mean"):
            raise ConfigError(f"SentenceEmbedding: pool = {self.pool!r} is not first or mean")

    def make_batch(self, sequences, rng=None):
        """sequences (B, T) -> TokenBatch whose targets (B, 1) say that every row counts once."""
        ids = with_cls(sequences, self.special, "SentenceEmbedding.make_batch")
        return TokenBatch(ids, np.zeros((len(ids), 1), np.int64), without_padding(ids, self.special))

    def embed(self, model, batch):
        """One vector for each row: (B, D)."""
        h = model.hidden(batch.inputs, **batch.options)
        return h[:, 0] if self.pool == "first" else mean_pool(h, batch.mask)

    def loss(self, model, batch):
        """info_nce of two readings. The model is an Encoder in training mode, with dropout."""
        loss = info_nce(self.embed(model, batch), self.embed(model, batch), self.temperature)
        return loss, {"tokens": len(batch), "loss": float(loss.item())}
