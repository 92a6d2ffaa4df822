"""Exact attention in tiles, with an online softmax: memory grows with the sequence, not its square.

FlashAttention (Dao et al. 2022; named in book section 2.3.1). The T x S matrix of weights never
exists. Forward takes one tile of queries over all tiles of keys, and keeps three things per row:
the largest score so far, the sum of exponentials, and the unnormalized output. Backward computes
each tile of weights again from one number per row, log sum exp. The result is attention()'s, in
another order of additions. Read next: attention.py, nn/attention/sparse.py.
"""

from collections.abc import Iterator

import numpy as np

from tinylm.autograd.engine import profile
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.heads import (
    ScoresOverflow,
    check_heads,
    in_float64_on_overflow,
    score_scale,
)
from tinylm.autograd.kernels.masks import all_finite, own_mask, seen_matmul
from tinylm.autograd.kernels.rows import row_dots, transposed
from tinylm.errors import ConfigError


def tiles(
    queries: int, keys: int, block_q: int, block_k: int, causal: bool
) -> Iterator[tuple[slice, list[slice]]]:
    """Yields (slice of queries, [slices of keys]) for every tile of queries.

    Tiles of keys that lie wholly in the future are left out if causal.
    """
    for start in range(0, queries, block_q):
        stop = min(start + block_q, queries)
        seen = keys
        if causal:  # the last query sees the last key
            seen = min(keys, stop + keys - queries)
        starts = range(0, max(seen, 0), block_k)
        spans = [slice(s, min(s + block_k, keys)) for s in starts]
        yield slice(start, stop), spans


def _visible(offset, mask, causal, rows, columns, like):
    """What the queries `rows` see of the keys `columns`: bool, broadcasts to a tile of scores.

    offset   S - T: query t sees keys up to t + offset if causal
    returns  (rows, columns) or (B|1, G|1, R|1, rows|1, columns|1); None for everything
    """
    visible = None
    if causal and columns.stop - 1 > rows.start + offset:  # the tile crosses the diagonal
        queries = np.arange(rows.start, rows.stop, like=like)
        keys = np.arange(columns.start, columns.stop, like=like)
        visible = keys[None, :] <= queries[:, None] + offset
    if mask is not None:
        # an axis of length 1 is the same for all tiles
        if mask.shape[3] > 1:
            mask = mask[..., rows, :]
        if mask.shape[4] > 1:
            mask = mask[..., columns]
        visible = mask if visible is None else visible & mask
    return visible


def _scores(qi, kj, visible):
    """Scores of one tile (B, G, R, rows, columns), -inf where hidden; qi is scaled already."""
    scores = qi @ transposed(kj)
    if visible is None:
        return scores
    return np.where(visible, scores, -np.inf)


# Forward and backward take the product as an argument: the fast one first, and the careful one if
# a result is not finite and something is hidden.
def _product(a, b, visible):
    """a @ b"""
    return a @ b


def _seen_product(a, b, visible):
    """a @ b, what is hidden left out: 0 x inf is nan."""
    if visible is None:
        return a @ b
    return seen_matmul(a, b, visible)


