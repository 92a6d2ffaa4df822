"""Sparse attention whose cost is really lower: scores are made only for the keys in each query's
set G (book eq. 2.48).

Keys and values of G are gathered, so the work is T |G| instead of T S; weights are normalized over
G alone, so each is larger than in dense attention by the mass that the others held there. Two ways
stand here: any index table by gathering, and the sliding window in blocks, where neighbors share
their keys and the gathering becomes slicing. Neither stores less: all keys and values are still
kept. Read next: linear_attention.py, which forgets them.
"""

import numpy as np

from tinylm.autograd import attention, concatenate, fused, getitem, pad
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import bool_mask, seen_mix, seen_scores, visible_softmax
from tinylm.backend import backend_of
from tinylm.errors import ConfigError, ShapeError


def _named_rows(x, index):
    """x[index], the twin of gather_rows"""
    return getitem(x, index)


@fused(_named_rows)
def gather_rows(x, *, index, keep):
    """Rows of a table by number, each as often as it is named: x[index] with a derivative made for
    long lists

    x        (N, K);  index integers of any shape, 0 .. N - 1
    returns  (*index.shape, K)
    """

    # dL/dx of row n is the sum of g over every place that names it. Counting with weights adds in
    # float64 in one pass, 38 ms where np.add.at takes 92 for 2048 queries of 64 keys, 32 wide.
    def backward(g):
        K = x.shape[1]
        if type(x) is not np.ndarray:  # a GPU adds in parallel
            out = np.zeros_like(x)
            backend_of(x).module.add.at(out, index.reshape(-1), g.reshape(-1, K))
            return (out,)
        places = index.reshape(-1, 1) * K + np.arange(K)  # of every number in the flat table
        return (
            np.bincount(places.ravel(), g.ravel(), x.size)
            .reshape(x.shape)
            .astype(x.dtype, copy=False),
        )

    return x[index], backward


def gather_keys(x, index, heads):
    """Rows of keys or values by a table of indices.

    x        Tensor (B, G, S, K)
    index    (T, n), (H, T, n) or (B, H, T, n) integers: one table for all heads, or one for each of
             `heads`
    returns  Tensor (B, G or H, T, n, K)
    """
    B, G, S, K = x.shape
    index = index[(None,) * (4 - index.ndim)]  # (B|1, H|1, T, n)
    many = heads if index.shape[1] > 1 else G
    batch = np.arange(B, like=index).reshape(B, 1, 1, 1)
    group = (np.arange(many, like=index) // (many // G)).reshape(
        1, many, 1, 1
    )  # head h reads group h G / H
    return gather_rows(x.reshape(B * G * S, K), index=(batch * G + group) * S + index)


