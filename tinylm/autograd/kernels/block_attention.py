"""Self-attention without masks and dropout, by blocks of queries that stay in the cache   (book
eqs. 2.6-2.11).

A block is some queries with all keys that they see: if causal, the keys up to its last, so that
nearly half of the scores of a long sequence are never computed. A block's softmax is complete:
there is no online sum as in tiled_attention.py. Below KEPT tokens its weights stay for backward;
longer sequences compute them again there, block by block, so that memory grows with the length and
not its square. The readable twin is the dense way of attention.py, which masks, dropout and other
devices take. Shapes are those of attention.py. Read next: attention.py.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from tinylm.autograd.kernels.rows import row_dots, transposed

LONG = 256  # tokens from which a sequence is cut: with 128 there is little to leave out
KEPT = 512  # tokens from which weights are computed again instead of kept
CACHE = 1 << 20  # bytes of scores that are worked on at a time: a core's level-2 cache
SAFE_SCORE = 60.0  # as in attention.py: below it exp() of a score needs no shift


def applies(q: np.ndarray, mask: np.ndarray | None, dropped: np.ndarray | None) -> bool:
    """True where blocks are the faster way: on a CPU, where nothing is masked or dropped."""
    return mask is None and dropped is None and type(q) is np.ndarray and q.size > 0


def block_rows(T: int) -> int:
    """Queries of a block: few leave out more scores, many make better products."""
    if T < LONG:
        return T
    return 64 if T < 1024 else 128


def _blocks(q):
    """Yields (sequences, groups, start, stop): slices of B and G, and queries start .. stop-1."""
    B, G, R, T, _ = q.shape
    rows = block_rows(T)
    one = R * rows * T * q.itemsize  # bytes of scores of one group of heads
    groups = max(1, CACHE // one)
    sequences = max(1, CACHE // (one * G))
    for b in range(0, B, sequences):
        for first in range(0, G, groups):
            for start in range(0, T, rows):
                stop = min(start + rows, T)
                yield slice(b, b + sequences), slice(first, first + groups), start, stop


@functools.lru_cache(maxsize=16)
def _past(n, dtype):
    """(n, n), 1 on and below the diagonal: what the n queries of a block see of their own keys."""
    return _read_only(np.tri(n, dtype=dtype))


@functools.lru_cache(maxsize=64)
def _ones(n, dtype):
    return _read_only(np.ones(n, dtype))


def _read_only(array):
    array.flags.writeable = False
    return array


def _heads_below(x):
    """(b, G, R, n, K) -> (b, G, R n, K): heads that share keys stand one below another."""
    b, G, R, n, K = x.shape
    return x.reshape(b, G, R * n, K)


def _in_the_square(scores, start):
    """The part of scores (b, G, R n, stop) where queries meet their own block: (b, G, R, n, n).

    Before `start` everything is in the past.
    """
    n = scores.shape[3] - start
    return scores.reshape(*scores.shape[:2], -1, n, scores.shape[3])[..., start:]


def _fast_weights(scores, start, causal):
    """exp(scores), 0 in the future, written over the scores: all of them are safe."""
    np.exp(scores, out=scores)
    if causal:
        square = _in_the_square(scores, start)
        square *= _past(square.shape[-1], scores.dtype)
    return scores


def _careful_weights(scores, start, causal):
    """As _fast_weights(), of any scores: rows out of bounds are shifted by their maximum."""
    if causal:
        square = _in_the_square(scores, start)
        np.copyto(square, -np.inf, where=_past(square.shape[-1], scores.dtype) == 0)
    top = np.max(scores, axis=-1, keepdims=True)
    scores -= np.where(np.abs(top) >= SAFE_SCORE, top, 0)
    return np.exp(scores, out=scores)


def _softmax(queries, keys, start, causal):
    """(weights (b, G, R n, stop), their row sums, the function that made them of the scores)."""
    ones = _ones(keys.shape[2], keys.dtype)
    scores = queries @ transposed(keys)
    if np.max(scores) < SAFE_SCORE:
        weights = _fast_weights(scores, start, causal)
        total = weights @ ones  # a product with ones is BLAS, faster than a sum
        # As in attention.py: a row whose sum is smaller has lost its digits.
        if np.min(total) > len(ones) * math.exp(-SAFE_SCORE):
            return weights, total, _fast_weights
        scores = queries @ transposed(keys)  # the fast way has overwritten them
    weights = _careful_weights(scores, start, causal)
    return weights, weights @ ones, _careful_weights


def forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    scale: float,
    causal: bool,
    y: np.ndarray,
    keep: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Write attention into y; return what backward() needs.

    q (B, G, R, T, K);  k, v (B, G, 1, T, .);  y (B, G, R, T, J), a view of the output
    keep     False: backward() will not be called
    returns  for each block (inverse, weights): 1 / row sum (b, G, R n), and its weights, or the
             function that makes them of scores
    """
    R, T = q.shape[2:4]
    kept = []
    for b, groups, start, stop in _blocks(q):
        queries = _heads_below(q[b, groups, :, start:stop] * scale)
        seen = stop if causal else T
        keys, values = k[b, groups, 0, :seen], v[b, groups, 0, :seen]  # (b, G, seen, .)
        weights, total, made = _softmax(queries, keys, start, causal)
        inverse = np.divide(1, total, out=total)
        block = y[b, groups, :, start:stop]  # (b, G, R, n, J)
        if R == 1:  # straight to its place
            mixed = np.matmul(weights, values, out=block[:, :, 0])
            mixed *= inverse[..., None]
        else:
            mixed = weights @ values  # (b, G, R n, seen) @ (b, G, seen, J)
            mixed *= inverse[..., None]
            block[...] = mixed.reshape(block.shape)
        if keep:
            kept.append((inverse, weights if T < KEPT else made))
    return kept


