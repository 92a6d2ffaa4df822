"""Fused scaled dot-product attention, forward and backward, and rotary positions   (book eqs.
2.6-2.11)

Two operations share one kernel: `attention` takes queries, keys and values; `self_attention` takes
them packed as one projection makes them, and never copies them apart. Read next:
nn/attention/multi_head.py.
"""

import functools
import math

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.activations import kept_scaled
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.autograd.kernels.masks import all_finite, check_bias, own_mask, seen_matmul
from tinylm.autograd.kernels.rows import row_dots
from tinylm.errors import ShapeError

# exp() of scores up to this cannot overflow, even summed over 10^6 keys and times large values, so
# the row maximum need not be found and subtracted first; a row sum that lets the row maximum lie
# below -SAFE_SCORE takes the careful way. There too, rows within the bounds are left as they are,
# so that a row's result depends, to the last bit, on what that row sees and on nothing else in the
# batch. In float16, whose exp() overflows at 11, no score is safe.
SAFE_SCORE = 60.0


class ScoresOverflow(Exception):
    """Finite queries and keys have scores beyond float32; a softmax over them is finite all the
    same.
    """


def in_float64_on_overflow(kernel):
    """Decorator: an attention kernel whose scores overflow in float32 is run again in float64."""

    @functools.wraps(kernel)
    def checked(*arrays, **options):
        try:
            return kernel(*arrays, **options)
        except ScoresOverflow:
            dtype = arrays[0].dtype
        out, backward = kernel(
            *(a if a is None else a.astype(np.float64) for a in arrays), **options
        )

        def narrow(d):
            if callable(d):  # a gradient that is computed if it is wanted
                return lambda out: d(None).astype(dtype)
            if d is None:
                return d
            return d.astype(dtype)

        return out.astype(dtype), lambda g: [narrow(d) for d in backward(g.astype(np.float64))]

    return checked


def _check_overflow(q, k, scale, scores):
    if q.dtype.itemsize < 8 and not all_finite(scores) and all_finite(q, k):
        if not all_finite((q * scale) @ k.swapaxes(-1, -2)):  # and not a bias of -inf
            raise ScoresOverflow


def _visible(q, k, mask, causal):
    """What each query may see, as a bool array that broadcasts to (B, G, R, T, S), or None for
    everything.
    """
    T, S = q.shape[-2], k.shape[-2]
    visible = None
    if causal and T > 1:
        # (T, S); last sees all
        visible = np.arange(S, like=q)[None, :] <= np.arange(T, like=q)[:, None] + (S - T)
    if mask is not None:
        # (..., T, S) -> (B|1, H|1, T, S)
        mask = mask[(None,) * (4 - mask.ndim)]
        B, H = mask.shape[:2]
        mask = mask.reshape(B, *q.shape[1:3], *mask.shape[2:]) if H > 1 else mask[:, :, None]
        visible = mask if visible is None else visible & mask
    return visible


