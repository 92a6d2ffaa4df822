"""Operations on rows of a matrix that several fused operations share: sums, inner products, scatter-add, a check of ids.

Read next: linear.py.
"""
import numpy as np

from tinylm import backend
from tinylm.errors import DataError


def column_sums(x, out=None):
    """Sum of the rows of x (n, F) -> (F,), as a product with ones: BLAS is faster than a reduction along axis 0."""
    return np.matmul(np.ones_like(x, shape=(len(x),)), x, out=out)


def row_dots(x, y):
    """Inner products of matching rows, (..., n) -> (...)."""
    return np.vecdot(x, y) if type(x) is np.ndarray else np.sum(x * y, axis=-1)


def add_rows(ids, g, rows, out=None):
    """Scatter-add: out[ids[i]] += g[i], starting from zeros; duplicate ids add up.

    ids (n,), g (n, D) -> (rows, D), into `out` if given
    """
    if type(g) is not np.ndarray:
        out = np.zeros_like(g, shape=(rows, g.shape[1]))
        backend.backend_of(out).module.add.at(out, ids, g)
        return out
    if rows <= 512:                                         # a small table: one product with the one-hot matrix
        one_hot = np.zeros((len(ids), rows), g.dtype)
        one_hot[np.arange(len(ids)), ids] = 1
        return np.matmul(one_hot.T, g, out=out)
    if out is None:
        out = np.zeros((rows, g.shape[1]), g.dtype)
    else:
        out[...] = 0
    if len(ids):                                            # a large one: sort, then add up runs of equal ids
        order = np.argsort(ids, kind="stable")              # (np.add.at takes a little longer; DESIGN.md)
        run = ids[order]
        starts = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
        out[run[starts]] = np.add.reduceat(g[order], starts, axis=0)
    return out


def check_ids(ids, vocab_size, operation):
    """Raise DataError naming the first id outside 0 .. vocab_size - 1."""
    if ids.dtype.kind not in "iu":
        raise DataError(f"{operation}: token ids must be integers, not {ids.dtype}")
    if ids.size and type(ids) is np.ndarray and (ids.min() < 0 or ids.max() >= vocab_size):
        bad = np.flatnonzero((ids < 0) | (ids >= vocab_size))[0]
        place = tuple(int(i) for i in np.unravel_index(bad, ids.shape))
        raise DataError(f"{operation}: token id {ids.flat[bad]} at position {place} is outside the "
                        f"vocabulary of {vocab_size}: encode the text with this model's tokenizer")
