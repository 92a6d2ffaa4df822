"""Exact attention tile by tile, with an online softmax: memory grows with the sequence, not with
its square.

FlashAttention (Dao et al. 2022; named in book section 2.3.1). The T x S matrix of weights never
exists: a tile of queries walks over tiles of keys and keeps three things per row, the largest score
so far, the sum of exponentials and the unnormalized output; backward makes each tile of weights
again from one number a row, log sum exp. The result is attention()'s, in another order of
additions. Read next: attention.py, nn/attention/sparse.py.
"""

import numpy as np

from tinylm.autograd.engine import profile
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.attention import ScoresOverflow, in_float64_on_overflow
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import all_finite, own_mask, seen_matmul
from tinylm.autograd.kernels.rows import row_dots
from tinylm.errors import ConfigError


def tiles(queries, keys, block_q, block_k, causal):
    """(slice of queries, slices of keys) for every tile of queries, with only the tiles of keys it
    can see into.
    """
    for start in range(0, queries, block_q):
        stop = min(start + block_q, queries)
        seen = (
            min(keys, stop + keys - queries) if causal else keys
        )  # the last query sees the last key
        yield (
            slice(start, stop),
            [slice(s, min(s + block_k, keys)) for s in range(0, max(seen, 0), block_k)],
        )


def _visible(q, keys, mask, causal, rows, columns):
    """What the queries of a tile may see of its keys, broadcasting to (B, G, R, rows, columns);
    None for everything.
    """
    visible, offset = None, keys - q.shape[3]
    if causal and columns.stop - 1 > rows.start + offset:  # the tile crosses the diagonal
        i, j = (np.arange(s.start, s.stop, like=q) for s in (rows, columns))
        visible = j[None, :] <= i[:, None] + offset
    if mask is not None:
        part = mask[
            ...,
            rows if mask.shape[3] > 1 else slice(None),
            columns if mask.shape[4] > 1 else slice(None),
        ]
        visible = part if visible is None else visible & part
    return visible


def _scores(q, k, visible, rows, columns):
    """Scores of one tile, -inf where a query may not look. q is scaled already: (B, G, R, rows,
    columns).
    """
    scores = q[..., rows, :] @ k[..., columns, :].swapaxes(-1, -2)
    if visible is None:
        return scores
    return np.where(visible, scores, -np.inf)


def _product(a, b, visible):
    """a @ b, in the quick way."""
    return a @ b


def _seen_product(a, b, visible):
    """a @ b, what is hidden left out: 0 x inf is nan."""
    if visible is None:
        return a @ b
    return seen_matmul(a, b, visible)


def _forward(q, k, v, mask, causal, blocks, product=_product):
    """q (B, G, R, T, K) scaled, k, v (B, G, 1, S, .) -> output (B, G, R, T, J), log sum exp of each
    row (B, G, R, T).
    """
    T, S, J = q.shape[3], k.shape[3], v.shape[4]
    y = np.zeros_like(q, shape=(*q.shape[:4], J))
    norm = np.zeros_like(
        q, shape=q.shape[:4]
    )  # stays 0 for a query that sees nothing: exp(-inf - 0) = 0
    for rows, spans in tiles(T, S, *blocks, causal):
        out = y[..., rows, :]
        top = np.full_like(out, -np.inf, shape=out.shape[:4])
        total = np.zeros_like(top)
        for columns in spans:
            # Sums so far were taken against the old maximum; one factor per row turns them to the
            # new one.
            visible = _visible(q, k.shape[3], mask, causal, rows, columns)
            scores = _scores(q, k, visible, rows, columns)
            new = np.maximum(top, np.max(scores, axis=-1))
            shift = np.where(np.isfinite(new), new, 0).astype(q.dtype)
            scores -= shift[..., None]
            np.exp(scores, out=scores)
            turn = np.exp(top - shift)
            total = total * turn + np.sum(scores, axis=-1)
            out *= turn[..., None]
            out += product(scores, v[..., columns, :], visible)
            top = new
        seen = total > 0
        total = np.where(seen, total, 1)
        out /= total[..., None]
        norm[..., rows] = np.where(seen, top + np.log(total), 0)
    return y, norm


