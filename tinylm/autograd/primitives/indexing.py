"""Primitives that pick values: one read twice gets the sum of both cotangents, one not read gets 0.

`getitem` and `scatter_add` are each other's derivative, so both have all orders. Read next:
scatter.py, reductions.py.
"""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinylm import backend
from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.part import Part
from tinylm.autograd.engine.tensor import Array, Tensor, as_tensor, is_recording, wants_grad
from tinylm.autograd.primitives.scatter import add_along, one_axis
from tinylm.autograd.primitives.sorting import ascending, largest_first
from tinylm.errors import ShapeError


def _plain(index):
    """An index with Tensors replaced by their arrays."""
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    if isinstance(index, Tensor):
        return index.data
    return index


def _kept(index, inside=False):
    """The index with its arrays copied for backward, so that the caller may reuse a buffer of ids.

    An index that is one array is copied by the operation itself, like every array of ids among its
    options.
    """
    if isinstance(index, tuple):
        return tuple(_kept(i, inside=True) for i in index)
    if isinstance(index, list):
        return list(index)
    if backend.is_array(index) and inside:
        return index.copy()
    return index


def _repeats(index):
    """True if an index may name an element twice: it holds integer arrays."""
    if isinstance(index, tuple):  # a tuple inside a tuple is a list of integers
        return any(isinstance(i, tuple) or _repeats(i) for i in index)
    return isinstance(index, list) or (backend.is_array(index) and index.dtype.kind in "iu")


def _increases(index):
    """True for integer arrays (n,) whose places grow from one to the next, as those of np.nonzero:
    none stands there twice. False where that is not seen at once.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if not all(type(i) is np.ndarray and i.dtype.kind in "iu" and i.ndim == 1 for i in parts):
        return False
    if len({len(i) for i in parts}) > 1 or any(len(i) and i.min() < 0 for i in parts):
        return False  # arrays of one element are broadcast; -1 is another name of the last
    # (i, j) < (i', j') if i < i', or if i = i' and j < j'.
    later = False
    for part in reversed(parts):
        step = np.diff(part.astype(np.int64, copy=False))
        later = (step > 0) | ((step == 0) & later)
    return bool(np.all(later))


def _is_slice(index):
    """True for an index of integers, slices, None and ...: what it reads, it reads once."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if not (type(part) in (slice, int) or part is None or part is Ellipsis):
            return False
    return True


def _put_back(g, y, a, index, distinct=False):
    if not is_recording() and _is_slice(index):
        return Part(g.data, index, a.shape)  # the zeros are not written out
    return _scatter_add(g, shape=a.shape, index=index, distinct=distinct)


@primitive(_put_back, linear=True, name="getitem")
def _getitem(a, index, distinct=False):
    found = one_axis(index, a.ndim) if type(a) is np.ndarray else None
    if found and found[0]:
        # 3 times as fast as a[:, ids], and the same values
        return np.take(a, found[1].astype(np.intp, copy=False), found[0])
    return a[index]


@composite
def getitem(a: Tensor, index: Any) -> Tensor:
    """a[index] with everything NumPy allows.

    index  slices, integers, None, ..., integer arrays with duplicates, bool masks, mixtures

    Check: tinylm gradcheck getitem
    """
    if not _is_slice(index):
        index = _plain(index)
        if wants_grad([a]):
            index = _kept(index)
    return _read(a, index, False)


def _read(a, index, distinct):
    out = _getitem(a, index=index, distinct=distinct)
    if isinstance(a, Tensor) and type(out.data) is np.ndarray:
        if np.may_share_memory(out.data, a.data):  # a slice is a view: one buffer, one version
            out._version = a._version
    return out


def _picked(g, y, values, shape, index, distinct=False):
    return _getitem(g, index=index, distinct=distinct)


