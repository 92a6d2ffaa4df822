"""Attention to retrieved keys, in one softmax with the local ones or in its own   (section 2.3.3).

A store outside the model returns for each query its nearest keys and their values, Mem_knn. Book
Fig. 2.7(a) joins them to the cache, [Mem, Mem_knn]; Memorizing Transformers (Wu et al. 2021; eqs.
2.64-2.66) attend to each part and mix the results by a gate. The two agree for exactly one gate,
the share of the local part in the joint softmax (local_share). The search is not done here: keys
and values are arguments. Read next: topk_attention in attention/sparse.py, where the store is the
sequence itself.
"""

import numpy as np

from tinylm.autograd import Array, Tensor, TensorLike, concatenate, exp, logsumexp, sigmoid, stack
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.backend import DType
from tinylm.errors import ShapeError
from tinylm.nn.linear import undecayed
from tinylm.nn.module import Module

# In all functions here: q (B, H, T, K); local k, v (B, G, S, K), (B, G, S, J) with an optional
# mask, as in attention(); retrieved far_k (B, N, T, n, K), far_v (B, N, T, n, J), n pairs for each
# query, N = H or a divisor, as gather_keys returns them; far_visible bool (B|1, H|1, T, n) or None.
# Retrieved keys get a gradient only if they require one: those of a store do not.
#
# near (B, H, T, S) and far (B, H, T, n) are the masks of the two parts, True = visible; hidden keys
# are left out as in attention().


