"""Fused scaled dot-product attention, forward and backward   (book eqs. 2.6-2.11)

Two operations share one kernel: `attention` takes queries, keys and values; `self_attention` takes
them packed as one projection makes them, and never copies them apart. The plain twin of each is in
composed.py. Inside, the H query heads stand in G groups of R = H/G that share keys and values:

q (B, G, R, T, K),  k (B, G, 1, S, K),  v (B, G, 1, S, J),  scores and weights (B, G, R, T, S)

Read next: nn/attention/multi_head.py.
"""

import math
from typing import Any

import numpy as np

from tinylm.autograd.device import attention as raw
from tinylm.autograd.device import separate_attention as raw_separate
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Array, Tensor
from tinylm.autograd.kernels import block_attention, composed
from tinylm.autograd.kernels.activations import kept_scaled
from tinylm.autograd.kernels.heads import (
    ScoresOverflow,
    check_heads,
    in_float64_on_overflow,
    score_scale,
)
from tinylm.autograd.kernels.masks import (
    all_finite,
    check_bias,
    own_mask,
    seen_matmul,
    visible_keys,
)
from tinylm.autograd.kernels.rotary import rotate
from tinylm.autograd.kernels.rows import row_dots, transposed
from tinylm.errors import ShapeError

# Softmax subtracts the row maximum so that exp() does not overflow. While all scores lie below
# SAFE_SCORE that is not needed: e^60 = 1e26 times a million keys is still far below float32's 3e38.
SAFE_SCORE = 60.0


def _check_overflow(q, k, scale, scores):
    """Raise ScoresOverflow if q k^T of finite q and k is not finite; a bias of -inf may be."""
    if q.dtype.itemsize < 8 and not all_finite(scores) and all_finite(q, k):
        if not all_finite((q * scale) @ transposed(k)):
            raise ScoresOverflow


def _scores(q, k, bias, scale):
    """q k^T * scale + bias, (B, G, R, T, S)."""
    scores = (q * scale) @ transposed(k)
    if bias is not None:
        scores += bias
    return scores


def _softmax(q, k, bias, visible, scale):
    """Softmax over the visible keys as (weights, total), P = weights / total.

    weights (B, G, R, T, S), 0 where hidden;  total (B, G, R, T)

    Takes the fast way if all scores are below SAFE_SCORE, and no row is so far below it that its
    sum vanishes.
    """
    scores = _scores(q, k, bias, scale)
    if scores.size == 0:  # no query, or no key to see
        return scores, np.zeros_like(q, shape=q.shape[:-1])
    limit = SAFE_SCORE
    if scores.dtype.itemsize <= 2:  # exp() overflows at 11 in float16: no score is safe
        limit = -np.inf
    if np.max(scores) < limit:
        weights, total = _fast_softmax(scores, visible)
        # A sum above S e^-60 has a term above e^-60: that row's maximum is above -60. Others are
        # rows of very low scores, or that see nothing: their digits are lost.
        if np.min(total) > k.shape[-2] * math.exp(-limit):
            return weights, total
        scores = _scores(q, k, bias, scale)  # again: the fast way has overwritten them
    _check_overflow(q, k, scale, scores)
    return _careful_softmax(scores, visible, limit)


def _fast_softmax(scores, visible):
    """exp(scores), 0 where hidden, written over the scores; and the sum of each row."""
    weights = np.exp(scores, out=scores)
    if visible is not None:
        weights *= visible
    ones = np.ones_like(weights, shape=weights.shape[-1:])
    return weights, weights @ ones  # a product with ones is BLAS, faster than a sum


def _careful_softmax(scores, visible, limit):
    """As _fast_softmax(), for any scores: less the row maximum m where that is out of bounds.

    exp(s - m) / sum exp(s - m) = exp(s) / sum exp(s)
    """
    if visible is not None:
        scores = np.where(visible, scores, -np.inf)
    # Only rows out of bounds are shifted. So the result of a row depends, to the last bit, on what
    # that row sees and on nothing else in the batch: in bounds both ways compute the same.
    top = np.max(scores, axis=-1, keepdims=True)  # (B, G, R, T, 1)
    out_of_bounds = np.isfinite(top) & (np.abs(top) >= limit)
    scores -= np.where(out_of_bounds, top, 0)
    weights = np.exp(scores, out=scores)
    ones = np.ones_like(weights, shape=weights.shape[-1:])
    return weights, weights @ ones


