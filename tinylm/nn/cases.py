"""Gradient checks of capped scores, GeGLU with tanh, norms of heads and branches, and experts.

Read next: attention/cases.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, concatenate, gelu
from tinylm.autograd.kernels.cases import qkv
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.nn import (
    Dropout,
    LayerNorm,
    Linear,
    SelfAttention,
    Sequential,
    capped_attention,
    experts,
    projected,
    sandwich_norm,
)
from tinylm.nn.experts import MixtureOfExperts
from tinylm.nn.feedforward import geglu_tanh
from tinylm.nn.module import Module


def module(kind: Callable, *sizes: int, **options: Any) -> Module:
    """A module in float64 with weights of size one: no derivative is too small to be checked."""
    made = kind(*sizes, Random(int(np.prod(sizes)), "cases"), dtype=np.float64, **options)
    for name, parameter in made.named_parameters().items():
        spread = np.std(parameter.data) if parameter.size else 1.0
        # Gains are all 1 and have no spread: they are of size one already.
        if 0 < spread < 0.1 and not name.endswith("bias"):
            parameter.data *= 0.5 / max(spread, 1e-3)
    return made


register(
    "nn.capped_attention",
    capped_attention,
    lambda rng: [
        call(*qkv(rng), 2.0, causal=True),
        call(*qkv(rng, H=4, G=2), 0.5, scale=0.3),
        call(*qkv(rng, T=3, S=3), 1.0, mask=rng.random((3, 3)) < 0.7),
    ],
    covers=(),
    source="Team Gemma 2024 (Gemma 2)",
)
register(
    "nn.geglu_tanh",
    geglu_tanh,
    lambda rng: [call(normal(rng, 2, 3), normal(rng, 2, 3))],
    covers=(),
    source="book eq. 2.29 with the tanh form of GELU",
)


def heads_of(attention: Callable[..., Tensor], x: Tensor) -> Tensor:
    """Queries, keys and values as one tensor: (B, H + 2 G, T, K)."""
    return concatenate(list(projected(attention, x)), axis=1)


def normed(rng: np.random.Generator, kind: str) -> SelfAttention:
    """A SelfAttention with norms of queries and keys, whose gains are random."""
    made = SelfAttention(8, 4, Random(0, "cases"), kv_heads=2, dtype=np.float64, qk_norm=kind)
    for parameter in made.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
    return made


register(
    "nn.projected",
    heads_of,
    lambda rng: [call(normed(rng, kind), normal(rng, 1, 3, 8)) for kind in ("head", "width")],
    covers=(),
    source="Henry et al. 2020 (Qwen3); OLMo 2",
)


def sandwich(x: Tensor, first: Module, second: Module) -> Tensor:
    """A branch between two norms."""
    return sandwich_norm(x, lambda h: h * h, (first, second))


register(
    "nn.sandwich_norm",
    sandwich,
    lambda rng: [call(normal(rng, 2, 4), *(LayerNorm(4, dtype=np.float64) for _ in range(2)))],
    covers=(),
    source="Gemma 2; Ding et al. 2021",
)


def _between_experts(logits, k):
    """The gap between the k-th score and the next: where it closes, another expert is chosen."""
    order = np.sort(logits, axis=-1)
    if k < order.shape[-1]:
        return np.min(np.abs(order[..., -k] - order[..., -k - 1]))
    return np.inf


def _to_border(layer, x):
    logits = x.reshape(-1, x.shape[-1]) @ layer.router.weight.numpy()  # (n, E)
    return _between_experts(logits, layer.k)


def _layers(rng):
    sizes = {"experts": 3, "balance": 0.3, "z": 0.2}
    gated = {"activation": "swiglu", "bias": False}
    one_expert = module(MixtureOfExperts, 2, 1, **sizes)
    two_experts = module(MixtureOfExperts, 2, 1, k=2, capacity_factor=0.6, **gated, **sizes)
    return [
        call(one_expert, normal(rng, 2, 2, 2)),
        call(two_experts, normal(rng, 3, 2)),
    ]


register(
    "nn.MixtureOfExperts",
    lambda layer, x: layer.forward_with_auxiliary(x),
    _layers,
    avoid=_to_border,
    covers=(),
    source="Fedus et al. 2022; Lepikhin et al. 2021",
)
register(
    "load_balancing_loss",
    experts.load_balancing_loss,
    lambda rng: [
        call(normal(rng, 4, 3), np.array([[0], [2], [2], [1]])),
        call(normal(rng, 3, 4), np.array([[0, 1], [3, 1], [1, 2]])),
    ],
    covers=(),
    source="Fedus et al. 2022, eq. 4",
)
register(
    "router_z_loss",
    experts.router_z_loss,
    lambda rng: [call(normal(rng, 4, 3)), call(normal(rng, 1, 2))],
    covers=(),
    source="Zoph et al. 2022, eq. 5",
)


def dropped(x: Tensor, p: float) -> Tensor:
    """Dropout in training, from a stream that starts anew each time."""
    return Dropout(p, Random(1, device=x.device))(x)


register(
    "nn.Dropout",
    dropped,
    lambda rng: [call(normal(rng, 3, 4), 0.4), call(normal(rng, 2), 0.0)],
    covers=(),
    source="Srivastava et al. 2014",
)
register(
    "nn.Sequential",
    lambda layers, x: layers(x),
    lambda rng: [
        call(Sequential(module(Linear, 3, 4), gelu, module(Linear, 4, 2)), normal(rng, 2, 3)),
        call(Sequential(), normal(rng, 2)),
    ],
    covers=(),
)
