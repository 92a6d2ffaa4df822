"""Causal self-attention by blocks of queries, each with the keys up to its last   (book eqs.
2.6-2.11).

Nearly half of the scores are never computed, and the others are worked on in the cache. A block of
queries sees a prefix of the keys, so its softmax is complete: there is no online sum as in
tiled_attention.py. Below KEPT tokens the weights of a block stay for backward; longer sequences
compute them again there, block by block, so that memory grows with the length and not its square.
Its readable twin is the dense way of attention.py, which masks, dropout and short sequences take.
Shapes are those of attention.py. Read next: attention.py.
"""

import math

import numpy as np

from tinylm.autograd.kernels.masks import all_finite
from tinylm.autograd.kernels.rows import row_dots, transposed

LEAST = 256  # tokens from which it is faster: with 128 there is little to leave out
KEPT = 512  # tokens from which weights are computed again instead of kept
CACHE = 1 << 20  # bytes of scores that are worked on at a time: a core's level-2 cache
SAFE_SCORE = 60.0  # as in attention.py: below it exp() of a score needs no shift


def applies(q, causal, mask, dropped):
    """True where this way is the faster: long causal sequences on a CPU, nothing else hidden."""
    usual = causal and mask is None and dropped is None and type(q) is np.ndarray
    return usual and q.shape[3] >= LEAST


def block_rows(T):
    """Queries of a block: few leave out more scores, many make better products."""
    return 64 if T < 1024 else 128


def _blocks(q):
    """Yields (b, heads, start, stop): a sequence, a slice of its G groups, a block of queries."""
    B, G, R, T, _ = q.shape
    rows = block_rows(T)
    groups = max(1, CACHE // (R * rows * T * q.itemsize))
    for b in range(B):
        for first in range(0, G, groups):
            for start in range(0, T, rows):
                yield b, slice(first, first + groups), start, min(start + rows, T)


def _queries(q, b, heads, start, stop, scale):
    """The scaled queries of a block, those that share keys one below another: (G, R n, K)."""
    block = q[b, heads, :, start:stop] * scale  # (G, R, n, K), a fresh array
    return block.reshape(len(block), -1, q.shape[-1])


def _in_the_square(scores, start):
    """The part of scores (G, R n, stop) where queries meet their own block: (G, R, n, n), a view.

    Before `start` everything is in the past.
    """
    n = scores.shape[2] - start
    return scores.reshape(len(scores), -1, n, scores.shape[2])[..., start:]


def _fast_weights(scores, start):
    """exp(scores), 0 in the future, written over the scores: all of them are safe."""
    np.exp(scores, out=scores)
    square = _in_the_square(scores, start)
    square *= np.tri(square.shape[-1], dtype=scores.dtype)
    return scores


def _careful_weights(scores, start):
    """As _fast_weights(), of any scores: rows out of bounds are shifted by their maximum."""
    square = _in_the_square(scores, start)
    np.copyto(square, -np.inf, where=~np.tri(square.shape[-1], dtype=bool))
    top = np.max(scores, axis=-1, keepdims=True)
    scores -= np.where(np.abs(top) >= SAFE_SCORE, top, 0)
    return np.exp(scores, out=scores)


def _softmax(queries, keys, start):
    """(weights (G, R n, stop), their row sums, the function that made them of the scores)."""
    ones = np.ones_like(keys, shape=keys.shape[1:2])
    scores = queries @ transposed(keys)
    if np.max(scores) < SAFE_SCORE:
        weights = _fast_weights(scores, start)
        total = weights @ ones  # a product with ones is BLAS, faster than a sum
        # As in attention.py: a row whose sum is smaller has lost its digits.
        if np.min(total) > len(ones) * math.exp(-SAFE_SCORE):
            return weights, total, _fast_weights
        scores = queries @ transposed(keys)  # the fast way has overwritten them
    weights = _careful_weights(scores, start)
    return weights, weights @ ones, _careful_weights


def forward(q, k, v, scale, y, keep):
    """Write attention into y; return what backward() needs; None if the result is not finite.

    q (B, G, R, T, K);  k, v (B, G, 1, T, .);  y (B, G, R, T, J), a view of the output
    keep     False: backward() will not be called
    returns  (inverse, kept): 1 / row sum (B, G, R, T), and for each block its weights, or the
             function that makes them
    """
    T, finite = q.shape[3], True
    inverse, kept = np.empty_like(q, shape=q.shape[:4], order="C"), []
    for b, heads, start, stop in _blocks(q):
        queries = _queries(q, b, heads, start, stop, scale)
        keys, values = k[b, heads, 0, :stop], v[b, heads, 0, :stop]  # (G, stop, .)
        weights, total, made = _softmax(queries, keys, start)
        part = np.divide(1, total, out=total)
        mixed = weights @ values  # (G, R n, stop) @ (G, stop, J)
        mixed *= part[..., None]
        finite = finite and all_finite(mixed)
        shape = (len(mixed), -1, stop - start)
        y[b, heads, :, start:stop] = mixed.reshape(*shape, mixed.shape[-1])
        inverse[b, heads, :, start:stop] = part.reshape(shape)
        if keep:
            kept.append(weights if T < KEPT else made)
    return (inverse, kept) if finite else None


def backward(g, saved, q, k, v, scale, y, dq, dk, dv):
    """Write the gradients into dq (B, G, R, T, K), dk (B, G, T, K) and dv (B, G, T, J); g as y."""
    # The formulas are those of attention.py, for the queries of one block. Sums over the R heads
    # of a group are inner products, since those heads stand one below another.
    inverse, kept = saved
    by_keys = by_values = None
    T = q.shape[3]
    for (b, heads, start, stop), weights in zip(_blocks(q), kept):
        queries = _queries(q, b, heads, start, stop, scale)
        keys, values = k[b, heads, 0, :stop], v[b, heads, 0, :stop]
        if callable(weights):
            weights = weights(queries @ transposed(keys), start)
        if start == 0:
            by_keys = np.zeros_like(keys, shape=(len(keys), T, keys.shape[2]))
            by_values = np.zeros_like(values, shape=(len(values), T, values.shape[2]))
        gi = g[b, heads, :, start:stop] * inverse[b, heads, :, start:stop, None]  # (G, R, n, J)
        shape = gi.shape[:3]
        gi = gi.reshape(len(gi), -1, gi.shape[3])  # (G, R n, J)
        by_values[:, :stop] += transposed(weights) @ gi
        ds = gi @ transposed(values)  # (G, R n, stop)
        ds -= row_dots(gi, y[b, heads, :, start:stop].reshape(gi.shape))[..., None]
        ds *= weights
        by_queries = ds @ keys
        by_queries *= scale
        dq[b, heads, :, start:stop] = by_queries.reshape(*shape, -1)
        by_keys[:, :stop] += transposed(ds) @ queries  # the scale is in the queries
        if stop == T:
            dk[b, heads], dv[b, heads] = by_keys, by_values
