"""Adding values up by their ids along one axis: the derivative of x[ids] and of x[:, ids].

np.add.at does that for any index, one number after another, at 5 to 10 ns each. Where the index is
one array of integers, whole rows can be moved instead. Read next: indexing.py.
"""

from typing import Any

import numpy as np

ROUNDS = 16  # additions of whole rows, up to which these are the fastest


def one_axis(index: Any, ndim: int) -> tuple[int, np.ndarray] | None:
    """(axis, ids) of an index that is one integer array beside full slices; None for any other."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, part in enumerate(parts) if type(part) is not slice]
    if len(arrays) != 1 or len(parts) > ndim:
        return None
    if any(isinstance(part, slice) and part != slice(None) for part in parts):
        return None
    ids = parts[arrays[0]]
    if type(ids) is not np.ndarray or ids.dtype.kind not in "iu" or not ids.size:
        return None
    return arrays[0], ids


def add_along(
    shape: tuple[int, ...], axis: int, ids: np.ndarray, values: np.ndarray
) -> np.ndarray | None:
    """Zeros of `shape` with the values added at `ids` of an axis.

    ids      integers, of any shape, within the axis; negative ones count from its end
    values   array of floats, shape[:axis] + ids.shape + shape[axis + 1:]
    returns  array of `shape`; None where many values meet at one id, and np.add.at is no worse
    """
    n, before, after = shape[axis], shape[:axis], shape[axis + 1 :]
    ids = ids.reshape(-1).astype(np.intp)
    if ids.min() < -n or ids.max() >= n:
        return None
    ids[ids < 0] += n
    values = values.reshape(*before, len(ids), *after)
    most = int(np.bincount(ids, minlength=n).max())
    if most > ROUNDS:
        return None
    if axis and most == 1:
        return _placed(n, axis, ids, values)
    rows = np.ascontiguousarray(np.moveaxis(values, axis, 0))  # (m, ...)
    sums = np.zeros((n, *rows.shape[1:]), rows.dtype)
    if most == 1:
        sums[ids] = rows
    else:
        add_in_rounds(sums, ids, rows)
    return np.moveaxis(sums, 0, axis)


def _placed(n, axis, ids, values):
    """Every value at its id, which no other has: read from there, as reading columns is fast."""
    source = np.zeros(n, np.intp)  # where in `values` each place finds its own
    source[ids] = np.arange(len(ids))
    out = np.take(values, source, axis)
    if len(ids) < n:
        empty = np.ones(n, bool)
        empty[ids] = False
        out[(slice(None),) * axis + (empty,)] = 0
    return out


def add_in_rounds(out: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """out[ids[i]] += rows[i] in at most ROUNDS rounds; `out` (n, ...) holds zeros.

    returns  positions that are left, in order: those of ids that stand there more often than ROUNDS

    Round r adds the (r+1)-th row of every id, so no id stands twice in it. Sums are those of
    np.add.at, in the same order.
    """
    # Where an id stands several times among the places to be written, NumPy's last value stays.
    # Written backwards, that is the first: so the rows that come first find themselves.
    position = np.arange(len(ids))
    first = np.empty(len(out), np.intp)
    first[ids[::-1]] = position[::-1]
    out[ids[::-1]] = rows[::-1]
    left = np.flatnonzero(first[ids] != position)
    for _ in range(ROUNDS - 1):
        if not len(left):
            break
        here = ids[left]
        first[here[::-1]] = left[::-1]
        turn = first[here] == left
        now = left[turn]
        out[ids[now]] += rows[now]
        left = left[~turn]
    return left
