"""Errors that people make in the rules of primitives, written out: mutants no machine would make.

Each is (argument, what is wrong, the wrong rule), the rule as in primitives/elementwise.py. Most of
them are right under an all-ones cotangent, or for one shape. Read next: known_errors.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, array_of
from tinylm.autograd.primitives import elementwise as p
from tinylm.autograd.primitives.indexing import getitem
from tinylm.autograd.primitives.products import matmul
from tinylm.autograd.primitives.reductions import _count, _kept, cumsum
from tinylm.autograd.primitives.shaping import (
    along,
    broadcast_to,
    flip,
    reshape,
    roll,
    swapaxes,
    transpose,
)


def _assigned(g, a, index):
    """What `out[index] = g` leaves: of several values for one element only the last."""
    out = np.zeros(a.shape)
    out[index] = g.data
    return Tensor(out)


def _spread(g, a, axis):
    return broadcast_to(_kept(g, a.shape, axis), a.shape)


def _from_start(g, part, axis):
    return g[along(axis % g.ndim, slice(0, part.shape[axis]))]


def _named(shape, index):
    """How often an index names each element."""
    count = np.zeros(shape)
    np.add.at(count, index, 1)
    return count


PRIMITIVE = {
    "exp": [(0, "the derivative of a power", lambda g, y, a: g * a)],
    "log": [(0, "multiplied instead of divided", lambda g, y, a: g * a)],
    "sqrt": [(0, "the 2 forgotten", lambda g, y, a: g / y)],
    "tanh": [
        (0, "1 - y instead of 1 - y**2", lambda g, y, a: g * (1 - y)),
        (0, "1 - a**2 instead of 1 - y**2", lambda g, y, a: g * (1 - a * a)),
    ],
    "sigmoid": [
        (0, "y instead of y (1 - y)", lambda g, y, a: g * y),
        (0, "a (1 - a) instead of y (1 - y)", lambda g, y, a: g * a * (1 - a)),
    ],
    "erf": [
        (0, "2/sqrt(pi) forgotten", lambda g, y, a: g * p.exp(-a * a)),
        (
            0,
            "the normal density instead",
            lambda g, y, a: g * (2 / math.sqrt(math.pi)) * p.exp(-0.5 * a * a),
        ),
    ],
    "abs": [(0, "positive everywhere", lambda g, y, a: g)],
    "div": [
        (1, "the square of b forgotten", lambda g, y, a, b: -g * y),
        (1, "a forgotten", lambda g, y, a, b: -g / (b * b)),
    ],
    "pow": [
        (0, "the exponent not lowered", lambda g, y, a, b: g * b * y),
        (0, "the factor b forgotten", lambda g, y, a, b: g * y / a),
        (
            0,
            "cut off where b is 0, so that its slope by b is lost",
            lambda g, y, a, b: g * p.where(array_of(b) == 0, 0.0, b * p.power(a, b - 1)),
        ),
        (1, "log a forgotten", lambda g, y, a, b: g * y),
    ],
    "maximum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "minimum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "where": [
        (1, "the condition forgotten", lambda g, y, c, a, b: g),
        (2, "the condition not inverted", lambda g, y, c, a, b: p.where(c, g, 0.0)),
    ],
    "clip": [(0, "outside the borders too", lambda g, y, a, **borders: g)],
    "sum": [
        (
            0,
            "divided by the count, as for the mean",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis),
        )
    ],
    "mean": [
        (0, "not divided by the count", lambda g, y, a, axis=None, **o: _spread(g, a, axis)),
        (
            0,
            "divided by the whole size",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / a.size,
        ),
    ],
    "max": [(0, "to all elements", lambda g, y, a, axis=None, **o: _spread(g, a, axis))],
    "min": [
        (
            0,
            "shared by all elements",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis),
        )
    ],
    "logsumexp": [
        (
            0,
            "exp(a) not divided by its sum",
            lambda g, y, a, axis=None, **o: _spread(g, a, axis) * p.exp(a),
        ),
        (0, "even weights", lambda g, y, a, axis=None, **o: _spread(g, a, axis) / _count(a, axis)),
    ],
    "cumsum": [
        (0, "not reversed", lambda g, y, a, axis: cumsum(g, axis=axis)),
        (0, "not summed", lambda g, y, a, axis: g),
        (0, "reversed only once", lambda g, y, a, axis: cumsum(flip(g, axis=axis), axis=axis)),
    ],
    "matmul": [
        (0, "b not transposed", lambda g, y, a, b: matmul(g, b)),
        (1, "a not transposed", lambda g, y, a, b: matmul(a, g)),
        (1, "in swapped order", lambda g, y, a, b: matmul(swapaxes(g, -1, -2), a)),
    ],
    "transpose": [
        (
            0,
            "the permutation itself instead of its inverse",
            lambda g, y, a, axes=None: transpose(g, axes),
        )
    ],
    "reshape": [
        (0, "in column order", lambda g, y, a, shape: reshape(transpose(g), shape=a.shape))
    ],
    "concatenate": [
        (
            0,
            "every part cut from the start",
            lambda i, g, y, *arrays, axis=0: _from_start(g, arrays[i], axis),
        )
    ],
    "pad": [
        (0, "cut from the corner", lambda g, y, a, widths: g[tuple(slice(0, n) for n in a.shape)])
    ],
    "flip": [(0, "not flipped back", lambda g, y, a, axis=None: g)],
    "roll": [
        (
            0,
            "rolled on instead of back",
            lambda g, y, a, shift, axis=None: roll(g, shift=shift, axis=axis),
        )
    ],
    "getitem": [
        (0, "of duplicates only the last counts", lambda g, y, a, index: _assigned(g, a, index))
    ],
    "scatter_add": [
        (
            0,
            "zero where an element is named twice",
            lambda g, y, values, shape, index: (
                getitem(g, index) * (_named(y.shape, index)[index] == 1)
            ),
        )
    ],
}
