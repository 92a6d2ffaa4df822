"""Where half a block runs as one operation: the usual parts, and nothing that must see them apart.

The operations are those of autograd/sublayers/. A half is fused if it consists of exactly these
classes: a subclass, a map with adapters, quantized or cut among ranks computes something else, so
types are compared by identity. Everything else runs part by part, as block.py says it: caches,
biases and caps of scores, normed queries, dropout, experts, float16, rounding to fewer digits,
arrays on a GPU, and all calls while an observer counts or checks operations. Read next: block.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, attention_sublayer, feed_forward_sublayer, gated_sublayer
from tinylm.autograd.engine.arguments import USUAL
from tinylm.autograd.engine.rounding import is_rounding
from tinylm.autograd.engine.tensor import observers
from tinylm.autograd.sublayers.feed_forward import ACTIVATIONS, PRODUCTS
from tinylm.nn.attention.multi_head import SelfAttention
from tinylm.nn.feedforward import FeedForward, GatedFeedForward
from tinylm.nn.linear import Linear
from tinylm.nn.norm import LayerNorm, RMSNorm, post_norm, pre_norm

PLACEMENTS = (pre_norm, "pre"), (post_norm, "post")


def attended(
    x: Tensor,
    attention: Callable,
    norm: Callable | Sequence,
    placement: Callable[..., Tensor],
    rotation: tuple[np.ndarray, np.ndarray] | None = None,
    mask: np.ndarray | None = None,
    **others: Any,
) -> Tensor | None:
    """The first half of a block as one operation, or None where its parts must run.

    x          (B, T, D) Tensor
    attention, norm, placement  as of Block;  others  the options of its call
    returns    Tensor (B, T, D), or None
    """
    a = attention
    if type(a) is not SelfAttention or not a.kv_heads:
        return None
    if a.cap is not None or a.qk_norm is not None or (a.dropout and a.training):
        return None
    if any([value is not None for name, value in others.items() if name != "layer"]):
        return None  # a cache, a bias, segments
    around = _around(x, norm, placement, a.qkv, a.out)
    if around is None:
        return None
    return attention_sublayer(
        x,
        norm.gain,
        getattr(norm, "bias", None),
        a.qkv.weight,
        a.qkv.bias,
        a.out.weight,
        a.out.bias,
        **around,
        heads=a.heads,
        kv_heads=a.kv_heads,
        rotation=rotation,
        mask=mask,
        causal=a.causal,
        scale=a.scale,
    )


def fed(
    x: Tensor,
    feed_forward: Callable,
    norm: Callable | Sequence,
    placement: Callable[..., Tensor],
) -> Tensor | None:
    """The second half of a block as one operation, or None where its parts must run; arguments as
    of attended().
    """
    f = feed_forward
    if type(f) is FeedForward:
        maps, operation, kinds = (f.hidden, f.out), feed_forward_sublayer, ACTIVATIONS
        name, given = "activation", f.activation
    elif type(f) is GatedFeedForward:
        maps, operation, kinds = (f.gate, f.up, f.out), gated_sublayer, PRODUCTS
        name, given = "product", f.product
    else:
        return None
    kind: Any = getattr(given, "name", None)
    if kinds.get(kind) is not given:  # relu and others that have no kernel
        return None
    around = _around(x, norm, placement, *maps)
    if around is None:
        return None
    weights = [p for each in maps for p in (each.weight, each.bias)]
    return operation(x, norm.gain, getattr(norm, "bias", None), *weights, **around, **{name: kind})


def _around(x, norm, placement, *maps):
    """The options norm, eps and placement of a sublayer; None if something is not as usual."""
    around = next((name for known, name in PLACEMENTS if placement is known), None)
    if observers or is_rounding() or around is None:
        return None
    if type(x.data) is not np.ndarray:  # on a GPU each part has its kernels
        return None
    if type(norm) is LayerNorm:
        kind = "layer"
    elif type(norm) is RMSNorm:
        kind = "rms"
    else:
        return None
    dtype = x.dtype
    if dtype not in USUAL or norm.gain.dtype != dtype:
        return None
    for each in maps:
        if type(each) is not Linear or type(each.weight) is not Tensor:
            return None
        if each.weight.dtype != dtype:
            return None
    return {"norm": kind, "eps": norm.eps, "placement": around}
