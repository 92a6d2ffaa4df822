"""Gradient checks of positions: tables, biases, relative vectors, rotation of neighboring pairs.

Positions are drawn with a past (queries that start after the first key), so that a cache is
covered, and reach into the widest bucket of every scheme.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.kernels.cases import angles
from tinylm.autograd.primitives.cases import nearest, normal
from tinylm.autograd.registry import Call, call, register
from tinylm.backend import Random, to_cpu
from tinylm.nn.module import Module
from tinylm.nn.position.bias import POSITION_BIASES, FireBias, fire_argument
from tinylm.nn.position.learned import LearnedPositions
from tinylm.nn.position.relative import ShawRelative, relative_shift
from tinylm.nn.position.rotary_forms import rotary_adjacent


def stream(rng: np.random.Generator) -> Random:
    """A tinylm Random seeded from the generator of the draw."""
    return Random(int(rng.integers(2**31)))


def bias_calls(name: str, **settings: int) -> Callable:
    """A whole sequence, queries after a past of seven, and two sequences with own positions."""

    def draw(rng):
        def module():
            return POSITION_BIASES[name](2, stream(rng), dtype=np.float64, **settings)

        both = np.array([[0, 1, 2], [4, 5, 9]])
        return [
            call(module(), np.arange(4), np.arange(4)),
            call(module(), np.array([7, 8]), np.arange(9)),
            call(module(), both, both),
        ]

    return draw


def bias(module: Module, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
    """A bias module called on positions."""
    return module(query_positions, key_positions)


def fire_kink(module: FireBias, query_positions: np.ndarray, key_positions: np.ndarray) -> float:
    """The distance of a hidden unit of FIRE from its kink."""
    c = np.log1p(np.exp(to_cpu(module.c.data)))  # softplus
    z = fire_argument(query_positions, key_positions, c, module.threshold).numpy()
    weight = module.hidden.weight.numpy()[0]  # (F,)
    hidden = z[..., None] * weight + module.hidden.bias.numpy()  # before ReLU
    return nearest(hidden, 0.0)


register(
    "nn.OffsetBias",
    bias,
    bias_calls("offset", max_offset=9),
    covers=(),
    source="book section 2.3.5",
)
register(
    "nn.T5Bias",
    bias,
    bias_calls("t5", buckets=6, max_distance=8, bidirectional=True),
    covers=(),
    source="book eq. 2.79",
)
register(
    "nn.KerplePowerBias",
    bias,
    bias_calls("kerple_power"),
    covers=(),
    source="book Table 2.4; Chi et al. 2022",
)
register(
    "nn.KerpleLogBias",
    bias,
    bias_calls("kerple_log"),
    covers=(),
    source="book Table 2.4; Chi et al. 2022",
)
register(
    "nn.FireBias",
    bias,
    bias_calls("fire", hidden=3, threshold=5),
    avoid=fire_kink,
    covers=(),
    source="book Table 2.4; Li et al. 2024",
)

register(
    "nn.LearnedPositions",
    lambda module, x, positions: module(x, positions),
    lambda rng: [
        call(
            LearnedPositions(5, 3, stream(rng), dtype=np.float64),
            normal(rng, 2, 4, 3),
            np.arange(4),
        ),
        call(
            LearnedPositions(5, 2, stream(rng), dtype=np.float64),
            normal(rng, 2, 2, 2),
            np.array([[0, 1], [1, 1]]),
        ),
    ],
    covers=(),
    source="book eq. 2.74",
)


def shaw_call(
    rng: np.random.Generator,
    queries: np.ndarray,
    keys: np.ndarray,
    visible: np.ndarray | None = None,
    std: float = 1.0,
) -> Call:
    """Attention with relative vectors of the size of queries and keys."""
    T, S = queries.shape[-1], keys.shape[-1]
    module = ShawRelative(2, stream(rng), clip=2, std=std, dtype=np.float64)
    q, k, v = normal(rng, 2, 2, T, 2), normal(rng, 2, 2, S, 2), normal(rng, 2, 2, S, 2)
    return call(module, q, k, v, queries, keys, mask=visible)


register(
    "nn.ShawRelative",
    lambda module, *args, **options: module(*args, **options),
    lambda rng: [
        shaw_call(rng, np.arange(3), np.arange(3)),
        shaw_call(rng, np.array([3, 4]), np.arange(5), np.tri(2, 5, 3, dtype=bool)),
        shaw_call(
            rng,
            np.array([[0, 1], [2, 5]]),
            np.array([[0, 1], [2, 5]]),
            np.array([[True, False], [True, True]]),
        ),
    ],
    covers=(),
    source="Shaw et al. 2018",
)
register(
    "nn.relative_shift",
    relative_shift,
    lambda rng: [call(normal(rng, 3, 5)), call(normal(rng, 2, 2, 3))],
    covers=(),
    source="Dai et al. 2019",
)


def adjacent_call(
    rng: np.random.Generator, shape: tuple[int, ...], angle_shape: tuple[int, ...]
) -> Call:
    """A call with random values and angles."""
    cos, sin = angles(rng, *angle_shape)
    return call(normal(rng, *shape), cos=cos, sin=sin)


register(
    "nn.rotary_adjacent",
    rotary_adjacent,
    lambda rng: [
        adjacent_call(rng, (3, 4), (3, 2)),
        adjacent_call(rng, (2, 2, 3, 4), (2, 1, 3, 2)),
    ],
    covers=(),
    source="book eq. 2.93",
)
