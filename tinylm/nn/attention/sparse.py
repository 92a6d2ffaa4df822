"""Sparse attention: scores only for the keys in each query's set G (book eq. 2.48).

Keys and values of G are gathered, so the work is T |G| instead of T S. Weights are normalized over
G alone, so each is larger than in dense attention, by the mass that the other keys had there. Two
ways stand here: gathering by any table of indices, and the sliding window in blocks, where
neighboring queries share their keys and gathering becomes slicing. Neither stores less: all keys
and values are still kept. Read next: linear_attention.py, which forgets them.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor, attention, concatenate, fused, getitem, pad
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import bool_mask, seen_mix, seen_scores, visible_softmax
from tinylm.backend import backend_of
from tinylm.errors import ConfigError, ShapeError


def _named_rows(x, index):
    """x[index], the composed twin of gather_rows."""
    return getitem(x, index)


@fused(_named_rows)
def gather_rows(x: np.ndarray, *, index: np.ndarray, keep: bool) -> tuple[np.ndarray, Callable]:
    """Rows of a table by number, x[index], with a fast derivative for long lists of numbers.

    x        (N, K)
    index    integers of any shape, 0 .. N - 1; a row may be named often
    returns  (*index.shape, K)

    Check: tinylm gradcheck gather_rows
    """

    # y[p] = x[index[p]], so dL/dx[n] is the sum of g[p] over all p with index[p] = n. Counting with
    # weights adds in float64 in one pass: 30 ms for 2048 queries of 64 keys, 32 wide, where
    # np.add.at takes 36 in float32 and 200 in float64.
    def backward(g):
        K = x.shape[1]
        if type(x) is not np.ndarray:  # a GPU adds in parallel
            dx = np.zeros_like(x)
            backend_of(x).module.add.at(dx, index.reshape(-1), g.reshape(-1, K))
            return (dx,)
        at = index.reshape(-1, 1) * K + np.arange(K)  # (P, K), positions in the flat table
        dx = np.bincount(at.ravel(), g.ravel(), x.size).reshape(x.shape)
        return (dx.astype(x.dtype, copy=False),)

    return x[index], backward


def gather_keys(x: Tensor, index: np.ndarray, heads: int) -> Tensor:
    """Rows of keys or values by a table of indices.

    x        Tensor (B, G, S, K)
    index    (T, n), (H, T, n) or (B, H, T, n) integers: one table for all heads, or one for each of
             `heads`
    returns  Tensor (B, G or H, T, n, K)
    """
    B, G, S, K = x.shape
    index = index[(None,) * (4 - index.ndim)]  # (B|1, H|1, T, n)
    many = G  # one table serves all heads of a group
    if index.shape[1] > 1:
        many = heads
    batch = np.arange(B, like=index).reshape(B, 1, 1, 1)
    group = np.arange(many, like=index) // (many // G)  # head h reads group floor(h G / H)
    group = group.reshape(1, many, 1, 1)
    # Row of (b, group, s) in a table of all rows, (B G S, K).
    rows = (batch * G + group) * S + index  # (B, G or H, T, n)
    return gather_rows(x.reshape(B * G * S, K), index=rows)


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    index: np.ndarray,
    visible: np.ndarray | None = None,
    scale: float | None = None,
) -> Tensor:
    """sum over j in G_i of alpha'_ij v_j: each query attends to its own keys   (book eq. 2.48).

    q        (B, H, T, K)  queries
    k, v     (B, G, S, K), (B, G, S, J)  keys and values; G divides H
    index    (T, n), (H, T, n) or (B, H, T, n) integers below S: the set of each query, padded
    visible  bool of the same shape, False on padding; None if there is none
    scale    1/sqrt(K) unless given
    returns  (B, H, T, J); equal to attention() with mask_of(index, visible). Zeros where the set is
             empty
    raises   ShapeError

    Costs 2 T n (K + J) operations a head, the padding included.
    """
    check_heads("sparse_attention", q, k, v)
    B, H, T, K = q.shape
    if index.shape[-2] != T or (visible is not None and visible.shape != index.shape):
        shape = None if visible is None else visible.shape
        raise ShapeError(
            f"sparse_attention: q {q.shape}, k {k.shape}, index {index.shape}, visible {shape}: "
            "need G a divisor of H and index (..., T, n)"
        )
    visible = bool_mask(visible, "sparse_attention", "visible", bias=None)
    k = gather_keys(k, index, H)  # (B, G, S, K) -> (B, G', T, n, K)
    v = gather_keys(v, index, H)  # (B, G, S, J) -> (B, G', T, n, J)
    G = k.shape[1]  # G' is H where heads have tables of their own
    # The R = H / G' heads of a group share the keys of a query.
    q = q.reshape(B, G, H // G, T, K).transpose(0, 1, 3, 2, 4)  # (B, G', T, R, K)
    if visible is not None:
        visible = visible[(None,) * (4 - visible.ndim)][:, :, :, None]  # (B|1, H|1, T, 1, n)
        visible = np.broadcast_to(visible, (*visible.shape[:2], T, 1, k.shape[3]))
    scores = seen_scores(q, k, visible) * score_scale(K, scale)  # (B, G', T, R, n)
    weights, _ = visible_softmax(scores, visible)
    y = seen_mix(weights, v, visible)  # (B, G', T, R, J)
    return y.transpose(0, 1, 3, 2, 4).reshape(B, H, T, v.shape[-1])


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, width: int, scale: float | None = None
) -> Tensor:
    """Causal sliding-window attention in blocks.

    Equal to attention() with the mask window(T, width=width).

    q        (B, H, T, K);  k, v (B, G, T, K), (B, G, T, J): a whole sequence, no past
    width    keys that a query sees, its own included
    returns  (B, H, T, J)
    raises   ConfigError, ShapeError

    Queries in blocks of C = width see their own block of keys and the one before, nothing else:
    4 T C (K + J) operations a head, twice those of the window itself, but in matrix products.
    """
    check_heads("window_attention", q, k, v)
    B, H, T, K = q.shape
    G, C = k.shape[1], width
    if width < 1:
        raise ConfigError(f"window_attention: width {width} must be 1 or more")
    if k.shape[2] != T:
        raise ShapeError(
            f"window_attention: {T} queries and {k.shape[2]} keys: needs as many; "
            "with a past use sparse_attention"
        )
    if width >= T:
        return attention(q, k, v, causal=True, scale=scale)
    n = -(-T // C)  # blocks; the last is padded at its end, which no earlier query sees

    def by_block(x, heads):  # (B, heads, T, K) -> (B, heads, n, C, K)
        x = pad(x, ((0, 0), (0, 0), (0, n * C - T), (0, 0)))
        return x.reshape(B, heads, n, C, x.shape[-1])

    def with_the_block_before(x):  # (B, G, T, K) -> (B n, G, 2C, K)
        x = by_block(x, G)
        before = pad(x[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0), (0, 0)))  # shifted by a block
        both = concatenate([before, x], axis=3)  # (B, G, n, 2C, K)
        return both.transpose(0, 2, 1, 3, 4).reshape(B * n, G, 2 * C, x.shape[-1])

    # Within its 2C keys, query i of a block has position C + i: it sees the C keys up to itself.
    i = np.arange(C, like=q.data)[:, None] + C
    j = np.arange(2 * C, like=q.data)[None, :]
    seen = (j <= i) & (j > i - width)  # (C, 2C)
    has_past = np.arange(n, like=q.data).reshape(n, 1, 1, 1) > 0  # the first block has none
    mask = seen & (has_past | (j >= C))  # (n, 1, C, 2C)
    mask = np.broadcast_to(mask[None], (B, n, 1, C, 2 * C)).reshape(B * n, 1, C, 2 * C)

    # Blocks become rows of the batch: attention never looks from one into another.
    q = by_block(q, H).transpose(0, 2, 1, 3, 4).reshape(B * n, H, C, K)
    k = with_the_block_before(k)
    v = with_the_block_before(v)
    y = attention(q, k, v, mask=mask, scale=scale)  # (B n, H, C, J)
    J = v.shape[-1]
    y = y.reshape(B, n, H, C, J).transpose(0, 2, 1, 3, 4).reshape(B, H, n * C, J)
    return y[:, :, :T]


def top_keys(scores: np.ndarray, count: int, causal: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The `count` keys of largest score for each query: nearest neighbors among the tokens so far.

    scores   (..., T, S) array, larger is nearer; not differentiated
    causal   only keys up to the query count, the last query aligned with the last key
    returns  index (..., T, n), visible (..., T, n), nearest first; n = min(count, S); of equals the
             first wins
    raises   ConfigError if count is not 1 or more

    A score of nan comes before every number, as in topk(): it is seen and makes the result nan.
    """
    if count < 1:
        raise ConfigError(f"top_keys: {count} keys for each query: count must be 1 or more")
    T, S = scores.shape[-2:]
    seen = np.ones_like(scores, bool)
    if causal:
        i = np.arange(T, like=scores)[:, None] + (S - T)
        j = np.arange(S, like=scores)[None, :]
        seen &= j <= i
        scores = np.where(seen, scores, -np.inf)
    # argsort is ascending, puts nan last and is stable. Sorting the reversed row and reading the
    # result backwards gives descending order with nan first, and of equals the first key first.
    backwards = np.argsort(np.flip(scores, -1), axis=-1, kind="stable")
    index = S - 1 - np.flip(backwards, -1)[..., :count]
    return index, np.take_along_axis(seen, index, axis=-1)


def topk_attention(
    q: Tensor, k: Tensor, v: Tensor, count: int, causal: bool = True, scale: float | None = None
) -> Tensor:
    """Attention over the `count` best keys of each query (book section 2.3.3; Gupta et al. 2021).

    G is the set of keys with the largest q.k. This is k-NN attention with the sequence itself as
    the datastore. The choice of keys is piecewise constant and has no gradient. All scores are
    computed to choose, so this saves memory, not operations.

    Arguments and result as of attention().
    """
    check_heads("topk_attention", q, k, v)
    H = q.shape[1]
    keys = np.repeat(k.data, H // k.shape[1], axis=1)  # (B, G, S, K) -> (B, H, S, K)
    scores = q.data @ keys.swapaxes(-1, -2)  # (B, H, T, S), without a gradient
    index, visible = top_keys(scores, count, causal)  # (B, H, T, n)
    return sparse_attention(q, k, v, index, visible, scale)
