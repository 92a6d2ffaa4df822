"""Self-attention between its projections, with norm and residual sum, in one operation   (book eqs.
2.4-2.11).

Read next: nn/block.py.
"""

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.kernels.attention import _self_attention
from tinylm.autograd.kernels.linear import linear
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.sublayers import composed
from tinylm.autograd.sublayers.around import formed, sublayer


def attention_sublayer(
    x: Tensor,
    gain: Tensor,
    shift: Tensor | None,
    qkv: Tensor,
    qkv_bias: Tensor | None,
    out: Tensor,
    out_bias: Tensor | None,
    norm: str = "layer",
    eps: float = 1e-5,
    placement: str = "pre",
    heads: int = 1,
    kv_heads: int | None = None,
    rotation: tuple[np.ndarray, ...] | None = None,
    mask: np.ndarray | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> Tensor:
    """x + W_out Attention(W_qkv norm(x)), or norm(x + W_out Attention(W_qkv x))

    x          (B, T, D)  the stream
    gain       (D,)  of the norm;  shift  (D,), or None
    qkv        (D, (H + 2G) K), with its bias or None
    out        (H K, D), with its bias or None: the projection of the merged heads
    norm       "layer" or "rms", with eps;  placement  "pre" or "post"
    others     as of self_attention; no weight is dropped
    returns    (B, T, D)
    raises     as the parts; ConfigError for another norm or placement

    Plain twin: composed.attention_sublayer. Check: tinylm gradcheck attention_sublayer
    """
    shape = (x.shape[0], heads, x.shape[1], x.shape[1])
    return _attention_sublayer(
        x,
        gain,
        shift,
        qkv,
        qkv_bias,
        out,
        out_bias,
        norm=norm,
        eps=eps,
        placement=placement,
        heads=heads,
        kv_heads=kv_heads or heads,
        rotation=rotation,
        mask=bool_mask(mask, "attention_sublayer", bias=None, shape=shape),
        causal=causal,
        scale=scale,
    )


@fused(composed.attention_sublayer, name="attention_sublayer")
def _attention_sublayer(
    x, gain, shift, qkv, qkv_bias, out, out_bias, *, norm, eps, placement, keep, **options
):
    def branch(h):
        packed, qkv_back = linear.kernel(h, qkv, qkv_bias, keep=keep)  # (B, T, (H + 2G) K)
        y, attention_back = _self_attention.kernel(packed, dropped=None, keep=keep, **options)
        y, out_back = linear.kernel(y, out, out_bias, keep=keep)  # (B, T, H K) -> (B, T, D)

        def backward(g):
            by_heads, by_out, by_out_bias = out_back(g)
            (by_packed,) = attention_back(formed(by_heads))
            return *qkv_back(formed(by_packed)), by_out, by_out_bias

        return y, backward

    return sublayer("attention_sublayer", branch, x, gain, shift, norm, eps, placement, keep)
