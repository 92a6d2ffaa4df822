"""Primitives that only move values: their derivatives move the cotangent back.

All are linear: the rules need shapes, never values. Read next: indexing.py for moves that may
repeat or drop values.
"""

import operator
from collections.abc import Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinylm.autograd.engine.operation import composite, primitive, unbroadcast
from tinylm.autograd.engine.tensor import Array, Tensor, array_of, as_tensor, is_recording
from tinylm.autograd.primitives.choice import chosen
from tinylm.backend import ArrayLike
from tinylm.errors import ShapeError


def along(axis: int, part: int | slice | np.ndarray) -> tuple:
    """The index of `part` along an axis: a[along(2, part)] is a[:, :, part]. axis: not negative."""
    return (slice(None),) * axis + (part,)


@primitive(lambda g, y, a, shape: reshape(g, a.shape), linear=True, view=True)
def reshape(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a in row-major order in another shape, of which one entry may be -1.

    Check: tinylm gradcheck reshape
    """
    return np.reshape(a, shape)


def _transposed_back(g, y, a, axes=None):
    if axes is None:
        return transpose(g)
    # axis i of y is axis axes[i] of a, so axis axes[i] of dL/da is axis i of g
    inverse = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
    return transpose(g, tuple(inverse))


@primitive(_transposed_back, linear=True, view=True)
def transpose(a: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """The axes of a in another order; reversed if none is given (book notation: a^T).

    Check: tinylm gradcheck transpose
    """
    return np.transpose(a, axes)


@primitive(lambda g, y, a, shape: unbroadcast(g, a.shape), linear=True, view=True)
def broadcast_to(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """a repeated along its missing axes and those of length 1, without a copy.

    The derivative is the sum over the repetitions. Check: tinylm gradcheck broadcast_to
    """
    return np.broadcast_to(a, shape)


@composite
def swapaxes(a: Tensor, axis1: int, axis2: int) -> Tensor:
    """a with two axes exchanged. Check: tinylm gradcheck swapaxes"""
    order = list(range(np.ndim(array_of(a))))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(a, axes=tuple(order))


@composite
def expand_dims(a: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """a with new axes of length 1 at these positions of the result. axis: int or tuple of ints.

    Check: tinylm gradcheck expand_dims
    """
    if not isinstance(axis, (tuple, list)):
        axis = (axis,)
    shape = list(a.shape)
    for i in sorted(normalize_axis_tuple(axis, a.ndim + len(axis))):
        shape.insert(i, 1)
    return reshape(a, shape=tuple(shape))


@composite
def squeeze(a: Tensor, axis: tuple[int, ...] | None = None) -> Tensor:
    """a without its axes of length 1, or without the given ones.

    Raises ShapeError if one of those is longer. Check: tinylm gradcheck squeeze
    """
    ones = tuple(i for i, n in enumerate(a.shape) if n == 1)
    if axis is None or (a.ndim == 0 and axis in (0, -1)):
        axes = ones
    else:
        axes = normalize_axis_tuple(axis, a.ndim)
    longer = [i for i in axes if i not in ones]
    if longer:
        raise ShapeError(
            f"squeeze: axis {longer[0]} of shape {a.shape} has length {a.shape[longer[0]]}, not 1"
        )
    return reshape(a, shape=tuple(n for i, n in enumerate(a.shape) if i not in axes))


@composite
def ravel(a: Array) -> Tensor:
    """The values of a in row-major order along one axis. Check: tinylm gradcheck ravel"""
    return reshape(a, shape=(-1,))


@composite
def repeat(a: Array, repeats: ArrayLike, axis: int | None = None) -> Tensor:
    """Every entry along an axis (of ravel(a) if none is given) repeated.

    repeats  int, or one int per entry. The derivative is the sum over the repetitions.

    Check: tinylm gradcheck repeat
    """
    a = as_tensor(a)
    if axis is None or a.ndim == 0:
        a, axis = ravel(a), 0
    else:
        axis = normalize_axis_tuple(axis, a.ndim)[0]
    if isinstance(repeats, int):  # (.., n, ..) -> (.., n, 1, ..) -> (.., n, times, ..)
        before, n, after = a.shape[:axis], a.shape[axis], a.shape[axis + 1 :]
        spread = broadcast_to(expand_dims(a, axis + 1), shape=(*before, n, repeats, *after))
        return reshape(spread, shape=(*before, n * repeats, *after))
    positions = np.repeat(np.arange(a.shape[axis], like=a.data), repeats)
    return a[along(axis, positions)]


def _nth_part(i, g, y, *arrays, axis=0):
    start = sum([a.shape[axis] for a in arrays[:i]])
    part = slice(start, start + arrays[i].shape[axis])
    return _read(g, along(axis % g.ndim, part))


def _read(g, index):
    """A part of a cotangent: a view of it, recorded only if that is wanted."""
    if is_recording():
        return g[index]
    return Tensor(g.data[index])


@primitive(_nth_part, linear=True, variadic=True, name="concatenate")
def _concatenate(*arrays, axis=0):
    return np.concatenate(arrays, axis=axis)


@composite
def concatenate(arrays: Sequence[Array], axis: int | None = 0) -> Tensor:
    """Arrays joined along an existing axis; the derivative cuts the cotangent at the same places.

    axis  None joins the arrays' values as ravel() orders them

    Check: tinylm gradcheck concatenate
    """
    if axis is None:
        arrays, axis = [ravel(as_tensor(a)) for a in arrays], 0
    return _concatenate(*arrays, axis=axis)


@primitive(
    lambda i, g, y, *arrays, axis=0: _read(g, along(axis % g.ndim, i)),
    linear=True,
    variadic=True,
    name="stack",
)
def _stack(*arrays, axis=0):
    return np.stack(arrays, axis=axis)


@composite
def stack(arrays: Sequence[Array], axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis. Check: tinylm gradcheck stack"""
    return _stack(*arrays, axis=axis)


@composite
def split(a: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """a cut along an axis into so many equal parts, or at the given positions.

    Returns a list of Tensors. Raises ShapeError if the axis does not divide evenly.

    Check: tinylm gradcheck split
    """
    n, axis = a.shape[axis], axis % a.ndim
    borders = indices_or_sections
    if np.ndim(borders) == 0:
        parts = operator.index(borders)
        if parts < 1 or n % parts:
            raise ShapeError(
                f"split: axis {axis} has length {n}, which does not divide into {parts} equal parts"
            )
        borders = [n // parts * i for i in range(1, parts)]
    borders = [0, *borders, n]
    return [a[along(axis, slice(i, j))] for i, j in zip(borders, borders[1:])]


def _inner(g, y, a, widths):
    index = []
    for (before, _), n in zip(widths, a.shape):
        index.append(slice(before, before + n))
    return g[tuple(index)]


@primitive(_inner, linear=True, name="pad")
def _pad(a, widths):
    return np.pad(a, widths)


@composite
def pad(a: Tensor, pad_width: ArrayLike, mode: str = "constant") -> Tensor:
    """a with zeros around it.

    pad_width  one (before, after) pair per axis, or one pair or number for all
    mode       only "constant"

    Check: tinylm gradcheck pad
    """
    if mode != "constant":
        raise ShapeError(f"pad: mode={mode!r}: only zeros, mode='constant', are put around")
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu" or (widths.ndim and widths.shape[-1] != 2):
        raise ShapeError(
            f"pad: pad_width {widths.tolist()} must be a whole number or pairs (before, after)"
        )
    pairs = np.broadcast_to(widths, (a.ndim, 2)).tolist()
    return _pad(a, widths=tuple(map(tuple, pairs)))


@primitive(lambda g, y, a, axis=None: flip(g, axis=axis), linear=True, view=True)
def flip(a: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """a with the order along an axis (or several, or all) reversed. Check: tinylm gradcheck flip"""
    return np.flip(a, axis=axis)


@primitive(lambda g, y, a, shift, axis=None: roll(g, shift=_negate(shift), axis=axis), linear=True)
def roll(
    a: np.ndarray, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """a shifted along an axis; values that leave one end enter at the other.

    Check: tinylm gradcheck roll
    """
    return np.roll(a, shift, axis=axis)


def _negate(shift):
    if isinstance(shift, (tuple, list)):
        return tuple(-s for s in shift)
    return -shift


def _masked(a, k, of_numpy, below):
    """a at and below diagonal k, or above it, and zeros elsewhere: np.tril or np.triu, by bits."""
    if type(a) is not np.ndarray or a.dtype.kind != "f":
        return of_numpy(a, k if below else k + 1)
    mask = np.tri(*a.shape[-2:], k, dtype=bool)
    return chosen(mask if below else ~mask, a, 0.0)


def _matrices(name, a):
    if a.ndim < 2:
        raise ShapeError(f"{name}: needs matrices (..., n, m), not shape {a.shape}")


@primitive(lambda g, y, a, k=0: tril(g, k=k), linear=True)
def tril(a: np.ndarray, k: int = 0) -> np.ndarray:
    """The lower triangle of the last two axes, 0 above diagonal k: what a causal mask keeps.

    Check: tinylm gradcheck tril
    """
    _matrices("tril", a)
    return _masked(a, k, np.tril, True)


@primitive(lambda g, y, a, k=0: triu(g, k=k), linear=True)
def triu(a: np.ndarray, k: int = 0) -> np.ndarray:
    """The upper triangle of the last two axes, 0 below diagonal k. Check: tinylm gradcheck triu"""
    _matrices("triu", a)
    return _masked(a, k - 1, np.triu, False)