def _backward(g, q, k, v, y, norm, mask, causal, blocks, product=_product):
    """Gradients by the scaled q, by k and by v, each of its argument's shape with k's and v's axis
    2 summed away.
    """
    # As in attention.py:  dv = P^T g,  dP = g v^T,  dS = P (dP - D),  dq = dS k,  dk = dS^T q,  D =
    # rowsum(g y). Here P is made tile by tile once more, P = exp(S - norm), already normalized.
    dq, dk, dv = (
        np.zeros_like(q),
        *(np.zeros_like(q, shape=(*x.shape[:2], *x.shape[3:])) for x in (k, v)),
    )
    D = row_dots(g, y)  # (B, G, R, T)
    for rows, spans in tiles(q.shape[3], k.shape[3], *blocks, causal):
        gi, qi = g[..., rows, :], q[..., rows, :]
        for columns in spans:
            visible = _visible(q, k.shape[3], mask, causal, rows, columns)
            P = _scores(q, k, visible, rows, columns)
            P -= norm[..., rows, None]
            np.exp(P, out=P)
            if visible is None:
                seen_by = None
            else:
                seen_by = np.broadcast_to(visible, P.shape).swapaxes(-1, -2)
            dv[..., columns, :] += np.sum(
                product(P.swapaxes(-1, -2), gi, seen_by), axis=2
            )  # over heads that share v
            ds = gi @ v[..., columns, :].swapaxes(-1, -2)
            ds -= D[..., rows, None]
            ds *= P
            if visible is not None and product is _seen_product:
                ds = np.where(visible, ds, 0)
            dq[..., rows, :] += product(ds, k[..., columns, :], visible)
            dk[..., columns, :] += np.sum(product(ds.swapaxes(-1, -2), qi, seen_by), axis=2)
    return dq, dk, dv


def tiled_attention(q, k, v, mask=None, causal=False, scale=None, block_q=128, block_k=128):
    """attention() in tiles   (book eq. 2.6, section 2.3.1; Dao et al. 2022)

    q        (B, H, T, K)  queries
    k, v     (B, G, S, K), (B, G, S, J)  keys and values; G divides H
    mask     bool array that broadcasts to (B, H, T, S), True = visible; only slices of it are
             looked at
    causal   query t sees keys up to t + S - T; tiles that lie wholly in the future are not computed
    scale    1/sqrt(K) unless given
    block_q, block_k  rows and columns of a tile
    returns  (B, H, T, J); zeros for a query that sees nothing
    raises   ShapeError, ConfigError; DtypeError if the mask is not bool

    What is hidden is left out, not multiplied by zero, as in attention().
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
    """The twin: all tiles at once."""
    return composed.attention(q, k, v, mask=mask, causal=causal, scale=scale)


def _check_overflow(q, k):
    """Raise ScoresOverflow if scores of scaled queries and keys may pass the dtype: a bound, not
    the scores.
    """
    if q.dtype.itemsize < 8 and q.size and k.size and all_finite(q, k):
        bound = float(np.max(np.abs(q))) * float(np.max(np.abs(k))) * q.shape[-1]
        if bound > float(np.finfo(q.dtype).max):
            raise ScoresOverflow


@fused(_whole, name="tiled_attention", reads="both")
@in_float64_on_overflow
def _tiled_attention(q, k, v, *, mask, causal, scale, blocks, keep):
    (B, H, T, K), G = q.shape, k.shape[1]
    # Sums over tiles are kept in float32 at least; a tile of float16 keys turns float32 in the
    # product with such queries.
    wide = np.promote_types(q.dtype, np.float32)
    q5 = (
        (q.astype(wide, copy=False) * scale).astype(wide, copy=False).reshape(B, G, H // G, T, K)
    )  # R = H/G heads a group
    k5, v5 = k[:, :, None], v[:, :, None]
    _check_overflow(q5, k5)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]  # -> (B|1, H|1, T|1, S|1)
        mask = (
            mask.reshape(mask.shape[0], G, H // G, *mask.shape[2:])
            if mask.shape[1] > 1
            else mask[:, :, None]
        )
    hides = mask is not None or causal
    y, norm = _forward(q5, k5, v5, mask, causal, blocks)
    if hides and not all_finite(y):
        y, norm = _forward(q5, k5, v5, mask, causal, blocks, _seen_product)

    def backward(g):
        kept = g.reshape(y.shape), q5, k5, v5, y, norm, mask, causal, blocks
        dq, dk, dv = _backward(*kept)
        if hides and not all_finite(dq, dk, dv):
            dq, dk, dv = _backward(*kept, _seen_product)
        dq *= scale  # q5 holds the scale for dk already
        return dq.reshape(q.shape), dk, dv

    return y.reshape(B, H, T, v.shape[3]).astype(q.dtype, copy=False), backward


def _flops(args, out, options):
    """2 K and 2 J for every score that is computed, those of skipped tiles not."""
    (B, H, T, K), (S, J) = args[0].shape, args[2].shape[2:]
    visited = sum(
        (rows.stop - rows.start) * sum(c.stop - c.start for c in spans)
        for rows, spans in tiles(T, S, *options["blocks"], options["causal"])
    )
    return 2 * B * H * visited * (K + J)


profile.FLOPS["tiled_attention"] = _flops