def sparse_attention(q, k, v, index, visible=None, scale=None):
    """Attention of each query over its own set of keys: sum over j in G of alpha'_ij v_j (book eq.
    2.48)

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
    G = k.shape[1]
    if index.shape[-2] != T or (visible is not None and visible.shape != index.shape):
        raise ShapeError(
            f"sparse_attention: q {q.shape}, k {k.shape}, index {index.shape}, visible "
            f"{None if visible is None else visible.shape}: need G a divisor of H and index (..., T, n)"
        )
    visible = bool_mask(visible, "sparse_attention", "visible", bias=None)
    k, v = gather_keys(k, index, H), gather_keys(v, index, H)  # (B, G', T, n, .)
    G = k.shape[1]  # H where heads have their own tables
    q = q.reshape(B, G, H // G, T, K).transpose(0, 1, 3, 2, 4)  # (B, G', T, R, K)
    if visible is not None:
        visible = visible[(None,) * (4 - visible.ndim)][:, :, :, None]  # (B|1, H|1, T, 1, n)
        visible = np.broadcast_to(visible, (*visible.shape[:2], T, 1, k.shape[3]))
    scores = seen_scores(q, k, visible) * score_scale(K, scale)  # (B, G', T, R, n)
    y = seen_mix(visible_softmax(scores, visible)[0], v, visible)  # (B, G', T, R, J)
    return y.transpose(0, 1, 3, 2, 4).reshape(B, H, T, v.shape[-1])


def window_attention(q, k, v, width, scale=None):
    """Causal sliding-window attention in blocks: equal to attention() with mask window(T,
    width=width)

    q        (B, H, T, K);  k, v (B, G, T, K), (B, G, T, J): a whole sequence, no past
    width    keys that a query sees, its own included
    returns  (B, H, T, J)
    raises   ConfigError, ShapeError

    Queries in blocks of `width` see their own block of keys and the one before, nothing else: 4 T
    width (K + J) operations a head, twice those of the window itself, but in matrix products.
    """
    check_heads("window_attention", q, k, v)
    (B, H, T, K), G, C = q.shape, k.shape[1], width
    if width < 1:
        raise ConfigError(f"window_attention: width {width} must be 1 or more")
    if k.shape[2] != T:
        raise ShapeError(
            f"window_attention: {T} queries and {k.shape[2]} keys: needs as many; with a past use sparse_attention"
        )
    if width >= T:
        return attention(q, k, v, causal=True, scale=scale)
    n = -(-T // C)  # blocks; the last is filled up at the end, where nobody looks back

    def by_block(x, heads):  # (B, heads, T, K) -> (B, heads, n, C, K)
        return pad(x, ((0, 0), (0, 0), (0, n * C - T), (0, 0))).reshape(B, heads, n, C, x.shape[-1])

    def with_the_block_before(x):  # (B, G, T, K) -> (B n, G, 2C, K)
        x = by_block(x, G)
        before = pad(x[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0), (0, 0)))
        return (
            concatenate([before, x], axis=3)
            .transpose(0, 2, 1, 3, 4)
            .reshape(B * n, G, 2 * C, x.shape[-1])
        )

    i, j = np.arange(C, like=q.data)[:, None] + C, np.arange(2 * C, like=q.data)[None, :]
    seen = (j <= i) & (j > i - width)  # (C, 2C)
    first = np.arange(n, like=q.data).reshape(n, 1, 1, 1) > 0  # before the first block is nothing
    mask = np.broadcast_to((seen & (first | (j >= C)))[None], (B, n, 1, C, 2 * C)).reshape(
        B * n, 1, C, 2 * C
    )
    q = by_block(q, H).transpose(0, 2, 1, 3, 4).reshape(B * n, H, C, K)
    y = attention(q, with_the_block_before(k), with_the_block_before(v), mask=mask, scale=scale)
    return (
        y.reshape(B, n, H, C, v.shape[-1])
        .transpose(0, 2, 1, 3, 4)
        .reshape(B, H, n * C, v.shape[-1])[:, :, :T]
    )


def top_keys(scores, count, causal=True):
    """The `count` keys of largest score for each query: k-nearest neighbors among the tokens seen
    so far.

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
        seen &= np.arange(S, like=scores)[None, :] <= np.arange(T, like=scores)[:, None] + (S - T)
        scores = np.where(seen, scores, -np.inf)
    # Upwards from the end, read backwards: nan first, equals in order.
    backwards = np.argsort(np.flip(scores, -1), axis=-1, kind="stable")
    index = S - 1 - np.flip(backwards, -1)[..., :count]
    return index, np.take_along_axis(seen, index, axis=-1)


def topk_attention(q, k, v, count, causal=True, scale=None):
    """Attention over the `count` best keys of each query: G = top-k scores   (book section 2.3.3;
    Gupta et al. 2021)

    Memory layers on the sequence itself: the datastore is the tokens seen so far, and looking up
    nearest neighbors in it by inner product is sparse attention. Which keys are chosen is piecewise
    constant and has no gradient; all scores are computed to choose, so this saves memory, not
    scores. Arguments and result as of attention().
    """
    check_heads("topk_attention", q, k, v)
    H = q.shape[1]
    keys = np.repeat(k.data, H // k.shape[1], axis=1)
    index, visible = top_keys(q.data @ keys.swapaxes(-1, -2), count, causal)  # (B, H, T, n)
    return sparse_attention(q, k, v, index, visible, scale)