def _after_dropout(weights, dropped):
    if dropped is None:
        return weights
    return weights * dropped


def _forward(q, k, v, bias, mask, causal, scale, dropped, out, whole):
    """Write attention into `out`; return what backward needs of the softmax: (weights, inverse).

    out      (B, G, R, T, J), a view of `whole`
    inverse  (B, G, R, T) of the row sums:  P = softmax = weights * inverse
    """
    visible = visible_keys(q, k, mask, causal)
    weights, total = _softmax(q, k, bias, visible, scale)
    if weights.size == 0:
        out[...] = 0
        return weights, total
    # y = (P * dropped) v. The division by the row sum is left for the output: T J numbers, not T S.
    kept = _after_dropout(weights, dropped)
    np.matmul(kept, v, out=out)  # (B, G, R, T, S) @ (B, G, 1, S, J)
    # 0 x inf is nan: values that are hidden must be left out, not multiplied by 0
    if visible is not None and not all_finite(whole):
        out[...] = seen_matmul(kept, v, visible)
    # a query that sees nothing has total 0, and gets an output of 0
    seeing = total > 0
    inverse = np.where(seeing, 1 / np.where(seeing, total, 1), 0)
    inverse = inverse.astype(q.dtype, copy=False)
    out *= inverse[..., None]
    return weights, inverse


def _backward(g, saved, inverse, mask, causal, dq, dk, dv, *whole):
    """Write the gradients into dq, dk, dv; return that of the scores, (B, G, R, T, S).

    g            (B, G, R, T, J)  cotangent of the output
    saved        (q, k, v, y, weights, scale, dropped) of the forward pass
    dq, dk, dv   (B, G, R, T, K), (B, G, S, K), (B, G, S, J), views of the arrays in `whole`

    Takes the fast way, and the careful one if the result is not finite and something is hidden.
    """
    g = g * inverse[..., None]  # the row factor of P = weights * inverse
    ds = _fast_backward(g, *saved, dq, dk, dv)
    if all_finite(*whole):
        return ds
    visible = visible_keys(*saved[:2], mask, causal)
    if visible is None:
        return ds
    return _careful_backward(g, *saved, visible, dq, dk, dv)


def _by_scores(g, v, y, weights, dropped):
    """dL/dS, (B, G, R, T, S); g is the cotangent of the output times `inverse`."""
    # With S the scores, P = softmax(S) and y = P v, row by row:
    #   dP = g v^T,   dS = P (dP - rowsum(dP P))         the Jacobian of softmax is diag(P) - P P^T
    # rowsum(dP P) = rowsum(g (P v)) = rowsum(g y) needs no (T, S) array. P = weights * inverse is
    # never formed, because g holds the factor inverse. With dropout y = (P dropped) v, and dP is
    # multiplied by `dropped` too.
    ds = g @ transposed(v)  # (B, G, R, T, J) @ (B, G, 1, J, S)
    if dropped is not None:
        ds *= dropped
    ds -= row_dots(g, y)[..., None]
    ds *= weights
    return ds


def _fast_backward(g, q, k, v, y, weights, scale, dropped, dq, dk, dv):
    """dv = P^T g,  dq = dS k scale,  dk = dS^T q scale; dk and dv sum over the R heads served."""
    shared = q.shape[2] > 1
    kept = _after_dropout(weights, dropped)
    if shared:
        dv[...] = np.sum(transposed(kept) @ g, axis=2)  # (B, G, R, S, J) -> (B, G, S, J)
    else:
        np.matmul(transposed(kept[:, :, 0]), g[:, :, 0], out=dv)
    ds = _by_scores(g, v, y, weights, dropped)
    np.matmul(ds, k, out=dq)  # (B, G, R, T, S) @ (B, G, 1, S, K)
    dq *= scale
    if shared:
        dk[...] = np.sum(transposed(ds) @ q, axis=2)  # (B, G, R, S, K) -> (B, G, S, K)
    else:
        np.matmul(transposed(ds[:, :, 0]), q[:, :, 0], out=dk)
    dk *= scale
    return ds


