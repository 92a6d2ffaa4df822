"""Attention to retrieved keys: beside the local ones in one softmax, or in its own and mixed by a gate (section 2.3.3).

A store outside the model gives each query its nearest keys and their values, Mem_knn. Book Fig. 2.7(a) joins them to
the cache, [Mem, Mem_knn]; Memorizing Transformers (Wu et al. 2021; eqs. 2.64-2.66) attend to each and mix. The two
agree for exactly one gate, the local part's share of the joint softmax (local_share). How the store finds its keys is
another matter; here they are given. Read next: attention/sparse.py's topk_attention, where the store is the sequence.
"""
import math

import numpy as np

from tinylm.autograd import Tensor, concatenate, exp, logsumexp, matmul, sigmoid, stack
from tinylm.errors import ShapeError
from tinylm.nn.attention.sparse import visible_softmax
from tinylm.nn.module import Module

# In all functions here: q (B, H, T, K); local k, v (B, G, S, K), (B, G, S, J) with an optional mask, as in attention();
# retrieved far_k (B, N, T, n, K), far_v (B, N, T, n, J) are each query's own, N = H or a divisor, as gather_keys gives
# them; far_visible bool (B|1, H|1, T, n) or None. Retrieved keys get a gradient only if they carry one: a store's do not.


def _local_scores(q, k, scale):
    (B, H, T, K), G = q.shape, k.shape[1]
    return matmul(q.reshape(B, G, H // G * T, K), k.swapaxes(-1, -2)).reshape(B, H, T, k.shape[2]) * scale


def _local_mix(weights, v):
    (B, H, T, S), G = weights.shape, v.shape[1]
    return matmul(weights.reshape(B, G, H // G * T, S), v).reshape(B, H, T, v.shape[3])


def _far_scores(q, far_k, scale):
    (B, H, T, K), N = q.shape, far_k.shape[1]
    q = q.reshape(B, N, H // N, T, K).transpose(0, 1, 3, 2, 4)                          # (B, N, T, R, K)
    scores = matmul(q, far_k.swapaxes(-1, -2)) * scale                                  # (B, N, T, R, n)
    return scores.transpose(0, 1, 3, 2, 4).reshape(B, H, T, far_k.shape[3])


def _far_mix(weights, far_v):
    (B, H, T, n), N = weights.shape, far_v.shape[1]
    weights = weights.reshape(B, N, H // N, T, n).transpose(0, 1, 3, 2, 4)              # (B, N, T, R, n)
    return matmul(weights, far_v).transpose(0, 1, 3, 2, 4).reshape(B, H, T, far_v.shape[4])


def _prepare(q, k, far_k, mask, far_visible, causal, scale):
    """Scores of both parts and what may be seen of them, spread to (B, H, T, .)."""
    (B, H, T, K), S = q.shape, k.shape[2]
    if far_k.ndim != 5 or far_k.shape[2] != T or H % far_k.shape[1] or H % k.shape[1] or far_k.shape[4] != K:
        raise ShapeError(f"retrieved attention: q {q.shape}, k {k.shape}, retrieved keys {far_k.shape}: need (B, H, T, K), "
                         "(B, G, S, K), (B, N, T, n, K) with G and N divisors of H")
    scale = 1 / math.sqrt(K) if scale is None else scale
    i, j = np.arange(T, like=q.data)[:, None] + (S - T), np.arange(S, like=q.data)[None, :]
    near = (j <= i) | (not causal)
    near = near if mask is None else near & mask
    far = np.ones_like(near, shape=(1,)) if far_visible is None else far_visible
    shapes = (B, H, T, S), (B, H, T, far_k.shape[3])
    return (_local_scores(q, k, scale), _far_scores(q, far_k, scale),
            *(np.broadcast_to(seen, shape) for seen, shape in zip((near, far), shapes)))


def joint_attention(q, k, v, far_k, far_v, far_visible=None, mask=None, causal=True, scale=None):
    """One softmax over local and retrieved keys, [Mem, Mem_knn]   (book section 2.3.3, Fig. 2.7 a)

    returns  (B, H, T, J). A key that is both local and retrieved counts twice: hide it with not_local()
    """
    *scores, near, far = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    weights, _ = visible_softmax(concatenate(scores, axis=-1), np.concatenate([near, far], axis=-1))
    S = k.shape[2]
    return _local_mix(weights[..., :S], v) + _far_mix(weights[..., S:], far_v)


def separate_attention(q, k, v, far_k, far_v, far_visible=None, mask=None, causal=True, scale=None):
    """Att_local and Att_knn, each with its own softmax   (book eqs. 2.65-2.66)

    returns  (local (B, H, T, J), far (B, H, T, J), local_norm (B, H, T, 1), far_norm (B, H, T, 1)), the norms being the
             logarithms of the softmax denominators; a query that sees nothing of a part gets zeros and -inf
    """
    local, far, near_seen, far_seen = _prepare(q, k, far_k, mask, far_visible, causal, scale)
    local, local_norm = visible_softmax(local, near_seen)
    far, far_norm = visible_softmax(far, far_seen)
    return _local_mix(local, v), _far_mix(far, far_v), local_norm, far_norm


def gated_attention(q, k, v, far_k, far_v, gate, far_visible=None, mask=None, causal=True, scale=None):
    """g Att_local + (1 - g) Att_knn   (book eq. 2.64; Wu et al. 2021, whose gate multiplies the other part)

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
    """Which retrieved keys are not among the local ones anyway, if both are positions of one sequence.

    index    (..., T, n) integers, retrieved positions;  mask (T, S) bool, what each query sees locally
    returns  bool of index's shape, for far_visible
    """
    return ~mask[np.arange(mask.shape[0], like=index)[:, None], index]


class HeadGate(Module):
    """A learned gate for each head: g = sigmoid(b)   (Wu et al. 2021). Begins at one half."""

    def __init__(self, heads, dtype=np.float32):
        self.b = Tensor(np.zeros((heads, 1, 1), dtype), requires_grad=True)

    def __call__(self):
        """(H, 1, 1), to broadcast against (B, H, T, J)."""
        return sigmoid(self.b)
