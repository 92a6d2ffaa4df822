"""Relative positions as vectors beside keys and values   (book section 2.3.5; Shaw et al. 2018).

    score(i, j) = q_i (k_j + a^K_{j-i})^T / sqrt(K),      out_i = sum_j weight(i, j) (v_j + a^V_{j-i})

with j - i clipped to [-c, c]: two tables of 2c + 1 vectors, shared by the heads. Read next:
bias.py, where the same dependence is reduced to a number.
"""

import numpy as np

from tinylm.autograd import einsum, embedding, pad, reshape
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    grouped_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.errors import ShapeError
from tinylm.nn.linear import INIT_STD, Embedding
from tinylm.nn.module import Module


def relative_index(query_positions, key_positions, clip):
    """clip(j - i, -c, c) + c for every query i and key j: rows of a table of 2c + 1 vectors

    query_positions (T,) or (B, T), key_positions (S,) or (B, S), integers -> (T, S) or (B, T, S)
    """
    return np.clip(key_positions[..., None, :] - query_positions[..., :, None], -clip, clip) + clip


def shaw_attention(q, k, v, keys, values, mask=None, scale=None):
    """Attention with a vector added to every key and every value, one per pair of positions

    q        (B, H, T, K);  k, v  (B, H, S, K)
    keys     a^K, (T, S, K) or (B, T, S, K): already looked up by relative_index
    values   a^V, the same shape
    mask     bool, broadcasts to (B, H, T, S), True = visible; None: everything
    scale    1/sqrt(K) unless given
    returns  (B, H, T, K); zeros for a query that sees nothing
    """
    pairs = "btsk" if keys.ndim == 4 else "tsk"
    check_heads("shaw_attention", q, k, v)
    (B, H, T, K), S = q.shape, k.shape[2]
    lookups = [x.shape if x.ndim == 4 else (B, *x.shape) for x in (keys, values)]
    if k.shape[1] != H or lookups != [(B, T, S, K), (B, T, S, v.shape[3])]:
        raise ShapeError(
            f"shaw_attention: q {q.shape}, k {k.shape}, v {v.shape}, keys {keys.shape}, values {values.shape}: "
            "need (B, H, T, K), (B, H, S, K) twice and (T, S, K) or (B, T, S, K) twice"
        )
    scale = score_scale(K, scale)
    mask = bool_mask(mask, "shaw_attention", bias=None, shape=(B, H, T, S))
    seen = grouped_mask(mask, (*q.shape[:3], k.shape[2]))
    scores = seen_scores(q, k, seen) + einsum(f"bhtk,{pairs}->bhts", q, keys)  # (B, H, T, S)
    weights, _ = visible_softmax(scores * scale, mask)
    return seen_mix(weights, v, seen) + einsum(f"bhts,{pairs}->bhtk", weights, values)


class ShawRelative(Module):
    """The two tables, and attention with them.

    width   K, the head width;  clip  c: positions further apart than this look the same
    """

    def __init__(self, width, rng, clip=16, std=INIT_STD, dtype=np.float32):
        self.clip = clip
        self.keys, self.values = (Embedding(2 * clip + 1, width, rng, std, dtype) for _ in range(2))

    def __call__(self, q, k, v, query_positions, key_positions, mask=None, scale=None):
        """q (B, H, T, K), k and v (B, H, S, K), positions (T,) and (S,), or (B, T) and (B, S) ->
        (B, H, T, K).
        """
        index = relative_index(query_positions, key_positions, self.clip)  # (T, S)
        keys, values = (
            embedding(index, table.weight) for table in (self.keys, self.values)
        )  # (T, S, K)
        return shaw_attention(q, k, v, keys, values, mask, scale)


def relative_shift(x):
    """Read a matrix by diagonals: out[t, s] = x[t, s - t + T - 1]   (Dai et al. 2019; Huang et al.
    2019)

    With x = q a^T for the 2T - 1 offsets -(T-1) .. T-1, this is every score q_t a_{s-t} without
    ever making the (T, T, K) array that a lookup makes.

    x        (..., T, 2T - 1)
    returns  (..., T, T)
    raises   ShapeError for another width
    """
    # Rows of 2T - 1 numbers padded to 2T, then read as rows of 2T - 1: each row begins one further
    # to the left. Row t then begins at column T - 1 - t of x once T - 1 numbers in front are
    # dropped.
    *lead, T, n = x.shape
    if n != 2 * T - 1:
        raise ShapeError(
            f"relative_shift: {T} queries need 2 * {T} - 1 = {2 * T - 1} offsets, not {n}"
        )
    padded = pad(x, ((0, 0),) * (len(lead) + 1) + ((0, 1),))  # (..., T, 2T)
    flat = reshape(padded, (*lead, 2 * T * T))[..., T - 1 : -1]  # T rows of 2T - 1 numbers
    return reshape(flat, (*lead, T, n))[..., :T]
