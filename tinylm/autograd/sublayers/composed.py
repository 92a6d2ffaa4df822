"""The plain twins of the sublayers: the parts one after another   (book eqs. 2.4-2.11, 2.25-2.30).

Arguments are described with the operations. Read next: around.py.
"""

from typing import Any

from tinylm.autograd.engine.tensor import Tensor
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
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    qkv: Tensor,
    qkv_bias: Tensor,
    out: Tensor,
    out_bias: Tensor,
    norm: str = "layer",
    eps: float = 1e-5,
    placement: str = "pre",
    heads: int = 1,
    kv_heads: int | None = None,
    **options: Any,
) -> Tensor:
    """The sublayer whose branch is W_out Attention(W_qkv h)"""

    def branch(h):
        packed = composed.linear(h, qkv, qkv_bias)
        y = composed.self_attention(packed, heads, kv_heads, **options)
        return composed.linear(y, out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)


def feed_forward_sublayer(
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    hidden: Tensor,
    hidden_bias: Tensor,
    out: Tensor,
    out_bias: Tensor,
    norm: str = "layer",
    eps: float = 1e-5,
    placement: str = "pre",
    activation: str = "gelu",
) -> Tensor:
    """The sublayer whose branch is W_out sigma(W_hidden h)"""

    def branch(h):
        h = getattr(composed, activation)(composed.linear(h, hidden, hidden_bias))
        return composed.linear(h, out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)


def gated_sublayer(
    x: Tensor,
    gain: Tensor,
    shift: Tensor | None,
    gate: Tensor,
    gate_bias: Tensor | None,
    up: Tensor,
    up_bias: Tensor | None,
    out: Tensor,
    out_bias: Tensor | None,
    norm: str = "rms",
    eps: float = 1e-6,
    placement: str = "pre",
    product: str = "swiglu",
) -> Tensor:
    """The sublayer whose branch is W_out (sigma(W_gate h) * W_up h)"""

    def branch(h):
        first, second = composed.linear(h, gate, gate_bias), composed.linear(h, up, up_bias)
        return composed.linear(getattr(composed, product)(first, second), out, out_bias)

    return _sublayer(branch, x, gain, shift, norm, eps, placement)
