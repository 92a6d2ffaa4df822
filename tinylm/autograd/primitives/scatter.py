"""Adding values up by their ids along one axis: the derivative of x[ids] and of x[:, ids].

np.add.at does that for any index, one number after another, at 5 to 10 ns each. Where the index is
one array of integers, whole rows can be moved instead. Read next: indexing.py.
"""

import numpy as np

ROUNDS = 16  # additions of whole rows, up to which these are the fastest


def one_axis(index, ndim):
    """(axis, ids) of an index that is one integer array beside full slices; None for any other."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, part in enumerate(parts) if not isinstance(part, slice)]
    if len(arrays) != 1 or len(parts) > ndim:
        return None
    if any(isinstance(part, slice) and part != slice(None) for part in parts):
        return None
    ids = parts[arrays[0]]
    if type(ids) is not np.ndarray or ids.dtype.kind not in "iu" or not ids.size:
        return None
    return arrays[0], ids


def add_along(shape, axis, ids, values):
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
        add_in_rounds(sums, ids, rows, *by_rank(ids))
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


def by_rank(ids):
    """(order, rank): ids[order] is sorted, and rank counts 0, 1, 2, .. among equal ids in it."""
    order = np.argsort(ids, kind="stable")
    grouped = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1])))
    lengths = np.diff(np.append(starts, len(ids)))
    return order, np.arange(len(ids)) - np.repeat(starts, lengths)


def add_in_rounds(out, ids, rows, order, rank):
    """out[ids[i]] += rows[i] for those of a rank below ROUNDS; `out` (n, ...) holds zeros.

    Round r adds the (r+1)-th row of every id, so no id stands twice in it. Sums are those of
    np.add.at, in the same order.
    """
    for r in range(min(int(rank.max()) + 1, ROUNDS)):
        chosen = order[rank == r]
        if r == 0:
            out[ids[chosen]] = rows[chosen]
        else:
            out[ids[chosen]] += rows[chosen]
