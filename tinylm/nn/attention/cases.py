"""Gradient checks of sparse, linear and shared attention, all composed of recorded operations.

Modules get weights of size one, so that no derivative is too small to be noticed. Read next:
memory/cases.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd.kernels.cases import qkv
from tinylm.autograd.primitives.cases import nearest, normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.nn.attention import linear_attention, patterns, sharing, sparse
from tinylm.nn.cases import module


def one(rng: np.random.Generator, T: int) -> tuple[np.ndarray, ...]:
    """One head's queries, keys and values of T tokens, two channels wide."""
    return qkv(rng, H=1, G=1, T=T, S=T)


def table(queries: int, keys: int | None = None, **sizes: Any) -> tuple[np.ndarray, ...]:
    """Index lists of a window with its first token."""
    return patterns.window_index(queries, keys, **sizes)


register(
    "gather_rows",
    sparse.gather_rows,
    lambda rng: [
        call(normal(rng, 4, 2), index=np.array([[0, 2], [2, 2], [3, 0]])),
        call(normal(rng, 3, 1), index=np.array([1])),
        call(normal(rng, 2, 3), index=np.zeros((2, 1, 2), int)),
    ],
)
# The second query sees nothing.
HOLES = np.array([[True, False, False], [False, False, False], [True, False, True]])
register(
    "nn.sparse_attention",
    sparse.sparse_attention,
    lambda rng: [
        call(*qkv(rng, H=4), *table(3, width=1, first=1)),
        call(*qkv(rng, H=2, G=1, T=2, S=4, J=3), *table(2, 4, width=2), scale=0.6),
        call(*one(rng, 3), *patterns.index_sets(HOLES)),
        call(*qkv(rng, B=2), *patterns.index_sets(rng.random((2, 2, 3, 3)) < 0.6)),
    ],
    covers=(),
    source="book eq. 2.48",
)
register(
    "nn.window_attention",
    sparse.window_attention,
    lambda rng: [
        call(*one(rng, 5), 2),
        call(*qkv(rng, H=2, G=1, T=2, S=2), 1),
        call(*one(rng, 2), 7),
    ],
    covers=(),
    source="book eq. 2.53; Parmar et al. 2018",
)


def _between_keys(q, k, v, count):
    """The smallest gap between two scores of a query: where they cross, other keys are chosen."""
    k = np.repeat(k, q.shape[1] // k.shape[1], 1)  # (B, G, S, K) -> (B, H, S, K)
    scores = np.sort(q @ k.swapaxes(-1, -2), axis=-1)
    return np.min(np.diff(scores))


register(
    "nn.topk_attention",
    sparse.topk_attention,
    lambda rng: [call(*qkv(rng), 2), call(*qkv(rng, G=1), 1)],
    avoid=_between_keys,
    covers=(),
    source="book section 2.3.3; Gupta et al. 2021",
)

for _name in ("elu", "exp", "taylor"):
    register(
        f"nn.{_name}_features",
        linear_attention.FEATURES[_name],
        lambda rng: [call(normal(rng, 2, 3))],
        avoid=lambda x: nearest(x, 0.0),
        covers=(),
        source="book section 2.3.2",
    )
register(
    "nn.random_features",
    linear_attention.random_features,
    lambda rng: [call(normal(rng, 2, 3), np.random.default_rng(0).normal(size=(4, 3)))],
    covers=(),
    source="Choromanski et al. 2021",
)


def features(
    rng: np.random.Generator, B: int = 1, H: int = 1, T: int = 3, F: int = 2, J: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive queries and keys, and values."""
    return (
        uniform(rng, 0.2, 1.5, B, H, T, F),
        uniform(rng, 0.2, 1.5, B, H, T, F),
        normal(rng, B, H, T, J),
    )


def state(rng: np.random.Generator, B: int = 1, H: int = 1, F: int = 2, J: int = 2) -> np.ndarray:
    """A positive state of linear attention, (B, H, F, J + 1)."""
    return uniform(rng, 0.2, 1.5, B, H, F, J + 1)


register(
    "nn.linear_attention_matrix",
    linear_attention.linear_attention_matrix,
    lambda rng: [call(*features(rng)), call(*features(rng, B=2, H=2, T=1))],
    covers=(),
    source="book eq. 2.49",
)
register(
    "nn.linear_attention_recurrent",
    linear_attention.linear_attention_recurrent,
    lambda rng: [call(*features(rng)), call(*features(rng, T=1), state(rng))],
    covers=(),
    source="book eqs. 2.49-2.51",
)
register(
    "nn.linear_attention_chunked",
    linear_attention.linear_attention_chunked,
    lambda rng: [
        call(*features(rng), chunk=2),
        call(*features(rng, T=3), state(rng), chunk=2),
        call(*features(rng, T=2), chunk=5),
    ],
    covers=(),
    source="book eqs. 2.49-2.51",
)
register(
    "nn.LinearSelfAttention",
    lambda layer, x, *state: layer(x, *state),
    lambda rng: [
        call(module(linear_attention.LinearSelfAttention, 4, 2, chunk=2), normal(rng, 1, 3, 4)),
        call(
            module(linear_attention.LinearSelfAttention, 2, 1),
            normal(rng, 1, 2, 2),
            state(rng, H=1, F=2, J=2),
        ),
    ],
    covers=(),
    source="Katharopoulos et al. 2020",
)


for _name, _kind in (
    ("CrossLayerAttention", sharing.CrossLayerAttention),
    ("SharedWeightAttention", sharing.SharedWeightAttention),
):
    register(
        f"nn.{_name}",
        lambda below, above, x: sharing.through([below, above], x),
        lambda rng, kind=_kind: [
            call(module(kind, 4, 2), module(kind, 4, 2, owner=False), normal(rng, 1, 3, 4))
        ],
        covers=(),
        source="book section 2.3.4",
    )
