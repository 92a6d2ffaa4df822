"""Inputs on which primitives that move or pick values are checked: shaping.py and indexing.py.

Read next: kernels/cases.py.
"""

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd.primitives.cases import apart, normal, spacing
from tinylm.autograd.registry import call, register

register(
    "reshape",
    ad.reshape,
    lambda rng: [
        call(normal(rng, 2, 6), (3, 4)),
        call(normal(rng, 2, 3, 2), (-1, 2)),
        call(normal(rng, 1, 1), ()),
        call(normal(rng, 4), (2, 1, 2)),
    ],
)
register(
    "transpose",
    ad.transpose,
    lambda rng: [
        call(normal(rng, 2, 2, 2), (-1, 0, 1)),
        call(normal(rng, 2, 3)),
        call(normal(rng, 2, 3, 4), (1, 2, 0)),
        call(normal(rng, 3)),
    ],
)
register(
    "swapaxes",
    ad.swapaxes,
    lambda rng: [
        call(normal(rng, 2, 3, 2), 0, -1),
        call(normal(rng, 2, 2), 1, 0),
    ],
    covers=(),
)
register(
    "broadcast_to",
    ad.broadcast_to,
    lambda rng: [
        call(normal(rng, 3), (2, 3)),
        call(normal(rng, 2, 1, 2), (3, 2, 4, 2)),
        call(normal(rng), (2, 2)),
        call(normal(rng, 2, 3), (2, 3)),
    ],
)
register(
    "expand_dims",
    ad.expand_dims,
    lambda rng: [call(normal(rng, 2, 3), axis) for axis in (0, 1, -1)],
    covers=(),
)
register(
    "squeeze",
    ad.squeeze,
    lambda rng: [
        call(normal(rng, 2, 1, 3, 1)),
        call(normal(rng, 1, 2, 1), axis=-1),
    ],
    covers=(),
)
register(
    "concatenate",
    ad.concatenate,
    lambda rng: [
        call([normal(rng, 2, 3), normal(rng, 1, 3)]),
        call([normal(rng, 2)]),
        call([normal(rng, 2, 1), normal(rng, 2, 3), normal(rng, 2, 1)], axis=-1),
    ],
)
register(
    "stack",
    ad.stack,
    lambda rng: [
        call([normal(rng, 2, 3), normal(rng, 2, 3)]),
        call([normal(rng, 3), normal(rng, 3), normal(rng, 3)], axis=-1),
    ],
)
register(
    "split",
    ad.split,
    lambda rng: [
        call(normal(rng, 4, 3), 2),
        call(normal(rng, 2, 5), [1, 3], axis=-1),
    ],
    covers=(),
)
register(
    "pad",
    ad.pad,
    lambda rng: [
        call(normal(rng, 2, 3), ((1, 0), (0, 2))),
        call(normal(rng, 3), (2, 1)),
        call(normal(rng, 2, 2), ((0, 0), (1, 1))),
    ],
)
register(
    "flip",
    ad.flip,
    lambda rng: [
        call(normal(rng, 3, 4)),
        call(normal(rng, 3, 4), axis=1),
        call(normal(rng, 2, 3, 2), axis=(0, -1)),
    ],
)
register(
    "roll",
    ad.roll,
    lambda rng: [
        call(normal(rng, 3, 4), 1),
        call(normal(rng, 3, 4), -1, axis=0),
        call(normal(rng, 3, 3), (1, 2), axis=(0, 1)),
    ],
)
register(
    "ravel",
    ad.ravel,
    lambda rng: [
        call(normal(rng, 2, 3)),
        call(normal(rng)),
    ],
    covers=(),
)
register(
    "repeat",
    ad.repeat,
    lambda rng: [
        call(normal(rng, 2, 3), 2),
        call(normal(rng, 2, 3), 3, axis=-1),
        call(normal(rng, 3, 2), [2, 0, 1], axis=0),
    ],
    covers=(),
)
for triangle in ("tril", "triu"):
    register(
        triangle,
        getattr(ad, triangle),
        lambda rng: [
            call(normal(rng, 3, 3)),
            call(normal(rng, 2, 3, 4), k=1),
            call(normal(rng, 4, 2), k=-1),
        ],
    )

# Picking values: slices, integers, new axes, integer arrays with duplicates, masks, and mixtures
INDICES = [
    # (shape, index)
    ((5,), 2),
    ((5,), slice(1, 4)),
    ((6,), slice(None, None, -2)),
    ((3, 4), (slice(None), 1)),
    ((3, 4), (None, Ellipsis, slice(0, 2))),
    ((4,), np.array([0, 2, 2, 2])),
    ((3, 2), np.array([[1, 1], [0, 1]])),
    ((3, 4), (np.array([0, 2, 0]), np.array([1, 3, 1]))),
    ((2, 3, 2), (slice(None), np.array([0, 0, 2]))),
    ((3, 3), (slice(1, None), np.array([2, 2]), None)),
    ((4,), [1, 1, -3]),
    ((4,), ((1, 1, -3),)),
    ((2, 3), np.array([[True, False, True], [False, True, False]])),
    ((3, 2), np.array([True, False, True])),
]
register(
    "getitem",
    ad.getitem,
    lambda rng: [call(normal(rng, *shape), index) for shape, index in INDICES],
)
register(
    "scatter_add",
    lambda values, shape, index: ad.scatter_add(shape, index, values),
    lambda rng: [
        call(normal(rng, *np.empty(shape)[index].shape), shape, index) for shape, index in INDICES
    ],
)
register(
    "take_along_axis",
    ad.take_along_axis,
    lambda rng: [
        call(normal(rng, 3, 4), rng.integers(0, 4, (3, 2)), axis=-1),
        call(normal(rng, 3, 2), np.array([[1, 1], [0, 1], [0, 1], [2, 1]]), axis=0),
        call(normal(rng, 2, 3, 2), rng.integers(0, 3, (2, 1, 2)), axis=1),
    ],
    covers=(),
)
register(
    "sort",
    ad.sort,
    lambda rng: [
        call(apart(rng, 6)),
        call(apart(rng, 3, 4)),
        call(apart(rng, 3, 4), axis=0),
    ],
    avoid=lambda x, axis=None: spacing(x),
    covers=(),
)
register(
    "topk",
    ad.topk,
    lambda rng: [
        call(apart(rng, 6), 2),
        call(apart(rng, 3, 4), 3),
        call(apart(rng, 3, 4), 1, axis=0),
    ],
    avoid=lambda x, k, axis=-1: spacing(x),
    covers=(),
)