def backward(
    g: np.ndarray,
    saved: Sequence[tuple[np.ndarray, np.ndarray]],
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    scale: float,
    causal: bool,
    y: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
) -> None:
    """Write the gradients into dq (B, G, R, T, K), dk (B, G, T, K) and dv (B, G, T, J); g as y."""
    # The formulas are those of attention.py, for the queries of one block. Sums over the R heads
    # of a group are inner products, since those heads stand one below another.
    T = q.shape[3]
    for (b, groups, start, stop), (inverse, weights) in zip(_blocks(q), saved):
        queries = _heads_below(q[b, groups, :, start:stop] * scale)
        seen = stop if causal else T
        keys, values = k[b, groups, 0, :seen], v[b, groups, 0, :seen]  # (b, G, seen, .)
        if callable(weights):
            weights = weights(queries @ transposed(keys), start, causal)
        gi = _heads_below(g[b, groups, :, start:stop]) * inverse[..., None]  # (b, G, R n, J)
        ds = gi @ transposed(values)  # (b, G, R n, seen)
        ds -= row_dots(gi, _heads_below(y[b, groups, :, start:stop]))[..., None]
        ds *= weights
        block = dq[b, groups, :, start:stop]
        np.multiply((ds @ keys).reshape(block.shape), scale, out=block)
        if stop - start == T:  # no other block has the same keys
            np.matmul(transposed(weights), gi, out=dv[b, groups])
            np.matmul(transposed(ds), queries, out=dk[b, groups])  # the scale is in the queries
            continue
        if start == 0:
            by_keys = np.zeros_like(keys, shape=(*keys.shape[:2], T, keys.shape[3]))
            by_values = np.zeros_like(values, shape=(*values.shape[:2], T, values.shape[3]))
        by_values[:, :, :seen] += transposed(weights) @ gi
        by_keys[:, :, :seen] += transposed(ds) @ queries
        if stop == T:
            dk[b, groups], dv[b, groups] = by_keys, by_values