def _forward(q, k, v, mask, causal, blocks, product=_product):
    """The output (B, G, R, T, J), and log sum exp of each row of scores (B, G, R, T).

    q (B, G, R, T, K), scaled;  k (B, G, 1, S, K);  v (B, G, 1, S, J)
    """
    # Online softmax. After the tiles so far a row has, over the keys j seen,
    #   m = max s_j,   l = sum exp(s_j - m),   o = sum exp(s_j - m) v_j
    # A new tile may raise the maximum to m'. Then l and o are multiplied by exp(m - m'), and the
    # tile's own terms exp(s_j - m') are added. At the end the output is o/l.
    T, S, J = q.shape[3], k.shape[3], v.shape[4]
    y = np.zeros_like(q, shape=(*q.shape[:4], J))
    # stays 0 for a query that sees nothing: exp(-inf - 0) = 0
    norm = np.zeros_like(q, shape=q.shape[:4])
    for rows, spans in tiles(T, S, *blocks, causal):
        qi, out = q[..., rows, :], y[..., rows, :]  # out is o, (B, G, R, rows, J), a view
        top = np.full_like(out, -np.inf, shape=out.shape[:4])  # m, (B, G, R, rows)
        total = np.zeros_like(top)  # l
        for columns in spans:
            kj, vj = k[..., columns, :], v[..., columns, :]  # (B, G, 1, columns, .)
            visible = _visible(S - T, mask, causal, rows, columns, like=q)
            scores = _scores(qi, kj, visible)
            new = np.maximum(top, np.max(scores, axis=-1))
            shift = np.where(np.isfinite(new), new, 0).astype(q.dtype)  # nothing seen yet: 0
            scores -= shift[..., None]
            np.exp(scores, out=scores)
            turn = np.exp(top - shift)
            total = total * turn + np.sum(scores, axis=-1)
            out *= turn[..., None]
            out += product(scores, vj, visible)
            top = new
        seen = total > 0
        total = np.where(seen, total, 1)
        out /= total[..., None]
        norm[..., rows] = np.where(seen, top + np.log(total), 0)
    return y, norm


def _backward(g, q, k, v, y, norm, mask, causal, blocks, product=_product):
    """Gradients by the scaled q (B, G, R, T, K), by k (B, G, S, K) and by v (B, G, S, J).

    g, y (B, G, R, T, J);  norm (B, G, R, T);  q, k, v as in _forward()
    """
    # As in attention.py:
    #   dv = P^T g,   dP = g v^T,   dS = P (dP - D) with D = rowsum(g y),   dq = dS k,   dk = dS^T q
    # P is computed tile by tile once more: P = exp(S - log sum exp S) is normalized already.
    T, S = q.shape[3], k.shape[3]
    dq = np.zeros_like(q)
    dk = np.zeros_like(q, shape=(*k.shape[:2], *k.shape[3:]))
    dv = np.zeros_like(q, shape=(*v.shape[:2], *v.shape[3:]))
    D = row_dots(g, y)  # (B, G, R, T)
    for rows, spans in tiles(T, S, *blocks, causal):
        gi, qi = g[..., rows, :], q[..., rows, :]  # (B, G, R, rows, .)
        for columns in spans:
            kj, vj = k[..., columns, :], v[..., columns, :]  # (B, G, 1, columns, .)
            visible = _visible(S - T, mask, causal, rows, columns, like=q)
            P = _scores(qi, kj, visible)  # (B, G, R, rows, columns)
            P -= norm[..., rows, None]
            np.exp(P, out=P)
            seen_by = None
            if visible is not None:
                seen_by = transposed(np.broadcast_to(visible, P.shape))
            # (B, G, R, columns, J): the R query heads that share a key and a value add up
            by_values = product(transposed(P), gi, seen_by)
            dv[..., columns, :] += np.sum(by_values, axis=2)
            ds = gi @ transposed(vj)
            ds -= D[..., rows, None]
            ds *= P
            if visible is not None and product is _seen_product:
                ds = np.where(visible, ds, 0)
            dq[..., rows, :] += product(ds, kj, visible)
            by_keys = product(transposed(ds), qi, seen_by)
            dk[..., columns, :] += np.sum(by_keys, axis=2)
    return dq, dk, dv


