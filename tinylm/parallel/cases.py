"""Gradient checks of collectives in a group of one, where each is the identity.

Their transposes between ranks are held by tests/parallel/test_collectives.py, by differences of a
loss over all ranks at once.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import Call, call, register
from tinylm.backend import ArrayLike
from tinylm.parallel.collectives import enter, enter_joined, joined, leave, leave_shared, own
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.experts.exchange import exchange, pushed
from tinylm.parallel.sequence.heads import heads_to_tokens, tokens_to_heads
from tinylm.parallel.sequence.ring import ring_attention
from tinylm.parallel.sequence.softmax import shared_attention
from tinylm.parallel.tensor.losses import split_cross_entropy

for operation in (enter, leave):
    register(
        operation.name,
        operation,
        lambda rng: [call(normal(rng, 2, 3), comm=SingleProcess())],
        source="Shoeybi et al. 2019",
    )
for name, operation in {
    "joined": joined,
    "own_share": own,
    "enter_joined": enter_joined,
    "leave_shared": leave_shared,
}.items():
    register(
        name,
        operation,
        lambda rng: [
            call(normal(rng, 2, 3), comm=SingleProcess(), axis=axis, total=n)
            for axis, n in ((0, 2), (-1, 3))
        ],
        source="Korthikanti et al. 2022",
    )


register(
    "exchange",
    exchange,
    lambda rng: [call(normal(rng, 3, 2), comm=SingleProcess(), sent=(3,), received=(3,))],
    source="Lepikhin et al. 2021",
)
register(
    "pushed",
    pushed,
    lambda rng: [call(normal(rng, 2, 3), added=np.zeros((2, 3)))],
    source="Fedus et al. 2022",
)


def rows(rng: np.random.Generator, **options: Any) -> Call:
    """Logits of five rows and seven words, of which a row does not count."""
    targets = np.append(rng.integers(0, 7, 4), -100)
    return call(normal(rng, 5, 7), targets, SingleProcess(), 7, **options)


register(
    "split_cross_entropy",
    split_cross_entropy,
    lambda rng: [
        rows(rng),
        rows(rng, label_smoothing=0.3, reduction="none"),
        rows(rng, z_loss=0.2, label_smoothing=0.1, reduction="sum"),
    ],
    source="Shoeybi et al. 2019",
)


def one_rank(
    rng: np.random.Generator, H: int, G: int, biases: int = 0, **options: ArrayLike
) -> Call:
    """Queries, keys and values of five tokens, all on one rank, and biases of so many heads."""
    q, k, v = normal(rng, 2, H, 5, 3), normal(rng, 2, G, 5, 3), normal(rng, 2, G, 5, 4)
    bias = normal(rng, biases, 5, 5) if biases else None
    return call(q, k, v, bias, **options)


def ring_of_one(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, **options: ArrayLike
) -> Tensor:
    """ring_attention() of one rank."""
    return ring_attention(q, k, v, SingleProcess(), q.shape[2], bias=bias, **options)


register(
    "ring_attention",
    ring_of_one,
    lambda rng: [
        one_rank(rng, 2, 2),
        one_rank(rng, 4, 2, causal=False, balanced=False),
        one_rank(rng, 2, 1, scale=0.3, dropped=(rng.random((2, 2, 5, 5)) < 0.7) / 0.7),
        one_rank(rng, 2, 1, 2, window=3),
        one_rank(rng, 2, 2, 1, held=rng.random((2, 5)) < 0.7, cap=2.0),
    ],
    source="Liu et al. 2023",
)
for operation, more in ((tokens_to_heads, {}), (heads_to_tokens, {"parts": 4})):
    register(
        operation.name,
        operation,
        lambda rng, more=more: [
            call(normal(rng, 2, 3, 4, 2), comm=SingleProcess(), heads=(ranges,), total=3, **more)
            for ranges in (((0, 4),), ((0, 1), (1, 4)))
        ],
        source="Jacobs et al. 2023",
    )
register(
    "shared_attention",
    shared_attention,
    lambda rng: [
        call(*(normal(rng, 2, 3, 4) for _ in range(3)), SingleProcess(), **options)
        for options in ({}, {"shifted": False, "fused": False}, {"mask": np.tri(3, dtype=bool)})
    ],
    covers=(),
    source="book eqs. 2.40-2.44",
)
