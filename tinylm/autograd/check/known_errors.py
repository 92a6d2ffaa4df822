"""Errors that people make in the backward of kernels, written out: mutants no machine would make.

Each is (argument, what is wrong, the wrong derivative). The latter is a function of arrays,
(g, out, right, *args, **options), where `right` is the right derivative. Most of them are right
under an all-ones cotangent, for one shape, or without a mask. Read next: mutants.py.
"""

import math

import numpy as np

from tinylm.autograd.kernels.rotary import rotate
from tinylm.autograd.kernels.rows import transposed


def _normed(x, eps, centered):
    """n = (x - mean) / deviation, or x / rms, and the inverse of what is divided by."""
    c = x
    if centered:
        c = x - x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    return c * inverse, inverse


def _layer_norm(minus_mean, minus_product, by_gain=True):
    """dL/dx of layer norm, r (h - mean(h) - n mean(h n)), with terms or the gain left out."""

    def wrong(g, out, right, x, gain, bias=None, *, eps=1e-5):
        n, inverse = _normed(x, eps, True)
        h = g
        if by_gain:
            h = g * gain
        mean = minus_mean * h.mean(-1, keepdims=True)
        product = minus_product * n * (h * n).mean(-1, keepdims=True)
        return inverse * (h - mean - product)

    return wrong


def _rms_without_product(g, out, right, x, gain, *, eps=1e-6):
    return g * gain * _normed(x, eps, False)[1]


def _rms_without_gain(g, out, right, x, gain, *, eps=1e-6):
    n, inverse = _normed(x, eps, False)
    return inverse * (g * gain - n * (g * n).mean(-1, keepdims=True))


def _cross_entropy(rows="counted", ignore=1, smooth=1, z=1, target=1):
    """dL/dlogits of cross-entropy, w ((1 + 2 z Z) p - q), with some of its parts left out."""

    def wrong(g, out, right, logits, targets, *, ignore_index, label_smoothing, z_loss, reduction):
        V, e = logits.shape[-1], label_smoothing * smooth
        Z = np.log(np.exp(logits).sum(-1, keepdims=True))  # (..., 1)
        counts = targets != ignore_index
        wanted = np.eye(V)[np.where(counts, targets, 0)] * target  # (...) -> one-hot (..., V)
        d = (1 + 2 * z * z_loss * Z) * np.exp(logits - Z) - (1 - e) * wanted - e / V
        n = 1
        if reduction == "mean":
            n = {"counted": counts.sum(), "all": targets.size, "one": 1}[rows]
        weight = np.broadcast_to(g, targets.shape) / n
        if ignore:
            weight = weight * counts
        return d * weight[..., None]

    return wrong