def tiled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: np.ndarray | None = None,
    causal: bool = False,
    scale: float | None = None,
    block_q: int = 128,
    block_k: int = 128,
) -> Tensor:
    """attention() in tiles   (book eq. 2.6, section 2.3.1; Dao et al. 2022)

    q        (B, H, T, K)  queries
    k, v     (B, G, S, K), (B, G, S, J)  keys and values; G divides H
    mask     bool array that broadcasts to (B, H, T, S), True = visible; read in slices
    causal   query t sees keys up to t + S - T; tiles that lie wholly in the future are not computed
    scale    1/sqrt(K) unless given
    block_q, block_k  rows and columns of a tile
    returns  (B, H, T, J); zeros for a query that sees nothing
    raises   ShapeError, ConfigError; DtypeError if the mask is not bool

    What is hidden is left out, not multiplied by zero, as in attention().

    Plain twin: composed.attention. Check: tinylm gradcheck tiled_attention
    """
    check_heads("tiled_attention", q, k, v)
    if min(block_q, block_k) < 1:
        raise ConfigError(
            f"tiled_attention: blocks of {block_q} x {block_k}: each must be 1 or more"
        )
    seen = (*q.shape[:3], k.shape[2])  # (B, H, T, S)
    mask = own_mask(mask, "tiled_attention", q, k, v, bias=None, shape=seen)
    scale = score_scale(q.shape[3], scale)
    return _tiled_attention(
        q, k, v, mask=mask, causal=causal, scale=scale, blocks=(block_q, block_k)
    )


def _whole(q, k, v, *, mask, causal, scale, blocks):
    """The twin: attention without tiles."""
    return composed.attention(q, k, v, mask=mask, causal=causal, scale=scale)


def _check_overflow(q, k):
    """Raise ScoresOverflow if scores of scaled q and k may overflow their dtype."""
    # |q . k| <= K max|q| max|k|: a bound that needs no scores
    if q.dtype.itemsize < 8 and q.size and k.size and all_finite(q, k):
        peaks = [float(np.max(np.abs(x))) for x in (q, k)]
        bound = peaks[0] * peaks[1] * q.shape[-1]
        if bound > float(np.finfo(q.dtype).max):
            raise ScoresOverflow


@fused(_whole, name="tiled_attention", reads="both")
@in_float64_on_overflow
def _tiled_attention(q, k, v, *, mask, causal, scale, blocks, keep):
    B, H, T, K = q.shape
    G = k.shape[1]
    # Sums over tiles are kept in float32 at least; a tile of float16 keys turns float32 in the
    # product with such queries.
    wide = np.promote_types(q.dtype, np.float32)
    scaled = (q.astype(wide, copy=False) * scale).astype(wide, copy=False)
    q5 = scaled.reshape(B, G, H // G, T, K)  # R = H/G heads a group
    k5, v5 = k[:, :, None], v[:, :, None]  # (B, G, 1, S, .)
    _check_overflow(q5, k5)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]  # -> (B|1, H|1, T|1, S|1)
        if mask.shape[1] > 1:
            mask = mask.reshape(len(mask), G, H // G, *mask.shape[2:])
        else:
            mask = mask[:, :, None]  # (B|1, 1, 1, T|1, S|1)
    hides = mask is not None or causal
    y, norm = _forward(q5, k5, v5, mask, causal, blocks)
    if hides and not all_finite(y):
        y, norm = _forward(q5, k5, v5, mask, causal, blocks, _seen_product)

    def backward(g):
        kept = g.reshape(y.shape), q5, k5, v5, y, norm, mask, causal, blocks
        dq, dk, dv = _backward(*kept)
        if hides and not all_finite(dq, dk, dv):
            dq, dk, dv = _backward(*kept, _seen_product)
        dq *= scale  # by q, not by q * scale; dk has its scale from q5
        return dq.reshape(q.shape), dk, dv

    out = y.reshape(B, H, T, v.shape[3])
    return out.astype(q.dtype, copy=False), backward


def _flops(args, out, options):
    """2 K and 2 J for every score that is computed; skipped tiles cost nothing."""
    B, H, T, K = args[0].shape
    S, J = args[2].shape[2:]
    scores = 0  # of one head
    for rows, spans in tiles(T, S, *options["blocks"], options["causal"]):
        keys = sum(columns.stop - columns.start for columns in spans)
        scores += (rows.stop - rows.start) * keys
    return 2 * B * H * scores * (K + J)


profile.FLOPS["tiled_attention"] = _flops
