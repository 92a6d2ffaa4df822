"""Inputs on which the sublayers are checked: both norms and placements, with and without biases.

The options of attention and the values at which activations bend are those of kernels/cases.py,
whose kernels these operations call.
"""

from typing import Any

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd.kernels.cases import SOME, angles
from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import Call, call, register


def around(
    rng: "np.random.Generator", D: int, norm: str = "layer"
) -> tuple[np.ndarray, np.ndarray | None]:
    """gain and shift of a norm."""
    return uniform(rng, 0.5, 2, D), normal(rng, D) if norm == "layer" else None


def maps(
    rng: "np.random.Generator", *shapes: tuple[int, ...], bias: bool = True
) -> list[np.ndarray | None]:
    """A weight of each shape, followed by its bias or None."""
    found = []
    for shape in shapes:
        found += [normal(rng, *shape), normal(rng, shape[1]) if bias else None]
    return found


def attending(
    rng: "np.random.Generator",
    heads: int,
    kv_heads: int,
    norm: str = "layer",
    bias: bool = True,
    **options: Any,
) -> Call:
    """A call of attention_sublayer with x (2, 3, 4) and heads of width 2."""
    D, K, T = 4, 2, 3
    weights = maps(rng, (D, (heads + 2 * kv_heads) * K), (heads * K, D), bias=bias)
    sizes = {"norm": norm, "heads": heads, "kv_heads": kv_heads}
    return call(normal(rng, 2, T, D), *around(rng, D, norm), *weights, eps=1e-3, **sizes, **options)


register(
    "attention_sublayer",
    ad.attention_sublayer,
    lambda rng: [
        attending(rng, 2, 2),
        attending(rng, 2, 1, "rms", bias=False, rotation=angles(rng, 3, 1), scale=0.3),
        attending(rng, 1, 1, placement="post", causal=False, mask=SOME | SOME.T),
    ],
    source="book eqs. 2.4-2.11",
)


def feeding(
    rng: "np.random.Generator", norm: str = "layer", bias: bool = True, **options: str
) -> Call:
    """A call of feed_forward_sublayer with x (2, 3, 2) and 3 hidden units."""
    weights = maps(rng, (2, 3), (3, 2), bias=bias)
    return call(
        normal(rng, 2, 3, 2), *around(rng, 2, norm), *weights, norm=norm, eps=1e-2, **options
    )


register(
    "feed_forward_sublayer",
    ad.feed_forward_sublayer,
    lambda rng: [
        feeding(rng),
        feeding(rng, "rms", bias=False, activation="silu"),
        feeding(rng, placement="post", activation="gelu_tanh"),
    ],
    source="book eqs. 2.4, 2.25",
)


def gating(
    rng: "np.random.Generator", norm: str = "rms", bias: bool = False, **options: str
) -> Call:
    """A call of gated_sublayer with x (2, 3, 2) and 3 hidden units."""
    weights = maps(rng, (2, 3), (2, 3), (3, 2), bias=bias)
    return call(
        normal(rng, 2, 3, 2), *around(rng, 2, norm), *weights, norm=norm, eps=1e-2, **options
    )


register(
    "gated_sublayer",
    ad.gated_sublayer,
    lambda rng: [
        gating(rng),
        gating(rng, "layer", bias=True, placement="post", product="geglu"),
    ],
    source="book eqs. 2.4, 2.28-2.30",
)
