"""Attention to retrieved keys: beside the local ones in one softmax, or in its own and mixed by a
gate (section 2.3.3).

A store outside the model gives each query its nearest keys and their values, Mem_knn. Book Fig.
2.7(a) joins them to the cache, [Mem, Mem_knn]; Memorizing Transformers (Wu et al. 2021; eqs.
2.64-2.66) attend to each and mix. The two agree for exactly one gate, the local part's share of the
joint softmax (local_share). How the store finds its keys is another matter; here they are given.
Read next: attention/sparse.py's topk_attention, where the store is the sequence.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, exp, logsumexp, sigmoid, stack
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.errors import ShapeError
from tinylm.nn.linear import undecayed
from tinylm.nn.module import Module

# In all functions here: q (B, H, T, K); local k, v (B, G, S, K), (B, G, S, J) with an optional
# mask, as in attention(); retrieved far_k (B, N, T, n, K), far_v (B, N, T, n, J) are each query's
# own, N = H or a divisor, as gather_keys gives them; far_visible bool (B|1, H|1, T, n) or None.
# Retrieved keys get a gradient only if they carry one: a store's do not.


# What is hidden is left out as in attention(): near (B, H, T, S) and far (B, H, T, n) say what is
# seen.


def _local_scores(q, k, near, scale):
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    q, near = q.reshape(B, G, H // G, T, K), near.reshape(B, G, H // G, T, S)
    return seen_scores(q, k.reshape(B, G, 1, S, K), near).reshape(B, H, T, S) * scale


def _local_mix(weights, v, near):
    (B, H, T, S), (G, J) = weights.shape, (v.shape[1], v.shape[3])
    weights, near = (x.reshape(B, G, H // G, T, S) for x in (weights, near))
    return seen_mix(weights, v.reshape(B, G, 1, S, J), near).reshape(B, H, T, J)


def _by_query(x, N):
    """(B, H, T, n) -> (B, N, T, R, n): the R heads that share what a query retrieved stand side by
    side.
    """
    B, H, T, n = x.shape
    return x.reshape(B, N, H // N, T, n).transpose(0, 1, 3, 2, 4)


def _by_head(x):
    """(B, N, T, R, n) -> (B, H, T, n)"""
    B, N, T, R, n = x.shape
    return x.transpose(0, 1, 3, 2, 4).reshape(B, N * R, T, n)


def _far_scores(q, far_k, far, scale):
    N = far_k.shape[1]
    return _by_head(seen_scores(_by_query(q, N), far_k, _by_query(far, N))) * scale


def _far_mix(weights, far_v, far):
    N = far_v.shape[1]
    return _by_head(seen_mix(_by_query(weights, N), far_v, _by_query(far, N)))


def _prepare(q, k, far_k, mask, far_visible, causal, scale):
    """Scores of both parts and what may be seen of them, spread to (B, H, T, .)."""
    check_heads("retrieved attention", q, k)
    (B, H, T, K), S = q.shape, k.shape[2]
    if (
        far_k.ndim != 5
        or far_k.shape[2] != T
        or far_k.shape[1] < 1
        or H % far_k.shape[1]
        or far_k.shape[4] != K
    ):
        raise ShapeError(
            f"retrieved attention: q {q.shape}, k {k.shape}, retrieved keys {far_k.shape}: need (B, H, T, K), "
            "(B, G, S, K), (B, N, T, n, K) with G and N divisors of H"
        )
    scale = score_scale(K, scale)
    i, j = np.arange(T, like=q.data)[:, None] + (S - T), np.arange(S, like=q.data)[None, :]
    near = (j <= i) | (not causal)
    mask = bool_mask(mask, "retrieved attention", bias=None, shape=(B, H, T, S))
    far = bool_mask(
        far_visible, "retrieved attention", "far_visible", None, (B, H, T, far_k.shape[3])
    )
    near = np.broadcast_to(near if mask is None else near & mask, (B, H, T, S))
    far = np.broadcast_to(
        np.ones_like(near, shape=(1,)) if far is None else far, (B, H, T, far_k.shape[3])
    )
    return _local_scores(q, k, near, scale), _far_scores(q, far_k, far, scale), near, far


def joint_attention(q, k, v, far_k, far_v, far_visible=None, mask=None, causal=True, scale=None):
    """One softmax over local and retrieved keys, [Mem, Mem_knn]   (book section 2.3.3, Fig. 2.7 a)

    returns  (B, H, T, J). A key that is both local and retrieved counts twice: hide it with
             not_local()
    """
    *scores, near, far = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    weights, _ = visible_softmax(concatenate(scores, axis=-1), np.concatenate([near, far], axis=-1))
    S = k.shape[2]
    return _local_mix(weights[..., :S], v, near) + _far_mix(weights[..., S:], far_v, far)


def separate_attention(q, k, v, far_k, far_v, far_visible=None, mask=None, causal=True, scale=None):
    """Att_local and Att_knn, each with its own softmax   (book eqs. 2.65-2.66)

    returns  (local (B, H, T, J), far (B, H, T, J), local_norm (B, H, T, 1), far_norm (B, H, T, 1)),
             the norms being the logarithms of the softmax denominators; a query that sees nothing
             of a part gets zeros and -inf
    """
    local, retrieved, near, far = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    local, local_norm = visible_softmax(local, near)
    retrieved, far_norm = visible_softmax(retrieved, far)
    return _local_mix(local, v, near), _far_mix(retrieved, far_v, far), local_norm, far_norm


def gated_attention(
    q, k, v, far_k, far_v, gate, far_visible=None, mask=None, causal=True, scale=None
):
    """g Att_local + (1 - g) Att_knn   (book eq. 2.64; Wu et al. 2021, whose gate multiplies the
    other part)

    gate     Tensor or number that broadcasts to (B, H, T, J), in [0, 1]: 1 is local only
    returns  (B, H, T, J)
    """
    local, far, *_ = separate_attention(q, k, v, far_k, far_v, far_visible, mask, causal, scale)
    return local * gate + far * (1 - gate)


def local_share(local_norm, far_norm):
    """The gate that makes gated_attention() equal joint_attention(): Z_local / (Z_local + Z_knn).

    local_norm, far_norm  (B, H, T, 1) of separate_attention(), not both -inf;  returns that shape
    """
    return exp(local_norm - logsumexp(stack([local_norm, far_norm]), axis=0))


def not_local(index, mask):
    """Which retrieved keys are not among the local ones anyway, if both are positions of one
    sequence.

    index    (..., T, n) integers, retrieved positions;  mask (T, S) bool, what each query sees locally
    returns  bool of index's shape, for far_visible
    """
    mask = bool_mask(mask, "not_local", bias=None)
    return ~mask[np.arange(mask.shape[0], like=index)[:, None], index]


class HeadGate(Module):
    """A learned gate for each head: g = sigmoid(b)   (Wu et al. 2021). Begins at one half."""

    def __init__(self, heads, dtype=np.float32):
        self.b = undecayed(Tensor(np.zeros((heads, 1, 1), dtype), requires_grad=True))

    def __call__(self):
        """(H, 1, 1), to broadcast against (B, H, T, J)."""
        return sigmoid(self.b)