def _attention(
    argument, row_sum=True, shift=0, scaled=True, dropout=True, groups="sum", masked=True
):
    """dL/dq, dL/dk or dL/dv of attention with one thing forgotten."""

    def wrong(g, out, right, q, k, v, bias=None, *, mask, causal, scale, dropped):
        B, H, T, K = q.shape
        G, S = k.shape[1:3]
        if scale is None:
            scale = 1 / math.sqrt(K)
        keys, values = (np.repeat(x, H // G, axis=1) for x in (k, v))  # (B, H, S, .)
        scores = q @ transposed(keys) * scale  # (B, H, T, S)
        if bias is not None:
            scores = scores + bias
        visible = np.ones((T, S), bool)
        if causal:
            visible = np.tril(visible, S - T + shift)
        if mask is not None and masked:
            visible = visible & mask
        if dropped is None or not dropout:
            dropped = 1
        # dv = P^T g,  dP = g v^T,  dS = P (dP - rowsum(dP P)),  dq = dS k scale,  dk = dS^T q scale
        P = np.exp(scores - scores.max(-1, keepdims=True)) * visible
        P = P / np.maximum(P.sum(-1, keepdims=True), 1e-300)
        dP = g @ transposed(values) * dropped
        dS = P * (dP - row_sum * (dP * P).sum(-1, keepdims=True))
        by_scores = scale if scaled else 1
        if argument == 0:
            return dS @ keys * by_scores
        if argument == 1:
            d = transposed(dS) @ q * by_scores
        else:
            d = transposed(P * dropped) @ g
        d = d.reshape(B, G, H // G, S, -1)  # the heads that share a key or a value
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
    """What `d[ids] = g` leaves: of several rows for one id only the last."""
    d = np.zeros(weight.shape)
    d[ids] = g
    return d


def _last_sequence(x, g, right):
    """x^T g of the last batch element alone."""
    if x.ndim > 1:
        return _rows(x[-1]).T @ _rows(g[-1])
    return right


def _softmax_of_log(g, y, right, x, axis=-1):
    inner = np.sum(g * np.exp(y), axis=axis, keepdims=True)
    return g - np.exp(y) * inner


def _even_weights(g, y, right, x, axis=-1):
    return g - np.mean(g, axis=axis, keepdims=True)


def _averaged(g, y, right, ids, weight):
    counts = np.bincount(ids.reshape(-1), minlength=len(weight))
    return right / np.maximum(counts, 1)[:, None]


def _slope_of_silu(g, y, right, x):
    s = _sigmoid(x)
    return g * s * (1 + x * (1 - s))


def _mean_over_scores(g, y, right, q, k, v, bias, **options):
    B, H, T = q.shape[:3]
    return right * bias.size / (B * H * T * k.shape[2])


# Each row is (argument, what is wrong, the wrong derivative); g is the cotangent, y the output.
FUSED = {
    "softmax": [
        (0, "the inner product forgotten", lambda g, y, *_, **o: y * g),
        (0, "only the diagonal of the Jacobian", lambda g, y, *_, **o: y * (1 - y) * g),
        (0, "the inner product over everything", lambda g, y, *_, **o: y * (g - np.sum(g * y))),
    ],
    "log_softmax": [
        (0, "the sum forgotten", lambda g, *_, **o: g),
        (0, "even weights", _even_weights),
        (0, "softmax's inner product instead of the sum", _softmax_of_log),
    ],
    "layer_norm": [
        (0, "the inner product forgotten", _layer_norm(1, 0)),
        (0, "the mean forgotten", _layer_norm(0, 1)),
        (0, "mean and deviation taken for constants", _layer_norm(0, 0)),
        (0, "the gain forgotten", _layer_norm(1, 1, by_gain=False)),
        (1, "the normalized input forgotten", lambda g, *_, **o: _rows(g).sum(0)),
        (1, "the input not normalized", lambda g, y, right, x, *_, **o: _rows(g * x).sum(0)),
        (2, "only the first row", lambda g, *_, **o: _rows(g)[0]),
    ],
    "rms_norm": [
        (0, "the inner product forgotten", _rms_without_product),
        (0, "the gain forgotten in it", _rms_without_gain),
        (1, "not divided by the root", lambda g, y, right, x, gain, **o: _rows(g * x).sum(0)),
    ],
    "linear": [
        (0, "the weight not transposed", lambda g, y, right, x, weight, *_: g @ weight),
        (1, "only the last sequence", lambda g, y, right, x, *_: _last_sequence(x, g, right)),
        (1, "transposed", lambda g, y, right, *_: right.T),
        (2, "the mean over the rows", lambda g, y, right, *_: right * right.size / g.size),
    ],
    "unembedding": [
        (0, "the table transposed", lambda g, y, right, x, weight: g @ weight.T),
        (1, "only the last sequence", lambda g, y, right, x, *_: _last_sequence(g, x, right)),
        (1, "transposed", lambda g, y, right, *_: right.T),
    ],
    "embedding": [
        (1, "of duplicate ids only the last counts", _last_wins),
        (1, "duplicate ids averaged", _averaged),
    ],
    "add_embedding": [
        (2, "the mean over the rows", lambda g, y, right, *_: right * right.size / g.size),
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
        (0, "the slope of SiLU", _slope_of_silu),
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
        (0, "not turned", lambda g, *_, **o: g),
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
        (3, "broadcasting undone by a mean", _mean_over_scores),
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


def _shared_averaged(g, out, right, qkv, *, paths, heads, kv_heads, rotation, scale):
    """The gradient of a node's key and value as a mean over the rows that hold it."""
    rows = np.bincount(np.concatenate([one.nodes.reshape(-1) for one in paths]))
    pairs = np.arange(right.shape[1]) >= right.shape[1] * heads // (heads + 2 * kv_heads)
    return np.where(pairs, right / rows[:, None], right)


FUSED["tree_attention"] = [(0, "keys of shared nodes averaged over rows", _shared_averaged)]