def _forward(q, k, v, bias, mask, causal, scale, dropped, out, whole):
    """Write attention into `out`; return what backward needs: (weights, inverse), weights * inverse
    = softmax.

    q (B, G, R, T, K), k (B, G, 1, S, K), v (B, G, 1, S, J), out (B, G, R, T, J), a view of `whole`
    R query heads share a kv head
    """
    visible = _visible(q, k, mask, causal)
    # scores, (B, G, R, T, S)
    weights = (q * scale) @ k.swapaxes(-1, -2)
    # no query, or none that has a key to see
    if weights.size == 0:
        out[...] = 0
        return weights, np.zeros_like(q, shape=q.shape[:-1])
    if bias is not None:
        weights += bias
    ones = np.ones_like(q, shape=k.shape[-2:-1])
    limit = SAFE_SCORE if weights.dtype.itemsize > 2 else -np.inf
    safe = weights.size > 0 and bool(np.max(weights) < limit)
    if safe:
        scores = weights if bias is None else weights.copy()
        np.exp(weights, out=weights)
        if visible is not None:
            weights *= visible
        # (B, G, R, T)
        total = weights @ ones
        safe = bool(np.min(total) > k.shape[-2] * math.exp(-limit))
        # a row of very low scores, or one that sees nothing
        if not safe:
            weights = (q * scale) @ k.swapaxes(-1, -2) if bias is None else scores
    if not safe:
        _check_overflow(q, k, scale, weights)
        if visible is not None:
            weights = np.where(visible, weights, -np.inf)
        top = np.max(weights, axis=-1, keepdims=True)
        weights -= np.where(np.isfinite(top) & (np.abs(top) >= limit), top, 0)
        np.exp(weights, out=weights)
        total = weights @ ones
    # a query that sees nothing gets 0
    inverse = np.where(total > 0, 1 / np.where(total > 0, total, 1), 0)
    inverse = inverse.astype(q.dtype, copy=False)
    kept = weights if dropped is None else weights * dropped
    np.matmul(kept, v, out=out)
    # 0 x inf is nan: hidden values count for nothing
    if visible is not None and not all_finite(whole):
        out[...] = seen_matmul(kept, v, visible)
    out *= inverse[..., None]
    return weights, inverse


def _backward(g, q, k, v, y, weights, inverse, scale, dropped, mask, causal, dq, dk, dv, *whole):
    """Write the gradients into dq, dk, dv; return that of the scores.

    dq (B, G, R, T, K), dk (B, G, S, K), dv (B, G, S, J), views of the arrays in `whole` if not
    these themselves
    """
    g = g * inverse[..., None]
    ds = _fast_backward(g, q, k, v, y, weights, scale, dropped, dq, dk, dv)
    if all_finite(*whole):
        return ds
    visible = _visible(q, k, mask, causal)
    if visible is None:
        return ds
    return _careful_backward(g, q, k, v, y, weights, scale, dropped, visible, dq, dk, dv)


def _fast_backward(g, q, k, v, y, weights, scale, dropped, dq, dk, dv):
    # With P = softmax(S) and y = P v:
    #   dv = P^T g,   dP = g v^T,   dS = P (dP - rowsum(dP P)),   dq = dS k scale,   dk = dS^T q scale
    # rowsum(dP P) = rowsum(g y) needs no (T, S) array, and P = weights * inverse is never formed:
    # the row factor has gone into g.
    shared = q.shape[2] > 1
    kept = weights if dropped is None else weights * dropped
    if shared:
        dv[...] = np.sum(kept.swapaxes(-1, -2) @ g, axis=2)
    else:
        np.matmul(kept[:, :, 0].swapaxes(-1, -2), g[:, :, 0], out=dv)
    ds = _by_scores(g, v, y, weights, dropped)
    np.matmul(ds, k, out=dq)
    dq *= scale
    if shared:
        dk[...] = np.sum(ds.swapaxes(-1, -2) @ q, axis=2)
    else:
        np.matmul(ds[:, :, 0].swapaxes(-1, -2), q[:, :, 0], out=dk)
    dk *= scale
    return ds


def _by_scores(g, v, y, weights, dropped):
    # (B, G, R, T, S)
    ds = g @ v.swapaxes(-1, -2)
    if dropped is not None:
        ds *= dropped
    ds -= row_dots(g, y)[..., None]
    ds *= weights
    return ds


def _careful_backward(g, q, k, v, y, weights, scale, dropped, visible, dq, dk, dv):
    """The same where something is inf or nan: what a query does not see neither gives it anything
    nor gets anything.
    """
    # (B, G, R, S, T)
    seen_by = np.broadcast_to(visible, weights.shape).swapaxes(-1, -2)
    kept = weights if dropped is None else weights * dropped
    dv[...] = np.sum(seen_matmul(kept.swapaxes(-1, -2), g, seen_by), axis=2)
    ds = np.where(visible, _by_scores(g, v, y, weights, dropped), 0)
    dq[...] = seen_matmul(ds, k, visible) * scale
    dk[...] = np.sum(seen_matmul(ds.swapaxes(-1, -2), q, seen_by), axis=2) * scale
    return ds