def _local_scores(q, k, near, scale):
    """q k^T scale for local keys: (B, H, T, S)."""
    B, H, T, K = q.shape
    G, S = k.shape[1:3]
    # The H / G heads of a group read the same keys.
    q = q.reshape(B, G, H // G, T, K)
    near = near.reshape(B, G, H // G, T, S)
    k = k.reshape(B, G, 1, S, K)
    return seen_scores(q, k, near).reshape(B, H, T, S) * scale


def _local_mix(weights, v, near):
    """weights v for local values: (B, H, T, S), (B, G, S, J) -> (B, H, T, J)."""
    B, H, T, S = weights.shape
    G, J = v.shape[1], v.shape[3]
    weights = weights.reshape(B, G, H // G, T, S)
    near = near.reshape(B, G, H // G, T, S)
    v = v.reshape(B, G, 1, S, J)
    return seen_mix(weights, v, near).reshape(B, H, T, J)


def _by_query(x, N):
    """Group the R = H / N heads that share retrieved keys: (B, H, T, n) -> (B, N, T, R, n)."""
    B, H, T, n = x.shape
    return x.reshape(B, N, H // N, T, n).transpose(0, 1, 3, 2, 4)


def _by_head(x):
    """The inverse of _by_query: (B, N, T, R, n) -> (B, H, T, n)."""
    B, N, T, R, n = x.shape
    return x.transpose(0, 1, 3, 2, 4).reshape(B, N * R, T, n)


def _far_scores(q, far_k, far, scale):
    """q k^T scale for the retrieved keys of each query: (B, H, T, n)."""
    N = far_k.shape[1]
    scores = seen_scores(_by_query(q, N), far_k, _by_query(far, N))  # (B, N, T, R, n)
    return _by_head(scores) * scale


def _far_mix(weights, far_v, far):
    """weights v for the retrieved values of each query: (B, H, T, n) -> (B, H, T, J)."""
    N = far_v.shape[1]
    y = seen_mix(_by_query(weights, N), far_v, _by_query(far, N))  # (B, N, T, R, J)
    return _by_head(y)


def _prepare(q, k, far_k, mask, far_visible, causal, scale):
    """Scores and masks of both parts: (local (B, H, T, S), far (B, H, T, n)), twice."""
    name = "retrieved attention"
    check_heads(name, q, k)
    B, H, T, K = q.shape
    S = k.shape[2]
    fits = far_k.ndim == 5 and far_k.shape[2] == T and far_k.shape[4] == K
    if not fits or far_k.shape[1] < 1 or H % far_k.shape[1]:
        raise ShapeError(
            f"{name}: q {q.shape}, k {k.shape}, retrieved keys {far_k.shape}: "
            "need (B, H, T, K), (B, G, S, K), (B, N, T, n, K) with G and N divisors of H"
        )
    n = far_k.shape[3]
    scale = score_scale(K, scale)

    # Query i is token i + S - T of the S keys: with a cache, the last query is the last key.
    i = np.arange(T, like=q.data)[:, None] + (S - T)
    j = np.arange(S, like=q.data)[None, :]
    near = (j <= i) | (not causal)  # (T, S)
    mask = bool_mask(mask, name, bias=None, shape=(B, H, T, S))
    if mask is not None:
        near = near & mask
    near = np.broadcast_to(near, (B, H, T, S))

    far = bool_mask(far_visible, name, "far_visible", None, (B, H, T, n))
    if far is None:
        far = np.ones_like(near, shape=(1,))
    far = np.broadcast_to(far, (B, H, T, n))
    local_scores = _local_scores(q, k, near, scale)
    far_scores = _far_scores(q, far_k, far, scale)
    return local_scores, far_scores, near, far


def joint_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    far_k: Tensor,
    far_v: Tensor,
    far_visible: Array | None = None,
    mask: np.ndarray | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> Tensor:
    """One softmax over local and retrieved keys, [Mem, Mem_knn]   (book section 2.3.3, Fig. 2.7 a).

    returns  (B, H, T, J). A key that is both local and retrieved counts twice: hide it with
             not_local()
    """
    local, retrieved, near, far = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    scores = concatenate([local, retrieved], axis=-1)  # (B, H, T, S + n)
    visible = np.concatenate([near, far], axis=-1)
    weights, _ = visible_softmax(scores, visible)
    S = k.shape[2]
    return _local_mix(weights[..., :S], v, near) + _far_mix(weights[..., S:], far_v, far)


def separate_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    far_k: Tensor,
    far_v: Tensor,
    far_visible: Array | None = None,
    mask: Array | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Att_local and Att_knn, each with its own softmax   (book eqs. 2.65-2.66).

    returns  (local (B, H, T, J), far (B, H, T, J), local_norm (B, H, T, 1), far_norm (B, H, T, 1)).
             A norm is the logarithm of the softmax denominator; a query that sees nothing of a part
             gets zeros and -inf
    """
    local, retrieved, near, far = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    local, local_norm = visible_softmax(local, near)
    retrieved, far_norm = visible_softmax(retrieved, far)
    return _local_mix(local, v, near), _far_mix(retrieved, far_v, far), local_norm, far_norm


def gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    far_k: Tensor,
    far_v: Tensor,
    gate: TensorLike,
    far_visible: Array | None = None,
    mask: Array | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> Tensor:
    """g Att_local + (1 - g) Att_knn   (book eq. 2.64).

    In Wu et al. 2021 the gate multiplies the other part.

    gate     Tensor or number that broadcasts to (B, H, T, J), in [0, 1]: 1 is local only
    returns  (B, H, T, J)
    """
    local, far, *_ = separate_attention(q, k, v, far_k, far_v, far_visible, mask, causal, scale)
    return local * gate + far * (1 - gate)


def local_share(local_norm: Tensor, far_norm: Tensor) -> Tensor:
    """The gate that makes gated_attention() equal joint_attention(): Z_local / (Z_local + Z_knn).

    local_norm, far_norm  (B, H, T, 1) of separate_attention(), not both -inf;  returns that shape
    """
    # Z_local = e^local_norm, so the share is e^(local_norm - log(Z_local + Z_knn)).
    total = logsumexp(stack([local_norm, far_norm]), axis=0)
    return exp(local_norm - total)


def not_local(index: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which retrieved keys are not local as well, if both are positions of one sequence.

    index    (..., T, n) integers, retrieved positions
    mask     (T, S) bool, True where a query sees a local key
    returns  (..., T, n) bool, for far_visible
    """
    mask = bool_mask(mask, "not_local", bias=None)
    query = np.arange(mask.shape[0], like=index)[:, None]  # (T, 1)
    return ~mask[query, index]


class HeadGate(Module):
    """A learned gate for each head: g = sigmoid(b), at first one half   (Wu et al. 2021)."""

    def __init__(self, heads: int, dtype: DType = np.float32) -> None:
        self.b = undecayed(Tensor(np.zeros((heads, 1, 1), dtype), requires_grad=True))

    def __call__(self) -> Tensor:
        """(H, 1, 1), to broadcast against (B, H, T, J)."""
        return sigmoid(self.b)
