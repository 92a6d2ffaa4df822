"""The plain twins of the sublayers: the parts one after another   (book eqs. 2.4-2.11, 2.25-2.30).

Arguments are described with the operations. Read next: around.py.
"""

from tinylm.autograd.kernels import composed


def _sublayer(branch, x, gain, shift, norm, eps, placement):
    """x + F(norm(x)), or norm(x + F(x))"""
    if placement == "pre":
        return x + branch(_normed(x, gain, shift, norm, eps))
    return _normed(x + branch(x), gain, shift, norm, eps)


def _normed(x, gain, shift, norm, eps):
    if norm == "layer":
        return composed.layer_norm(x, gain, shift, eps=eps)
    return composed.rms_norm(x, gain, eps=eps)


def attention_sublayer(
    x,
    gain,
    shift,
    qkv,
    qkv_bias,
    out,
    out_bias,
    norm="layer",
    eps=1e-5,
    placement="pre",
    heads=1,
    kv_heads=None,
    **options,
):
    """The sublayer whose branch is W_out Attention(W_qkv h)"""

    def branch(h):
        packed = composed.linear(h, qkv, qkv_bias)
        y = composed.self_attention(packed, heads, kv_heads, **options)
        return composed.linear(y, out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)


def feed_forward_sublayer(
    x,
    gain,
    shift,
    hidden,
    hidden_bias,
    out,
    out_bias,
    norm="layer",
    eps=1e-5,
    placement="pre",
    activation="gelu",
):
    """The sublayer whose branch is W_out sigma(W_hidden h)"""

    def branch(h):
        h = getattr(composed, activation)(composed.linear(h, hidden, hidden_bias))
        return composed.linear(h, out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)


def gated_sublayer(
    x,
    gain,
    shift,
    gate,
    gate_bias,
    up,
    up_bias,
    out,
    out_bias,
    norm="rms",
    eps=1e-6,
    placement="pre",
    product="swiglu",
):
    """The sublayer whose branch is W_out (sigma(W_gate h) * W_up h)"""

    def branch(h):
        first, second = composed.linear(h, gate, gate_bias), composed.linear(h, up, up_bias)
        return composed.linear(getattr(composed, product)(first, second), out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)