def attention(q, k, v, bias=None, mask=None, causal=False, scale=None, dropout=0.0, rng=None):
    """softmax(q k^T * scale + bias, where visible) v   (book eq. 2.6; grouped heads: Table 2.2)

    q        (B, H, T, K)  queries
    k, v     (B, G, S, K), (B, G, S, J)  keys and values; G divides H, each serves H/G query heads
    bias     Tensor added to the scores, broadcasts to (B, H, T, S); differentiated. None for none
    mask     bool array that broadcasts to (B, H, T, S): True where a query may see a key
    causal   query t sees keys up to t + S - T: the last query is aligned with the last key (caches)
    scale    1/sqrt(K) unless given
    dropout  probability of dropping an attention weight, drawn from rng
    returns  (B, H, T, J); zeros for a query that sees nothing
    raises   ShapeError if the shapes do not fit; DtypeError if the mask is not bool

    What is hidden is left out, not multiplied by zero: inf or nan at hidden keys, values or biases
    reaches neither the output nor a gradient of a query that does not see them, nor does such a
    query, or its cotangent, reach theirs.
    """
    check_heads("attention", q, k, v)
    check_bias(bias, "attention")
    dropped = kept_scaled((*q.shape[:3], k.shape[2]), dropout, rng, q.dtype) if dropout else None
    return _attention(
        q,
        k,
        v,
        bias,
        mask=own_mask(mask, "attention", q, k, v, bias, shape=(*q.shape[:3], k.shape[2])),
        causal=causal,
        scale=scale,
        dropped=dropped,
    )


