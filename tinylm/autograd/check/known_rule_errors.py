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


def _normal_density(g, y, a):
    return g * (2 / math.sqrt(math.pi)) * p.exp(-0.5 * a * a)


def _power_cut_off(g, y, a, b):
    return g * p.where(array_of(b) == 0, 0.0, b * p.power(a, b - 1))


def _to_all(g, y, a, axis=None, keepdims=False):
    """The cotangent of a reduction, for every entry of a: the rule of sum()."""
    return broadcast_to(_kept(g, a.shape, axis), a.shape)


def _shared_by_all(g, y, a, axis=None, keepdims=False):
    """The rule of mean()."""
    return _to_all(g, y, a, axis) / _count(a, axis)


def _transposed_on(g, y, a, axes=None):
    return transpose(g, axes)


def _from_start(i, g, y, *arrays, axis=0):
    n = arrays[i].shape[axis]
    return g[along(axis % g.ndim, slice(0, n))]


def _from_corner(g, y, a, widths):
    return g[tuple(slice(0, n) for n in a.shape)]


def _assigned(g, y, a, index):
    """What `out[index] = g` leaves: of several values for one element only the last."""
    out = np.zeros(a.shape)
    out[index] = g.data
    return Tensor(out)


def _named_once(g, y, values, shape, index):
    """The right rule, and 0 where the index names an element more than once."""
    count = np.zeros(y.shape)
    np.add.at(count, index, 1)
    return getitem(g, index) * (count[index] == 1)


# Each row is (argument, what is wrong, the wrong rule); g is the cotangent, y the output.
PRIMITIVE = {
    "exp": [(0, "the derivative of a power", lambda g, y, a: g * a)],
    "log": [(0, "multiplied instead of divided", lambda g, y, a: g * a)],
    "log1p": [(0, "the slope of log", lambda g, y, a: g / a)],
    "expm1": [(0, "y, which is right for exp", lambda g, y, a: g * y)],
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
        (0, "the normal density instead", _normal_density),
    ],
    "abs": [(0, "positive everywhere", lambda g, y, a: g)],
    "div": [
        (1, "the square of b forgotten", lambda g, y, a, b: -g * y),
        (1, "a forgotten", lambda g, y, a, b: -g / (b * b)),
    ],
    "pow": [
        (0, "the exponent not lowered", lambda g, y, a, b: g * b * y),
        (0, "the factor b forgotten", lambda g, y, a, b: g * y / a),
        (0, "cut off where b is 0, so that its slope by b is lost", _power_cut_off),
        (1, "log a forgotten", lambda g, y, a, b: g * y),
    ],
    "maximum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "minimum": [(0, "to both", lambda g, y, a, b: g), (1, "to both", lambda g, y, a, b: g)],
    "where": [
        (1, "the condition forgotten", lambda g, y, c, a, b: g),
        (2, "the condition not inverted", lambda g, y, c, a, b: p.where(c, g, 0.0)),
    ],
    "relu": [(0, "below zero too", lambda g, y, a: g)],
    "clip": [(0, "outside the borders too", lambda g, y, a, **borders: g)],
    "sum": [(0, "divided by the count, as for the mean", _shared_by_all)],
    "mean": [
        (0, "not divided by the count", _to_all),
        (0, "divided by the whole size", lambda g, y, a, **o: _to_all(g, y, a, **o) / a.size),
    ],
    "max": [(0, "to all elements", _to_all)],
    "min": [(0, "shared by all elements", _shared_by_all)],
    "logsumexp": [
        (0, "exp(a) not divided by its sum", lambda g, y, a, **o: _to_all(g, y, a, **o) * p.exp(a)),
        (0, "even weights", _shared_by_all),
    ],
    "cumsum": [
        (0, "not reversed", lambda g, y, a, axis, **o: cumsum(g, axis=axis)),
        (0, "not summed", lambda g, y, a, axis, **o: g),
        (0, "reversed only once", lambda g, y, a, axis, **o: cumsum(flip(g, axis=axis), axis=axis)),
    ],
    "matmul": [
        (0, "b not transposed", lambda g, y, a, b: matmul(g, b)),
        (1, "a not transposed", lambda g, y, a, b: matmul(a, g)),
        (1, "in swapped order", lambda g, y, a, b: matmul(swapaxes(g, -1, -2), a)),
    ],
    "transpose": [(0, "the permutation itself instead of its inverse", _transposed_on)],
    "reshape": [(0, "in column order", lambda g, y, a, shape: reshape(transpose(g), a.shape))],
    "concatenate": [(0, "every part cut from the start", _from_start)],
    "stack": [
        (0, "the first part for all", lambda i, g, y, *arrays, axis=0: g[along(axis % g.ndim, 0)])
    ],
    "pad": [(0, "cut from the corner", _from_corner)],
    "flip": [(0, "not flipped back", lambda g, *_, **o: g)],
    "roll": [(0, "rolled on instead of back", lambda g, y, a, **options: roll(g, **options))],
    "getitem": [(0, "of duplicates only the last counts", _assigned)],
    "scatter_add": [(0, "zero where an element is named twice", _named_once)],
}
