"""Inputs on which the primitives are checked: draws, elementwise operations, reductions, products.

One entry each, with the shapes and options that reach all of its cases. Scalars, broadcasting,
repeated reads and odd axes are among them, because that is where derivatives go wrong; values keep
away from kinks (`avoid`). Read next: cases_moves.py, kernels/cases.py, then check/mutants.py, which
shows that these draws catch wrong rules.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.registry import call, register
from tinylm.backend import ArrayLike


def normal(rng: "np.random.Generator", *shape: int) -> np.ndarray:
    """Standard normal values of a shape."""
    return np.asarray(rng.normal(size=shape))


def uniform(rng: "np.random.Generator", low: float, high: float, *shape: int) -> np.ndarray:
    """Values uniform between two borders."""
    return np.asarray(rng.uniform(low, high, size=shape))


def apart(rng: "np.random.Generator", *shape: int) -> np.ndarray:
    """Values no two of which are nearer than 0.2, in random order: for sorting and extremes."""
    n = math.prod(shape)
    steps = (rng.permutation(n) - n / 2) * 0.3
    return (steps + rng.uniform(0, 0.1, n)).reshape(shape)


def spacing(values: np.ndarray) -> float:
    """The smallest distance between two values: a smaller change does not alter their order."""
    return np.min(np.diff(np.sort(values.reshape(-1))), initial=np.inf)


def nearest(values: np.ndarray, *points: float) -> float:
    """The smallest distance of any value to any of the points."""
    return min(np.min(np.abs(values - p), initial=np.inf) for p in points)


# Elementwise, one argument: the interval its values are drawn from, then the points of its kinks
UNARY = {
    "neg": (-2, 2),
    "exp": (-2, 2),
    "log": (0.3, 3),
    "log1p": (-0.7, 3),
    "expm1": (-2, 2),
    "sqrt": (0.3, 3),
    "tanh": (-2, 2),
    "sigmoid": (-4, 4),
    "erf": (-2, 2),
    "softplus": (-4, 4),
    "sin": (-3, 3),
    "cos": (-3, 3),
    "abs": (-2, 2, 0.0),
    "relu": (-2, 2, 0.0),
}


def register_unary(name: str, low: float, high: int, *kinks: float) -> None:
    """Register an elementwise operation of one argument, drawn between low and high."""
    fields = {}
    if kinks:
        fields["avoid"] = lambda x: nearest(x, *kinks)
    if name == "relu":
        fields["source"] = "book eq. 2.26"
    register(
        name,
        getattr(ad, name),
        lambda rng: [call(uniform(rng, low, high, *shape)) for shape in [(), (5,), (2, 3)]],
        **fields,
    )


for unary, interval in UNARY.items():
    register_unary(unary, *interval)

# Elementwise, two arguments: equal shapes, broadcasting on either side and on both, a scalar and a
# plain number
SHAPES = [
    ((3, 4), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 2)),
    ((1, 3), (2, 3)),
]


def pairs(draw: Callable) -> Callable:
    """Draws for an elementwise operation with two arguments, each made by draw(rng, *shape)."""

    def calls(rng):
        both = [call(draw(rng, *a), draw(rng, *b)) for a, b in SHAPES]
        return [*both, call(draw(rng, 3), 1.7), call(1.7, draw(rng, 3))]

    return calls


def away_from_zero(rng: "np.random.Generator", *shape: int) -> np.ndarray | float:
    """Values of both signs between 0.4 and 2 in size."""
    return uniform(rng, 0.4, 2, *shape) * rng.choice([-1.0, 1.0], shape)


register("add", ad.add, pairs(normal))
register("sub", ad.sub, pairs(normal))
register("mul", ad.mul, pairs(normal))
register("div", ad.div, pairs(away_from_zero))


def gap(a: ArrayLike, b: ArrayLike) -> float:
    """The smallest distance of a pair: at 0 the larger one changes."""
    return np.min(np.abs(a - b))


register("maximum", ad.maximum, pairs(normal), avoid=gap)
register("minimum", ad.minimum, pairs(normal), avoid=gap)
register(
    "power",
    ad.power,
    lambda rng: [
        *pairs(lambda rng, *shape: uniform(rng, 0.4, 2, *shape))(rng),
        # whole powers, of negative bases too
        *(call(away_from_zero(rng, 4), n) for n in (0, 1, 2, 3, -1, -2)),
        call(uniform(rng, 0.4, 2, 4), 0.5),
        # an array of exponents is differentiated too, and 0 is a special case of the rule
        call(uniform(rng, 0.4, 2, 3), np.array([0.0, 1.0, 2.5])),
    ],
    covers=("pow",),
)
register(
    "where",
    ad.where,
    lambda rng: [
        call(rng.random((3, 4)) < 0.5, normal(rng, 3, 4), normal(rng, 3, 4)),
        call(rng.random((3, 1)) < 0.5, normal(rng, 2, 1, 4), normal(rng, 4)),  # all broadcast
        call(np.array([True, False, True]), normal(rng, 3), 0.0),
        call(np.array([True, False, False]), -1.0, normal(rng, 3)),
    ],
)


def to_border(x: np.ndarray, min: float | None = None, max: float | None = None) -> float:
    """The smallest distance to a border of clip()."""
    borders = [b for b in (min, max) if b is not None]
    return nearest(x, *borders)


register(
    "clip",
    ad.clip,
    lambda rng: [
        call(normal(rng, 3, 4), min=-0.5, max=0.8),
        call(normal(rng, 5), min=0.1),
        call(normal(rng, 5), max=0.1),
    ],
    avoid=to_border,
)


def astype(x: Tensor) -> Tensor:
    """To float64, and back if it was shorter, so that the result has the dtype of the input."""
    # float64 is converted once: a second rule could hide a sign error of the first.
    wide = ad.astype(x, np.float64)
    if wide.dtype == x.dtype:
        return wide
    return ad.astype(wide, x.dtype)


register("astype", astype, lambda rng: [call(normal(rng, 2, 3))])


# Reductions: no axis, one, several, negative, kept or not
def reductions(draw: Callable) -> Callable:
    """Draws that reduce over every kind of axis argument."""
    return lambda rng: [
        call(draw(rng, 2, 3)),
        call(draw(rng, 2, 3), axis=0),
        call(draw(rng, 2, 3), axis=-1, keepdims=True),
        call(draw(rng, 2, 3, 2), axis=(0, 2)),
        call(draw(rng, 2, 3, 2), axis=(1, -1), keepdims=True),
        call(draw(rng, 4)),
        call(draw(rng)),
    ]


register("sum", ad.sum, reductions(normal))
register("mean", ad.mean, reductions(normal))
register("var", ad.var, reductions(normal), covers=())
register(
    "std",
    ad.std,
    lambda rng: [c for c in reductions(apart)(rng) if c.args[0].ndim],  # one value has no slope
    covers=(),
)
register("max", ad.max, reductions(apart), avoid=lambda x, **options: spacing(x))
register("min", ad.min, reductions(apart), avoid=lambda x, **options: spacing(x))
register("logsumexp", ad.logsumexp, reductions(normal))
register(
    "norm",
    ad.norm,
    lambda rng: [c for c in reductions(normal)(rng) if c.args[0].ndim],
    avoid=lambda x, **options: nearest(x, 0.0),
)
register(
    "prod",
    ad.prod,
    lambda rng: [
        *reductions(away_from_zero)(rng),
        call(np.array([0.0, 2.0, 3.0])),  # a zero has a derivative
        call(normal(rng, 7, 2), axis=0),
    ],
    covers=(),
)
register(
    "weigh",
    ad.weigh,
    lambda rng: [
        call(normal(rng, 2, 3), normal(rng, 2, 3)),
        call(normal(rng, 2, 3), normal(rng, 3)),
        call(np.array([0.0, 1.0, 0.0]), normal(rng, 3)),  # a weight of 0 still has a gradient
    ],
    covers=(),
)
register(
    "cumsum",
    ad.cumsum,
    lambda rng: [
        call(normal(rng, 5), axis=0),
        call(normal(rng, 2, 3), axis=0),
        call(normal(rng, 2, 3, 2), axis=-2),
    ],
)

# Products
register(
    "matmul",
    ad.matmul,
    lambda rng: [
        call(normal(rng, *a), normal(rng, *b))
        for a, b in [
            ((3, 3), (3, 3)),
            ((2, 3), (3, 4)),
            # 1-D operands: rows and columns
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            # leading axes: equal, missing on one side, broadcast
            ((2, 2, 3), (2, 3, 2)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 2)),
            ((2, 1, 2, 3), (3, 3, 2)),
            ((3,), (2, 3, 2)),
            ((2, 2, 3), (3,)),
            ((1, 2, 2), (3, 2, 2)),
        ]
    ],
)
register(
    "einsum",
    lambda subscripts, *operands: ad.einsum(subscripts, *operands),
    lambda rng: [
        call(subscripts, *[normal(rng, *shape) for shape in shapes])
        for subscripts, *shapes in [
            ("ij,jk->ik", (2, 3), (3, 2)),
            ("ij,jk->ik", (3, 3), (3, 3)),
            ("ij->ji", (2, 3)),
            ("ij->i", (2, 3)),
            ("i,i->", (4,), (4,)),
            ("bhtk,bhsk->bhts", (1, 2, 2, 3), (1, 2, 3, 3)),
            ("ij,k->j", (2, 3), (2,)),
            ("bi,ij,bj->b", (2, 3), (3, 3), (2, 3)),
            # without an arrow the output is implied
            ("...ij,...jk", (2, 2, 3), (3, 2)),
            ("ji", (2, 3)),
            # a trace and a diagonal
            ("ii", (3, 3)),
            ("iji->ij", (2, 3, 2)),
            # an axis of length 1 broadcasts; an ellipsis that stays
            ("i,i->", (2,), (1,)),
            ("i...->...", (2, 3)),
        ]
    ],
)