@fused(composed.attention, name="attention", reads="both")
@in_float64_on_overflow
def _attention(q, k, v, bias=None, *, mask, causal, scale, dropped, keep):
    B, H, T, K = q.shape
    G, S, J = k.shape[1], k.shape[2], v.shape[3]
    scale = score_scale(K, scale)
    grouped = (B, G, H // G)
    # split H into G groups of R
    q5, k5, v5 = q.reshape(*grouped, T, K), k[:, :, None], v[:, :, None]
    b5 = None if bias is None else np.broadcast_to(bias, (B, H, T, S)).reshape(*grouped, T, S)
    d5 = None if dropped is None else dropped.reshape(*grouped, T, S)
    y = np.empty_like(q, shape=(*grouped, T, J))
    weights, inverse = _forward(q5, k5, v5, b5, mask, causal, scale, d5, y, y)

    def backward(g):
        dq = np.empty_like(q5, order="C")
        dk = np.empty_like(k, order="C")
        dv = np.empty_like(v, order="C")
        ds = _backward(
            g.reshape(*grouped, T, J),
            q5,
            k5,
            v5,
            y,
            weights,
            inverse,
            scale,
            d5,
            mask,
            causal,
            dq,
            dk,
            dv,
            dq,
            dk,
            dv,
        )

        def by_bias(out):
            full = ds.reshape(B, H, T, S)
            axes = tuple(
                i
                for i, n in enumerate((1,) * (4 - bias.ndim) + bias.shape)
                if n == 1 and full.shape[i] != 1
            )
            return np.sum(full, axis=axes, keepdims=True).reshape(bias.shape)

        return dq.reshape(q.shape), dk, dv, by_bias if bias is not None else None

    return y.reshape(B, H, T, J), backward


def self_attention(
    qkv,
    heads,
    kv_heads=None,
    rotation=None,
    mask=None,
    causal=True,
    scale=None,
    dropout=0.0,
    rng=None,
):
    """Multi-head attention of a sequence on itself, from packed projections   (book eqs. 2.7-2.11,
    before W^head)

    qkv       (B, T, (H + 2G) K)  queries of H heads, then keys and values of G heads, side by side
    heads     H;  kv_heads G, H unless given
    rotation  (cos, sin), each (T, K/2) or (B, 1, T, K/2): rotary positions for queries and keys;
              None for none
    others    as in attention()
    returns   (B, T, H K);  what is hidden is left out as in attention()
    raises    ShapeError if the width does not divide into heads; DtypeError if the mask is not bool
    """
    G = heads if kv_heads is None else kv_heads
    if qkv.ndim != 3 or min(heads, G) < 1:
        raise ShapeError(
            f"self_attention: {qkv.shape} for {heads} query and {G} key-value heads: need (B, T, (H + 2G) K) "
            "and at least one head"
        )
    B, T, width = qkv.shape
    if width % (heads + 2 * G) or heads % G:
        raise ShapeError(
            f"self_attention: width {width} does not divide into {heads} query and 2 x {G} key-value heads"
        )
    dropped = kept_scaled((B, heads, T, T), dropout, rng, qkv.dtype) if dropout else None
    return _self_attention(
        qkv,
        heads=heads,
        kv_heads=G,
        rotation=rotation,
        causal=causal,
        scale=scale,
        mask=own_mask(mask, "self_attention", qkv, bias=None, shape=(B, heads, T, T)),
        dropped=dropped,
    )


@fused(composed.self_attention, name="self_attention", reads="both")
@in_float64_on_overflow
def _self_attention(qkv, *, heads, kv_heads, rotation, mask, causal, scale, dropped, keep):
    B, T, width = qkv.shape
    G, R = kv_heads, heads // kv_heads
    K = width // (heads + 2 * G)
    scale = score_scale(K, scale)

    # views, no copies: (B, T, (H+2G) K) -> three
    def parts(packed):
        # (B, H+2G, T, K)
        x = packed.reshape(B, T, heads + 2 * G, K).swapaxes(1, 2)
        return x[:, :heads].reshape(B, G, R, T, K), x[:, heads : heads + G], x[:, heads + G :]

    q, k, v = parts(qkv)
    if rotation is not None:
        flat = _rotate(q.reshape(B, heads, T, K), *rotation)
        q, k = flat.reshape(B, G, R, T, K), _rotate(k, *rotation)
    k, v = k[:, :, None], v[:, :, None]
    d5 = None if dropped is None else dropped.reshape(B, G, R, T, T)
    out = np.empty_like(qkv, shape=(B, T, heads * K))
    # written through: (B, G, R, T, K)
    y = out.reshape(B, T, G, R, K).transpose(0, 2, 3, 1, 4)
    weights, inverse = _forward(q, k, v, None, mask, causal, scale, d5, y, out)

    def backward(g):
        packed = np.empty_like(qkv)
        dq, dk, dv = parts(packed)
        g = g.reshape(B, T, G, R, K).transpose(0, 2, 3, 1, 4)
        _backward(g, q, k, v, y, weights, inverse, scale, d5, mask, causal, dq, dk, dv, packed)
        if rotation is not None:  # the transpose of a rotation turns back
            cos, sin = rotation
            dq[...] = _rotate(dq.reshape(B, heads, T, K), cos, -sin).reshape(dq.shape)
            dk[...] = _rotate(dk, cos, -sin)
        return (packed,)

    return out, backward


def _rotate(x, cos, sin):
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    y = np.empty_like(x, order="C")
    y[..., :half] = first * cos - second * sin
    y[..., half:] = first * sin + second * cos
    return y


@fused(composed.rotary)
def rotary(x, *, cos, sin, keep):
    """Rotary position embedding: turn the pair (x_i, x_{i+K/2}) by its angle   (book section 2.3.5;
    Su et al. 2021)

    x         (..., T, K)    queries or keys of a head
    cos, sin  (T, K/2), or anything that broadcasts against half of x: cosine and sine of position *
              frequency
    returns   x's shape. This is the rotate-half pairing of LLaMA; its inverse is the same call with
              -sin.
    """
    return _rotate(x, cos, sin), lambda g: (_rotate(g, cos, -sin),)
