"""Relative positions as vectors beside keys and values   (book section 2.3.5; Shaw et al. 2018).

    score(i, j) = q_i (k_j + a^K_{j-i})^T / sqrt(K)
    out_i = sum_j weight(i, j) (v_j + a^V_{j-i})

with j - i clipped to [-c, c]: two tables of 2c + 1 vectors, shared by the heads. Read next:
bias.py, where the same dependence is reduced to a number.
"""

import numpy as np

from tinylm.autograd import Array, Tensor, einsum, embedding, pad, reshape
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    grouped_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.backend import DType, Random
from tinylm.errors import ShapeError
from tinylm.nn.linear import INIT_STD, Embedding
from tinylm.nn.module import Module


def relative_index(query_positions: np.ndarray, key_positions: np.ndarray, clip: int) -> np.ndarray:
    """clip(j - i, -c, c) + c for every query i and key j: row numbers in a table of 2c + 1 vectors.

    query_positions  (T,) or (B, T) integers
    key_positions    (S,) or (B, S) integers
    returns          (T, S) or (B, T, S) integers in 0 .. 2c
    """
    offset = key_positions[..., None, :] - query_positions[..., :, None]  # j - i
    return np.clip(offset, -clip, clip) + clip


def shaw_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Array | None = None,
    scale: float | None = None,
) -> Tensor:
    """Attention with a vector added to each key and each value, one per pair of positions.

    q        (B, H, T, K);  k, v  (B, H, S, K)
    keys     a^K, (T, S, K) or (B, T, S, K): looked up by relative_index
    values   a^V, the same shape
    mask     bool, broadcasts to (B, H, T, S), True = visible; None: everything
    scale    1/sqrt(K) unless given
    returns  (B, H, T, K); zeros for a query that sees nothing
    """
    check_heads("shaw_attention", q, k, v)
    B, H, T, K = q.shape
    S, J = k.shape[2], v.shape[3]
    fits = keys.shape[-3:] == (T, S, K) and values.shape[-3:] == (T, S, J)
    fits = fits and all(x.ndim == 3 or x.shape[:-3] == (B,) for x in (keys, values))
    if k.shape[1] != H or not fits:
        raise ShapeError(
            f"shaw_attention: q {q.shape}, k {k.shape}, v {v.shape}, "
            f"keys {keys.shape}, values {values.shape}: "
            "need (B, H, T, K), (B, H, S, K) twice and (T, S, K) or (B, T, S, K) twice"
        )
    scale = score_scale(K, scale)
    mask = bool_mask(mask, "shaw_attention", bias=None, shape=(B, H, T, S))
    seen = grouped_mask(mask, (B, H, T, S))
    pairs = "btsk" if keys.ndim == 4 else "tsk"
    # q_i (k_j + a^K)^T = q_i k_j^T + q_i a^K^T, so no (B, H, T, S, K) array is made.
    scores = seen_scores(q, k, seen)  # (B, H, T, S)
    scores = scores + einsum(f"bhtk,{pairs}->bhts", q, keys)
    weights, _ = visible_softmax(scores * scale, mask)
    # The same for values: sum_j w_ij v_j + sum_j w_ij a^V.
    y = seen_mix(weights, v, seen)  # (B, H, T, J)
    return y + einsum(f"bhts,{pairs}->bhtk", weights, values)


class ShawRelative(Module):
    """The two tables, and attention with them.

    width   K, the head width;  clip  c: positions further apart than this look the same
    """

    def __init__(
        self,
        width: int,
        rng: Random,
        clip: int = 16,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.clip = clip
        self.keys = Embedding(2 * clip + 1, width, rng, std, dtype)  # a^K
        self.values = Embedding(2 * clip + 1, width, rng, std, dtype)  # a^V

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: np.ndarray,
        key_positions: np.ndarray,
        mask: np.ndarray | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Attention with the vectors of both tables beside keys and values.

        q, k, v                         (B, H, T, K), (B, H, S, K) twice
        query_positions, key_positions  (T,) and (S,), or (B, T) and (B, S), integers
        returns                         (B, H, T, K)
        """
        index = relative_index(query_positions, key_positions, self.clip)  # (T, S) or (B, T, S)
        keys = embedding(index, self.keys.weight)  # (T, S) -> (T, S, K)
        values = embedding(index, self.values.weight)
        return shaw_attention(q, k, v, keys, values, mask, scale)


def relative_shift(x: Tensor) -> Tensor:
    """out[t, s] = x[t, s - t + T - 1]: a matrix read by diagonals.

    Dai et al. 2019, Huang et al. 2019.
    With x = q a^T for the 2T - 1 offsets -(T-1) .. T-1, out holds every score q_t a_{s-t}, without
    the (T, T, K) array that looking up each a_{s-t} would make.

    x        (..., T, 2T - 1)
    returns  (..., T, T)
    raises   ShapeError for another width
    """
    # Rows of 2T - 1 numbers are padded to 2T and read as rows of 2T - 1: each row then begins one
    # column further to the left. Once the first T - 1 numbers are dropped, row t begins at column
    # T - 1 - t of x.
    *lead, T, n = x.shape
    if n != 2 * T - 1:
        raise ShapeError(
            f"relative_shift: {T} queries need 2 * {T} - 1 = {2 * T - 1} offsets, not {n}"
        )
    padded = pad(x, ((0, 0),) * (len(lead) + 1) + ((0, 1),))  # (..., T, 2T)
    flat = reshape(padded, (*lead, 2 * T * T))
    flat = flat[..., T - 1 : -1]  # 2T^2 - T = T (2T - 1) numbers
    shifted = reshape(flat, (*lead, T, n))  # (..., T, 2T - 1)
    return shifted[..., :T]
