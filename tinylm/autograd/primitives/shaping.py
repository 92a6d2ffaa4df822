"""Primitives that only move values: their derivatives move the cotangent back. All are linear.

Read next: indexing.py for moves that may repeat or drop values.
"""
import builtins

import numpy as np

from tinylm.autograd.engine.operation import primitive, unbroadcast
from tinylm.autograd.engine.tensor import Tensor
from tinylm.errors import ShapeError


@primitive(lambda g, y, a, shape: reshape(g, a.shape), linear=True, view=True)
def reshape(a, shape):
    """The values of a in row-major order in another shape; one entry may be -1. Returns a Tensor of `shape`."""
    return np.reshape(a, shape)


@primitive(lambda g, y, a, axes=None: transpose(g, None if axes is None else _inverse(axes)), linear=True, view=True)
def transpose(a, axes=None):
    """The axes of a in another order; reversed if none is given (book notation: a^T)."""
    return np.transpose(a, axes)


def _inverse(axes):
    return tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))


@primitive(lambda g, y, a, shape: unbroadcast(g, a.shape), linear=True, view=True)
def broadcast_to(a, shape):
    """a repeated along its missing and length-one axes up to `shape`, without a copy; the derivative sums them again."""
    return np.broadcast_to(a, shape)


def swapaxes(a, first, second):
    """a with two axes exchanged."""
    order = list(range(np.ndim(a) if not isinstance(a, Tensor) else a.ndim))
    order[first], order[second] = order[second], order[first]
    return transpose(a, axes=tuple(order))


def expand_dims(a, axis):
    """a with a new axis of length one at position `axis` of the result."""
    shape = list(a.shape)
    shape.insert(axis if axis >= 0 else axis + a.ndim + 1, 1)
    return reshape(a, shape=tuple(shape))


def squeeze(a, axis=None):
    """a without its axes of length one, or without the given one. Raises ShapeError if that axis is longer."""
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else [axis % a.ndim]
    if builtins.any(a.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {a.shape} has length {a.shape[axis]}, not 1")
    return reshape(a, shape=tuple(n for i, n in enumerate(a.shape) if i not in axes))


def _nth_part(i, g, y, *arrays, axis=0):
    start = builtins.sum(a.shape[axis] for a in arrays[:i])
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, start + arrays[i].shape[axis]),)]


@primitive(_nth_part, linear=True, variadic=True, name="concatenate")
def _concatenate(*arrays, axis=0):
    return np.concatenate(arrays, axis=axis)


def concatenate(arrays, axis=0):
    """Arrays joined along an existing axis; the derivative cuts the cotangent at the same places."""
    return _concatenate(*arrays, axis=axis)


def stack(arrays, axis=0):
    """Arrays of one shape joined along a new axis."""
    return concatenate([expand_dims(a if isinstance(a, Tensor) else Tensor(a), axis) for a in arrays], axis=axis)


def split(a, sections, axis=0):
    """a cut along an axis into `sections` equal parts, or at the given positions. Returns a list of Tensors.

    Raises ShapeError if the axis does not divide evenly.
    """
    n, axis = a.shape[axis], axis % a.ndim
    if isinstance(sections, int):
        if n % sections:
            raise ShapeError(f"split: axis {axis} has length {n}, which does not divide into {sections} equal parts")
        sections = range(n // sections, n, n // sections)
    borders = [0, *sections, n]
    return [a[(slice(None),) * axis + (slice(i, j),)] for i, j in zip(borders, borders[1:])]


@primitive(lambda g, y, a, widths: g[tuple(slice(before, before + n) for (before, _), n in zip(widths, a.shape))],
           linear=True, name="pad")
def _pad(a, widths):
    return np.pad(a, widths)


def pad(a, widths):
    """a with zeros around it. widths: one (before, after) pair per axis, or one pair for all."""
    widths = [widths] * a.ndim if isinstance(widths[0], int) else widths
    return _pad(a, widths=tuple((int(before), int(after)) for before, after in widths))


@primitive(lambda g, y, a, axis=None: flip(g, axis=axis), linear=True)
def flip(a, axis=None):
    """a with the order along an axis (or several, or all) reversed."""
    return np.flip(a, axis=axis)


@primitive(lambda g, y, a, shift, axis=None: roll(g, shift=_negate(shift), axis=axis), linear=True)
def roll(a, shift, axis=None):
    """a shifted along an axis, values leaving one end entering at the other."""
    return np.roll(a, shift, axis=axis)


def _negate(shift):
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift
