"""Errors that people make in derivatives, written out: the mutants that no machine would think of.

Each is (argument, what is wrong, the wrong derivative). For a primitive that is a rule as in
primitives/elementwise.py; for a fused operation a function (g, out, right, *args, **options) on
arrays, where `right` is the right derivative. Most of them are right under an all-ones cotangent,
for one shape, or without a mask. Read next: mutants.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, array_of
from tinylm.autograd.kernels.rotary import rotate
from tinylm.autograd.primitives import elementwise as p
from tinylm.autograd.primitives.indexing import getitem
from tinylm.autograd.primitives.products import matmul
from tinylm.autograd.primitives.reductions import _count, _kept, cumsum
from tinylm.autograd.primitives.shaping import (
    broadcast_to,
    flip,
    reshape,
    roll,
    swapaxes,
    transpose,
)


def _assigned(g, a, index):
    """What `out[index] = g` leaves: of several values for one element only the last."""
    out = np.zeros(a.shape)
    out[index] = g.data
    return Tensor(out)


def _spread(g, a, axis):
    return broadcast_to(_kept(g, a.shape, axis), a.shape)


def _from_start(g, part, axis):
    return g[(slice(None),) * (axis % g.ndim) + (slice(0, part.shape[axis]),)]


def _named(shape, index):
    """How often an index names each element."""
    count = np.zeros(shape)
    np.add.at(count, index, 1)
    return count


PRIMITIVE = {
    "exp": [(0, "the derivative of a power", lambda g, y, a: g * a)],
    "log": [(0, "multiplied instead of divided", lambda g, y, a: g * a)],
    "sqrt": [(0, "the 2 forgotten", lambda g, y, a: g / y)],
    "tanh": [
        (0, "1 - y instead of 1 - y**2", lambda g, y, a: g * (1 - y)),
        (0, "1 - a**2 instead of 1 - y**2", lambda g, y, a: g * (1 - a * a)),
    ],
    "sigmoid": [
        (0, "y instead of y (1 - y)", lambda g, y, a: g * y),
        (0, "a (1 - a) instead of y (1 - y)", lambda g, y, a: g * a * (1 - a)),
    ],
    "erf": [
        (0, "2/sqrt(pi) forgotten", lambda g, y, a: g * p.exp(-a * a)),
        (
            0,
            "the normal density instead",
            lambda g, y, a: g * (2 / math.sqrt(math.pi)) * p.exp(-0.5 * a * a),
        ),
    ],
    "abs": [(0, "positive everywhere", lambda g, y, a: g)],
    "div": [
        (1, "the square of b forgotten", lambda g, y, a, b: -g * y),
        (1, "a forgotten", lambda g, y, a, b: -g / (b * b)),
    ],
    "pow": [
        (0, "the exponent not lowered", lambda g, y, a, b: g * b * y),
        (0, "the factor b forgotten", lambda g, y, a, b: g * y / a),
        (
            0,
            "cut off where b is 0, so that its slope by b is lost",
            lambda g, y, a, b: g * p.where(array_of(b) == 0, 0.0, b * p.power(a, b - 1)),
        ),
        (1, "log a forgotten", lambda g, y, a, b: g * y),
    ],
    "maximum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "minimum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "where": [
        (1, "the condition forgotten", lambda g, y, c, a, b: g),
        (2, "the condition not inverted", lambda g, y, c, a, b: p.where(c, g, 0.0)),
    ],
    "clip": [(0, "outside the borders too", lambda g, y, a, **borders: g)],
    "sum": [
        (
            0,
            "divided by the count, as for the mean",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis),
        )
    ],
    "mean": [
        (0, "not divided by the count", lambda g, y, a, axis=None, **o: _spread(g, a, axis)),
        (
            0,
            "divided by the whole size",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / a.size,
        ),
    ],
    "max": [(0, "to all elements", lambda g, y, a, axis=None, **o: _spread(g, a, axis))],
    "min": [
        (
            0,
            "shared by all elements",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis),
        )
    ],
    "logsumexp": [
        (
            0,
            "exp(a) not divided by its sum",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) * p.exp(a),
        ),
        (0, "even weights", lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis)),
    ],
    "cumsum": [
        (0, "not reversed", lambda g, y, a, axis: cumsum(g, axis=axis)),
        (0, "not summed", lambda g, y, a, axis: g),
        (0, "reversed only once", lambda g, y, a, axis: cumsum(flip(g, axis=axis), axis=axis)),
    ],
    "matmul": [
        (0, "b not transposed", lambda g, y, a, b: matmul(g, b)),
        (1, "a not transposed", lambda g, y, a, b: matmul(a, g)),
        (1, "in swapped order", lambda g, y, a, b: matmul(swapaxes(g, -1, -2), a)),
    ],
    "transpose": [
        (
            0,
            "the permutation itself instead of its inverse",
            lambda g, y, a, axes=None: transpose(g, axes),
        )
    ],
    "reshape": [
        (0, "in column order", lambda g, y, a, shape: reshape(transpose(g), shape=a.shape))
    ],
    "concatenate": [
        (
            0,
            "every part cut from the start",
            lambda i, g, y, *arrays, axis=0: _from_start(g, arrays[i], axis),
        )
    ],
    "pad": [
        (0, "cut from the corner", lambda g, y, a, widths: g[tuple(slice(0, n) for n in a.shape)])
    ],
    "flip": [(0, "not flipped back", lambda g, y, a, axis=None: g)],
    "roll": [
        (
            0,
            "rolled on instead of back",
            lambda g, y, a, shift, axis=None: roll(g, shift=shift, axis=axis),
        )
    ],
    "getitem": [
        (0, "of duplicates only the last counts", lambda g, y, a, index: _assigned(g, a, index))
    ],
    "scatter_add": [
        (
            0,
            "zero where an element is named twice",
            lambda g, y, values, shape, index: (
                getitem(g, index) * (_named(y.shape, index)[index] == 1)
            ),
        )
    ],
}


def _normed(x, eps, centered):
    """(x - mean) / deviation, or x / rms, and the inverse deviation."""
    c = x - x.mean(-1, keepdims=True) if centered else x
    inverse = 1 / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    return c * inverse, inverse


def _layer_norm(minus_mean, minus_product, by_gain=True):
    """d/dx of layer norm with some of its terms."""

    def wrong(g, out, right, x, gain, bias=None, *, eps=1e-5):
        n, inverse = _normed(x, eps, True)
        h = g * gain if by_gain else g
        return inverse * (
            h
            - minus_mean * h.mean(-1, keepdims=True)
            - minus_product * n * (h * n).mean(-1, keepdims=True)
        )

    return wrong


def _rms_without_gain(g, out, right, x, gain, *, eps=1e-6):
    n, inverse = _normed(x, eps, False)
    return inverse * (g * gain - n * (g * n).mean(-1, keepdims=True))


def _cross_entropy(rows="counted", ignore=1, smooth=1, z=1, target=1):
    """d/dlogits of cross-entropy with some of its parts left out."""

    def wrong(g, out, right, logits, targets, *, ignore_index, label_smoothing, z_loss, reduction):
        V, e = logits.shape[-1], label_smoothing * smooth
        Z = np.log(np.exp(logits).sum(-1, keepdims=True))
        counts = targets != ignore_index
        wanted = np.eye(V)[np.where(counts, targets, 0)] * target
        d = (1 + 2 * z * z_loss * Z) * np.exp(logits - Z) - (1 - e) * wanted - e / V
        if reduction == "mean":
            n = {"counted": counts.sum(), "all": targets.size, "one": 1}[rows]
        else:
            n = 1
        weight = np.broadcast_to(g, targets.shape) / n * (counts if ignore else 1)
        return d * weight[..., None]

    return wrong


def _attention(
    argument, row_sum=True, shift=0, scaled=True, dropout=True, groups="sum", masked=True
):
    """d/dq, d/dk or d/dv of attention with one thing forgotten."""

    def wrong(g, out, right, q, k, v, bias=None, *, mask, causal, scale, dropped):
        (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
        if scale is None:
            scale = 1 / math.sqrt(K)
        every = [np.repeat(x, H // G, axis=1) for x in (k, v)]  # (B, H, S, .)
        scores = q @ every[0].swapaxes(-1, -2) * scale + (0 if bias is None else bias)
        see = np.ones((T, S), bool)
        if causal:
            see = np.tril(see, S - T + shift)
        see = see & (True if mask is None or not masked else mask)
        P = np.exp(scores - scores.max(-1, keepdims=True)) * see  # (B, H, T, S)
        P = P / np.maximum(P.sum(-1, keepdims=True), 1e-300)
        kept = P * (1 if dropped is None or not dropout else dropped)
        dP = g @ every[1].swapaxes(-1, -2) * (1 if dropped is None or not dropout else dropped)
        dS = P * (dP - row_sum * (dP * P).sum(-1, keepdims=True))
        dq, dk, dv = dS @ every[0], dS.swapaxes(-1, -2) @ q, kept.swapaxes(-1, -2) @ g
        d = (dq, dk, dv)[argument] * (scale if scaled and argument < 2 else 1)
        if argument == 0:
            return d
        d = d.reshape(B, G, H // G, S, -1)
        if groups == "sum":
            return d.sum(2)
        if groups == "mean":
            return d.mean(2)
        return d[:, :, 0]

    return wrong


def _rotation_kept(g, out, right, qkv, *, heads, kv_heads, rotation, **options):
    """The derivative by the rotated queries and keys instead of that by the packed projection."""
    if rotation is None:
        return right
    B, T, width = qkv.shape
    K = width // (heads + 2 * kv_heads)
    x = right.reshape(B, T, -1, K).swapaxes(1, 2).copy()  # (B, H+2G, T, K)
    x[:, : heads + kv_heads] = rotate(x[:, : heads + kv_heads], *rotation)
    return x.swapaxes(1, 2).reshape(qkv.shape)


def _cdf(x):
    """The normal distribution function."""
    return 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _density(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _last_wins(g, out, right, ids, weight):
    d = np.zeros(weight.shape)
    d[ids] = g
    return d


def _last_sequence(x, g, right):
    """x^T g of the last batch element alone."""
    if x.ndim > 1:
        return _rows(x[-1]).T @ _rows(g[-1])
    return right


FUSED = {
    "softmax": [
        (0, "the inner product forgotten", lambda g, y, right, x, axis=-1: y * g),
        (0, "only the diagonal of the Jacobian", lambda g, y, right, x, axis=-1: y * (1 - y) * g),
        (
            0,
            "the inner product over everything",
            lambda g, y, right, x, axis=-1: y * (g - np.sum(g * y)),
        ),
    ],
    "log_softmax": [
        (0, "the sum forgotten", lambda g, y, right, x, axis=-1: g),
        (
            0,
            "even weights",
            lambda g, y, right, x, axis=-1: g - np.mean(g, axis=axis, keepdims=True),
        ),
        (
            0,
            "softmax's inner product instead of the sum",
            lambda g, y, right, x, axis=-1: (
                g - np.exp(y) * np.sum(g * np.exp(y), axis=axis, keepdims=True)
            ),
        ),
    ],
    "layer_norm": [
        (0, "the inner product forgotten", _layer_norm(1, 0)),
        (0, "the mean forgotten", _layer_norm(0, 1)),
        (0, "mean and deviation taken for constants", _layer_norm(0, 0)),
        (0, "the gain forgotten", _layer_norm(1, 1, by_gain=False)),
        (
            1,
            "the normalized input forgotten",
            lambda g, y, right, x, gain, bias=None, **o: _rows(g).sum(0),
        ),
        (
            1,
            "the input not normalized",
            lambda g, y, right, x, gain, bias=None, **o: _rows(g * x).sum(0),
        ),
        (2, "only the first row", lambda g, y, right, x, gain, bias=None, **o: _rows(g)[0]),
    ],
    "rms_norm": [
        (
            0,
            "the inner product forgotten",
            lambda g, y, right, x, gain, eps=1e-6: g * gain * _normed(x, eps, False)[1],
        ),
        (0, "the gain forgotten in it", _rms_without_gain),
        (
            1,
            "not divided by the root mean square",
            lambda g, y, right, x, gain, **o: _rows(g * x).sum(0),
        ),
    ],
    "linear": [
        (0, "the weight not transposed", lambda g, y, right, x, weight, bias=None: g @ weight),
        (
            1,
            "only the last sequence of the batch",
            lambda g, y, right, x, weight, bias=None: _last_sequence(x, g, right),
        ),
        (1, "transposed", lambda g, y, right, x, weight, bias=None: right.T),
        (
            2,
            "mean over the rows instead of the sum",
            lambda g, y, right, x, weight, bias=None: right * right.size / g.size,
        ),
    ],
    "unembedding": [
        (0, "the table transposed", lambda g, y, right, x, weight: g @ weight.T),
        (
            1,
            "only the last sequence of the batch",
            lambda g, y, right, x, weight: _last_sequence(g, x, right),
        ),
        (1, "transposed", lambda g, y, right, x, weight: right.T),
    ],
    "embedding": [
        (1, "of duplicate ids only the last counts", _last_wins),
        (
            1,
            "duplicate ids averaged",
            lambda g, y, right, ids, weight: (
                right / np.maximum(np.bincount(ids.reshape(-1), minlength=len(weight)), 1)[:, None]
            ),
        ),
    ],
    "cross_entropy": [
        (0, "the mean not divided", _cross_entropy(rows="one")),
        (0, "divided by all rows, ignored ones too", _cross_entropy(rows="all")),
        (0, "ignored rows not masked", _cross_entropy(ignore=0)),
        (0, "label smoothing forgotten", _cross_entropy(smooth=0)),
        (0, "z-loss forgotten", _cross_entropy(z=0)),
        (0, "the target forgotten", _cross_entropy(target=0)),
    ],
    "gelu": [
        (0, "x phi(x) forgotten", lambda g, y, right, x: g * _cdf(x)),
        (
            0,
            "the slope of SiLU",
            lambda g, y, right, x: g * _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        ),
    ],
    "gelu_tanh": [
        (0, "the slope of the exact GELU", lambda g, y, right, x: g * (_cdf(x) + x * _density(x)))
    ],
    "silu": [(0, "x s (1 - s) forgotten", lambda g, y, right, x: g * _sigmoid(x))],
    "swiglu": [
        (0, "the slope of the gate forgotten", lambda g, y, right, gate, up: g * up),
        (0, "up forgotten", lambda g, y, right, gate, up: right / up),
        (1, "the gate not activated", lambda g, y, right, gate, up: g * gate),
    ],
    "geglu": [
        (0, "x phi(x) forgotten", lambda g, y, right, gate, up: g * up * _cdf(gate)),
        (1, "the gate not activated", lambda g, y, right, gate, up: g * gate),
    ],
    "rotary": [
        (0, "turned on instead of back", lambda g, y, right, x, cos, sin: rotate(g, cos, sin)),
        (0, "not turned", lambda g, y, right, x, cos, sin: g),
    ],
    "attention": [
        *((i, "the row sum forgotten", _attention(i, row_sum=False)) for i in (0, 1)),
        *((i, "the scale forgotten", _attention(i, scaled=False)) for i in (0, 1)),
        *((i, "the causal mask one too wide", _attention(i, shift=1)) for i in (0, 1, 2)),
        *((i, "the causal mask one too narrow", _attention(i, shift=-1)) for i in (0, 1, 2)),
        *((i, "the mask forgotten", _attention(i, masked=False)) for i in (0, 1, 2)),
        *((i, "the dropout mask forgotten", _attention(i, dropout=False)) for i in (0, 1, 2)),
        *((i, "of grouped heads only the first", _attention(i, groups="first")) for i in (1, 2)),
        *((i, "grouped heads averaged", _attention(i, groups="mean")) for i in (1, 2)),
        (
            3,
            "broadcasting undone by a mean",
            lambda g, y, right, q, k, v, bias, **o: (
                right * bias.size / (q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2])
            ),
        ),
    ],
    "self_attention": [(0, "the rotation not undone", _rotation_kept)],
}


def _like_attention(argument, **forgotten):
    """One of attention's known errors, of the operation in tiles."""
    wrong = _attention(argument, **forgotten)
    return lambda g, out, right, q, k, v, *, mask, causal, scale, blocks: wrong(
        g, out, right, q, k, v, mask=mask, causal=causal, scale=scale, dropped=None
    )


def _last_tile(g, out, right, q, k, v, *, mask, causal, scale, blocks):
    """A gradient by keys or values in which only the tile of the last keys was written."""
    S = k.shape[2]
    return right * (np.arange(S) >= (S - 1) // blocks[1] * blocks[1])[:, None]


FUSED["tiled_attention"] = [
    *((i, "the row sum forgotten", _like_attention(i, row_sum=False)) for i in (0, 1)),
    *((i, "the scale forgotten", _like_attention(i, scaled=False)) for i in (0, 1)),
    *((i, "the causal mask one too wide", _like_attention(i, shift=1)) for i in (0, 1, 2)),
    *((i, "the mask forgotten", _like_attention(i, masked=False)) for i in (0, 1, 2)),
    *((i, "of grouped heads only the first", _like_attention(i, groups="first")) for i in (1, 2)),
    *((i, "only the last tile of keys", _last_tile) for i in (1, 2)),
]