def _careful_backward(g, q, k, v, y, weights, scale, dropped, visible, dq, dk, dv):
    """As _fast_backward(), where something is inf or nan: none of it passes between a query and a
    hidden key.
    """
    seen_by = transposed(np.broadcast_to(visible, weights.shape))  # (B, G, R, S, T)
    kept = _after_dropout(weights, dropped)
    dv[...] = np.sum(seen_matmul(transposed(kept), g, seen_by), axis=2)
    ds = np.where(visible, _by_scores(g, v, y, weights, dropped), 0)
    dq[...] = seen_matmul(ds, k, visible) * scale
    dk[...] = np.sum(seen_matmul(transposed(ds), q, seen_by), axis=2) * scale
    return ds


def attention(
    q: Array,
    k: Array,
    v: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    rng: Any = None,
) -> Tensor:
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

    What is hidden is left out, not multiplied by zero: inf or nan at a hidden key, value or bias
    does not reach the output or the gradient of a query, nor the other way round.

    Plain twin: composed.attention. Check: tinylm gradcheck attention
    """
    check_heads("attention", q, k, v)
    check_bias(bias, "attention")
    shape = (*q.shape[:3], k.shape[2])  # (B, H, T, S)
    mask = own_mask(mask, "attention", q, k, v, bias, shape=shape)
    dropped = None
    if dropout:
        dropped = kept_scaled(shape, dropout, rng, q.dtype)
    return _attention(q, k, v, bias, mask=mask, causal=causal, scale=scale, dropped=dropped)


@fused(composed.attention, name="attention", reads="both", raw=raw_separate.attention)
@in_float64_on_overflow
def _attention(q, k, v, bias=None, *, mask, causal, scale, dropped, keep):
    B, H, T, K = q.shape
    G, S = k.shape[1:3]
    J = v.shape[3]
    scale = score_scale(K, scale)
    grouped = (B, G, H // G)  # (B, H, ...) -> (B, G, R, ...)
    q5 = q.reshape(*grouped, T, K)
    k5, v5 = k[:, :, None], v[:, :, None]  # (B, G, 1, S, .)
    b5 = d5 = None
    if bias is not None:
        b5 = np.broadcast_to(bias, (B, H, T, S)).reshape(*grouped, T, S)
    if dropped is not None:
        d5 = dropped.reshape(*grouped, T, S)
    y = np.empty_like(q, shape=(*grouped, T, J))
    weights, inverse = _forward(q5, k5, v5, b5, mask, causal, scale, d5, y, y)

    def backward(g):
        g = g.reshape(*grouped, T, J)
        dq = np.empty_like(q5, order="C")
        dk = np.empty_like(k, order="C")
        dv = np.empty_like(v, order="C")
        saved = q5, k5, v5, y, weights, scale, d5
        ds = _backward(g, saved, inverse, mask, causal, dq, dk, dv, dq, dk, dv)
        if bias is None:
            return dq.reshape(q.shape), dk, dv, None

        def by_bias(out):
            # S = ... + bias:  dL/dbias is dS, summed over the axes that the bias broadcasts along
            full = ds.reshape(B, H, T, S)
            lengths = (1,) * (4 - bias.ndim) + bias.shape
            axes = tuple(i for i in range(4) if lengths[i] == 1 and full.shape[i] != 1)
            return np.sum(full, axis=axes, keepdims=True).reshape(bias.shape)

        return dq.reshape(q.shape), dk, dv, by_bias

    return y.reshape(B, H, T, J), backward


def self_attention(
    qkv: Tensor,
    heads: int,
    kv_heads: int | None = None,
    rotation: tuple[np.ndarray, ...] | None = None,
    mask: np.ndarray | None = None,
    causal: bool = True,
    scale: float | None = None,
    dropout: float = 0.0,
    rng: Any = None,
) -> Tensor:
    """Multi-head attention of a sequence on itself, from packed projections   (book eqs. 2.7-2.11)

    The output map W^head is not part of it.

    qkv       (B, T, (H + 2G) K)  queries of H heads, then keys and values of G heads, side by side
    heads     H;  kv_heads G, H unless given
    rotation  (cos, sin), each (T, K/2) or (B, 1, T, K/2): rotary positions for queries and keys;
              None for none
    others    as in attention()
    returns   (B, T, H K);  what is hidden is left out as in attention()
    raises    ShapeError if the width does not divide into heads; DtypeError if the mask is not bool

    Plain twin: composed.self_attention. Check: tinylm gradcheck self_attention
    """
    G = heads if kv_heads is None else kv_heads
    if qkv.ndim != 3 or min(heads, G) < 1:
        raise ShapeError(
            f"self_attention: {qkv.shape} for {heads} query and {G} key-value heads: "
            "need (B, T, (H + 2G) K) and at least one head"
        )
    B, T, width = qkv.shape
    if width % (heads + 2 * G) or heads % G:
        raise ShapeError(
            f"self_attention: width {width} does not divide into {heads} query and "
            f"2 x {G} key-value heads"
        )
    shape = (B, heads, T, T)
    dropped = None
    if dropout:
        dropped = kept_scaled(shape, dropout, rng, qkv.dtype)
    return _self_attention(
        qkv,
        heads=heads,
        kv_heads=G,
        rotation=rotation,
        causal=causal,
        scale=scale,
        mask=own_mask(mask, "self_attention", qkv, bias=None, shape=shape),
        dropped=dropped,
    )


@fused(composed.self_attention, name="self_attention", reads="both", raw=raw.self_attention)
@in_float64_on_overflow
def _self_attention(qkv, *, heads, kv_heads, rotation, mask, causal, scale, dropped, keep):
    B, T, width = qkv.shape
    G, R = kv_heads, heads // kv_heads
    K = width // (heads + 2 * G)
    scale = score_scale(K, scale)

    def parts(packed):
        """Views of q (B, G, R, T, K), k and v (B, G, T, K) in (B, T, (H + 2G) K): no copies."""
        x = packed.reshape(B, T, heads + 2 * G, K).swapaxes(1, 2)  # (B, H+2G, T, K)
        q = x[:, :heads].reshape(B, G, R, T, K)
        return q, x[:, heads : heads + G], x[:, heads + G :]

    def turned(q, k, cos, sin):
        q = rotate(q.reshape(B, heads, T, K), cos, sin).reshape(B, G, R, T, K)
        return q, rotate(k, cos, sin)

    q, k, v = parts(qkv)
    if rotation is not None:
        q, k = turned(q, k, *rotation)
    k, v = k[:, :, None], v[:, :, None]  # (B, G, 1, T, K)
    d5 = None
    if dropped is not None:
        d5 = dropped.reshape(B, G, R, T, T)

    def by_heads(merged):  # (B, T, H K) -> (B, G, R, T, K), a view
        return merged.reshape(B, T, G, R, K).transpose(0, 2, 3, 1, 4)

    # The heads are merged by writing through a view: y (B, G, R, T, K) of out (B, T, H K).
    out = np.empty_like(qkv, shape=(B, T, heads * K))
    y = by_heads(out)
    in_blocks = dense = None
    if block_attention.applies(q, mask, dropped):
        in_blocks = block_attention.forward(q, k, v, scale, causal, y, keep)
    if in_blocks is None or not all_finite(out):
        dense = _forward(q, k, v, None, mask, causal, scale, d5, y, out)

    def backward(g):
        nonlocal dense
        g = by_heads(g)
        packed = np.empty_like(qkv)
        dq, dk, dv = parts(packed)
        if dense is None:
            block_attention.backward(g, in_blocks, q, k, v, scale, causal, y, dq, dk, dv)
            if not all_finite(packed):  # that must not reach what may not see it
                again = np.empty_like(out)
                dense = _forward(q, k, v, None, mask, causal, scale, d5, by_heads(again), again)
        if dense is not None:
            weights, inverse = dense
            saved = q, k, v, y, weights, scale, d5
            _backward(g, saved, inverse, mask, causal, dq, dk, dv, packed)
        if rotation is not None:  # the transpose of a rotation is the rotation by -angle
            cos, sin = rotation
            dq[...], dk[...] = turned(dq, dk, cos, -sin)
        return (packed,)

    return out, backward