@primitive(_picked, linear=True, name="scatter_add")
def _scatter_add(values, shape, index, distinct=False):
    # distinct: the caller knows that no element is named twice
    repeats = not distinct and _repeats(index)
    if repeats and type(values) is np.ndarray and values.dtype.char in "fd":
        found = one_axis(index, len(shape))
        if found:
            sums = add_along(tuple(shape), *found, values)
            if sums is not None:
                return sums
    out = np.zeros_like(values, shape=shape)
    if not repeats or _increases(index):
        out[index] = values
        return out
    if type(out) is not np.ndarray:
        backend.backend_of(out).module.add.at(out, index, values)
        return out
    # np.add.at adds to an element one value after another, so rounding errors add up: the sums are
    # taken in float64 and rounded once.
    wide = np.dtype(np.float64) if out.dtype.kind == "f" else out.dtype
    out = out.astype(wide)
    np.add.at(out, index, np.asarray(values, wide))
    return out.astype(np.asarray(values).dtype, copy=False)


@composite
def scatter_add(shape: tuple[int, ...], index: Any, values: Tensor) -> Tensor:
    """Zeros of `shape` with values added at `index`; an element named several times receives the
    sum.

    shape    tuple of ints
    index    anything that indexes an array of that shape
    values   Tensor of the shape that the index selects
    returns  Tensor of `shape`

    Check: tinylm gradcheck scatter_add
    """
    index = _plain(index)
    if wants_grad([values]):
        index = _kept(index)
    return _scatter_add(values, shape=tuple(shape), index=index)


def _full_index(a_shape, indices, axis):
    """The index tuple of take_along_axis: `indices` at its axis, 0, 1, 2, ... at the others."""
    axis %= len(a_shape)
    index = []
    for i in range(len(a_shape)):
        if i == axis:
            index.append(indices)
        else:  # (n, 1, .., 1): broadcasts along the axes after i
            positions = np.arange(indices.shape[i], like=indices)
            after = (1,) * (len(a_shape) - 1 - i)
            index.append(positions.reshape(-1, *after))
    return tuple(index)


@composite
def take_along_axis(a: Tensor, indices: np.ndarray, axis: int) -> Tensor:
    """Values of a at `indices` along one axis, the other axes aligned (as in NumPy).

    indices  integer array with a's number of axes; the other axes must have a's length
    returns  Tensor of the shape of indices

    Check: tinylm gradcheck take_along_axis
    """
    a, indices = as_tensor(a), _plain(indices)
    if not backend.is_array(indices):
        indices = np.asarray(indices)
    axis = normalize_axis_index(axis, a.ndim)
    pairs = enumerate(zip(a.shape, indices.shape))
    aligned = all(n == m for i, (n, m) in pairs if i != axis)
    if indices.ndim != a.ndim or not aligned:
        raise ShapeError(
            f"take_along_axis: indices of shape {indices.shape} do not align with shape {a.shape} "
            f"outside axis {axis}"
        )
    distinct = indices.shape[axis] == 1  # a value of each row
    return _along(a, indices, axis, distinct)


def _along(a, indices, axis, distinct):
    index = _full_index(a.shape, indices, axis)
    if wants_grad([a]):
        index = _kept(index)
    return _read(a, index, distinct)


@composite
def sort(a: Array, axis: int = -1) -> Tensor:
    """a in ascending order along an axis, or ravel(a) if it is None.

    The gradient follows each value to where it came from. Check: tinylm gradcheck sort
    """
    if axis is None:
        a, axis = as_tensor(a).ravel(), 0
    a = as_tensor(a)
    axis = normalize_axis_index(axis, a.ndim)
    return _along(a, ascending(a.data, axis), axis, distinct=True)


@composite
def topk(a: Array, k: int, axis: int = -1) -> tuple[Tensor, np.ndarray]:
    """The k largest values along an axis, largest first, and their positions.

    returns  (Tensor of values, integer array of indices); among equal values the first position
             comes first, and nan comes before every number, as in torch

    Check: tinylm gradcheck topk
    """
    values = _plain(a)
    n = values.shape[axis]
    if not 0 < k <= n:
        raise ShapeError(f"topk: k = {k}, but axis {axis} of shape {values.shape} has length {n}")
    indices = largest_first(values, k, axis)
    a = as_tensor(a)
    return _along(a, indices, axis % a.ndim, distinct=True), indices
