"""Gradient checks of memories of fixed size, memories of segments, and retrieved pairs.

Modules get weights of size one, so that no derivative is too small to be noticed. Read next:
recurrence/cases.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.kernels.cases import qkv
from tinylm.autograd.primitives.cases import nearest, normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.nn.attention import sharing
from tinylm.nn.attention.cases import one, state
from tinylm.nn.cases import module
from tinylm.nn.memory import fixed_size, retrieved, segments
from tinylm.nn.memory.fixed_size import Memory
from tinylm.nn.position.bias import OffsetBias
from tinylm.nn.recurrence.recurrent import GRUCell


def read(memory: Memory, q: Tensor, k: Tensor, v: Tensor, segment: int = 1) -> Tensor:
    """A sequence through a memory."""
    return fixed_size.stream(memory, q, k, v, segment)[0]


def _between_neighbors(q, k, v):
    """The smallest gap between two entries of which pool_by_max(2) takes the larger."""
    return min(np.min(np.abs(x[:, :, 0::2] - x[:, :, 1::2])) for x in (k, v))


MEMORIES = {
    "fifo": (fixed_size.fifo(2), 1),
    "segments": (fixed_size.fifo(4), 2),
    "first_and_window": (fixed_size.first_and_window(1, 2), 1),
    "moving_average": (fixed_size.moving_average(2), 1),
    "cumulative_average": (fixed_size.cumulative_average(), 1),
    "exponential_average": (fixed_size.exponential_average(0.7, 0.9), 1),
    "compressive": (segments.compressive(2, 1, segments.pool_by_mean(2)), 2),
    "max_pool": (segments.compressive(2, 1, segments.pool_by_max(2)), 2),
}
for _name, (_memory, _segment) in MEMORIES.items():
    register(
        f"nn.memories.{_name}",
        lambda q, k, v, memory=_memory, n=_segment: read(memory, q, k, v, n),
        lambda rng: [call(*one(rng, 4))],
        avoid=_between_neighbors if _name == "max_pool" else None,
        covers=(),
        source="book eqs. 2.52-2.63",
    )
register(
    "nn.memories.weighted_average",
    lambda weights, q, k, v: read(fixed_size.weighted_average(weights), q, k, v),
    lambda rng: [call(uniform(rng, 0.3, 2, 2), *one(rng, 3))],
    covers=(),
    source="book eq. 2.55",
)
register(
    "nn.memories.recurrent",
    lambda cell, q, k, v: read(fixed_size.recurrent(cell), q, k, v),
    lambda rng: [call(module(GRUCell, 4, 4), *one(rng, 2))],
    covers=(),
    source="book eq. 2.59",
)
register(
    "nn.memories.ConvolutionPool",
    lambda pool, q, k, v: read(segments.compressive(2, 1, pool), q, k, v, 2),
    lambda rng: [call(module(segments.ConvolutionPool, 2, 2), *one(rng, 6))],
    covers=(),
    source="book eqs. 2.61-2.63",
)
register(
    "nn.attend_rotated",
    fixed_size.attend_rotated,
    lambda rng: [call(*qkv(rng, T=2, S=4))],
    covers=(),
    source="Xiao et al. 2024",
)
register(
    "nn.reconstruction_loss",
    lambda q, k, v, a, b: segments.reconstruction_loss(q, (k, v), (a, b)),
    lambda rng: [call(*qkv(rng), normal(rng, 1, 2, 2, 2), normal(rng, 1, 2, 2, 2))],
    covers=(),
    source="Rae et al. 2019",
)


def through_segments(layer: Callable, *xs: Tensor) -> list[Tensor]:
    """Segments through a layer with a state; the gradient flows back through all of them."""
    outputs, state = [], None
    for x in xs:
        y, state = layer(x, state)
        outputs.append(y)
    return outputs


def _recurrent_memory():
    inside = module(sharing.CrossLayerAttention, 2, 1)
    made = module(
        lambda rng, dtype: segments.RecurrentMemory(lambda x: x + inside(x)[0], 1, 2, rng, dtype)
    )
    made.inside = inside  # its parameters are found, and so checked, too
    return made


def _recurrent_attention(bias=False):
    layer = module(segments.SegmentRecurrentAttention, 2, 1, memory=3)
    layer.bias = OffsetBias(1, Random(0), max_offset=6, std=1.0, dtype=np.float64) if bias else None
    return layer


def _unstopped(layer, *xs):
    return through_segments(lambda x, past: layer(x, past, detach=False), *xs)


register(
    "nn.SegmentRecurrentAttention",
    _unstopped,
    lambda rng: [
        call(_recurrent_attention(bias), *(normal(rng, 1, 2, 2) for _ in range(3)))
        for bias in (False, True)
    ],
    covers=(),
    source="Dai et al. 2019",
)
register(
    "nn.BlockRecurrentCell",
    through_segments,
    lambda rng: [
        call(
            module(segments.BlockRecurrentCell, 2, 1, 2), normal(rng, 1, 2, 2), normal(rng, 1, 2, 2)
        )
    ],
    covers=(),
    source="Hutchins et al. 2022",
)
register(
    "nn.RecurrentMemory",
    through_segments,
    lambda rng: [call(_recurrent_memory(), *(normal(rng, 1, 2, 2) for _ in range(3)))],
    covers=(),
    source="Bulatov et al. 2022",
)
register(
    "nn.infini_attention",
    lambda q, k, v, gate, *state: segments.infini_attention(q, k, v, gate, *state),
    lambda rng: [
        call(*one(rng, 2), normal(rng, 1)),
        call(*qkv(rng, T=2, S=2), normal(rng, 2), state(rng, H=2)),
    ],
    avoid=lambda q, k, v, gate, *state: nearest(np.concatenate([q, k]), 0.0),
    covers=(),
    source="Munkhdalai et al. 2024",
)


def far(
    rng: np.random.Generator, N: int = 1, T: int = 2, n: int = 2, K: int = 2, J: int = 2, B: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values retrieved for each query."""
    return normal(rng, B, N, T, n, K), normal(rng, B, N, T, n, J)


SEEN = np.array([[True, False], [True, True]])[None, None]
PART = np.array([[True, False, False], [False, False, True]])
register(
    "nn.joint_attention",
    retrieved.joint_attention,
    lambda rng: [
        call(*one(rng, 2), *far(rng)),
        call(*qkv(rng, G=1, T=2), *far(rng, N=2), far_visible=SEEN, causal=False),
        call(*qkv(rng, H=1, G=1, T=2), *far(rng), mask=PART, scale=0.5),
    ],
    covers=(),
    source="book section 2.3.3",
)
register(
    "nn.gated_attention",
    retrieved.gated_attention,
    lambda rng: [
        call(*qkv(rng, T=2), *far(rng, N=2), uniform(rng, 0.2, 0.8, 2, 1, 1)),
        call(*one(rng, 2), *far(rng), 0.3, far_visible=SEEN),
    ],
    covers=(),
    source="book eqs. 2.64-2.66; Wu et al. 2021",
)
register(
    "nn.local_share",
    retrieved.local_share,
    lambda rng: [call(normal(rng, 1, 2, 3, 1), normal(rng, 1, 2, 3, 1))],
    covers=(),
)
register(
    "nn.HeadGate",
    lambda gate, q, k, v, a, b: retrieved.gated_attention(q, k, v, a, b, gate()),
    lambda rng: [
        call(retrieved.HeadGate(2, dtype=np.float64), *qkv(rng, G=1, T=1, S=1), *far(rng, N=2, T=1))
    ],
    covers=(),
    source="Wu et al. 2021",
)
