"""Row operations that several kernels share: sums, inner products, scatter-add, a check of ids.

A sum of n numbers in one chain of additions has an error that grows with n. Chains here are short:
runs of RUN rows are summed first, then the sums of the runs. Read next: linear.py.
"""

import math

import numpy as np

from tinylm import backend
from tinylm.autograd.device import rows as raw
from tinylm.autograd.primitives.reductions import LONGEST, RUN, column_sums
from tinylm.autograd.primitives.scatter import add_in_rounds
from tinylm.errors import DataError

GROUP = 8  # neighboring ids whose rows are summed in one product


def as_rows(x: np.ndarray) -> np.ndarray:
    """x (..., D) as a matrix (n, D); D may be 0, where the size does not give n."""
    if x.size:
        return x.reshape(-1, x.shape[-1])
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def transposed(x: np.ndarray) -> np.ndarray:
    """x^T of the last two axes: (..., n, m) -> (..., m, n), a view."""
    return x.swapaxes(-1, -2)


def weighted_column_sums(
    weights: np.ndarray, x: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Sum of the rows of x (n, F), each times its weight (n,): (F,)."""
    if len(x) <= LONGEST:
        return np.matmul(weights, x, out=out)
    return column_sums(weights[:, None] * x, out)


def outer_sum(x: np.ndarray, g: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Sum over rows of the outer product of x (n, D) and g (n, F): x^T g, (D, F).

    For small matrices and many rows BLAS adds in one chain; here products of RUN rows come first.
    """
    n, D, F = len(x), x.shape[1], g.shape[1]
    whole = n - n % RUN
    if n <= 8 * RUN or D * F > 4096 or type(x) is not np.ndarray:
        return np.matmul(x.T, g, out=out)
    x_runs = x[:whole].reshape(-1, RUN, D)
    g_runs = g[:whole].reshape(-1, RUN, F)
    products = x_runs.swapaxes(1, 2) @ g_runs  # (n / RUN, D, F)
    if whole < n:
        products[-1] += x[whole:].T @ g[whole:]
    sums = column_sums(products.reshape(-1, D * F)).reshape(D, F)
    if out is None:
        return sums
    out[...] = sums
    return out


def row_dots(x: np.ndarray, y: np.ndarray) -> np.ndarray | float:
    """Inner products of matching rows, (..., n) -> (...)."""
    if type(x) is np.ndarray:
        return np.vecdot(x, y)
    return np.sum(x * y, axis=-1)


def add_rows(
    ids: np.ndarray, g: np.ndarray, rows: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Scatter-add: out[ids[i]] += g[i], starting from zeros; duplicate ids add up.

    ids (n,), g (n, D) -> (rows, D), into `out` if given
    """
    if type(g) is not np.ndarray:
        sums = raw.add_rows(ids, g, rows, out)
        if sums is not None:
            return sums
        out = np.zeros_like(g, shape=(rows, g.shape[1]))
        backend.backend_of(out).module.add.at(out, ids, g)
        return out
    if len(ids) <= rows and np.bincount(ids, minlength=1).max() <= 1:  # no id stands there twice
        if out is None:
            out = np.empty((rows, g.shape[1]), g.dtype)
        out[...] = 0
        out[ids] = g
        return out
    if out is None:
        out = np.empty((rows, g.shape[1]), g.dtype)
    if rows <= 512:  # a small table
        return _add_by_products(ids, g, out)
    out[...] = 0
    if len(ids):
        # A large table: the first rows of every id are added in rounds, in none of which an id
        # stands twice. Of ids that stand there more often the others are summed as runs.
        left = add_in_rounds(out, ids, g)
        if len(left):
            left = left[np.argsort(ids[left], kind="stable")]
            ids, sums = _sum_runs(ids[left], g[left])
            out[ids] += sums
    return out


def _add_by_products(ids, g, out):
    """add_rows() as products with one-hot rows: out = onehot(ids)^T g, mostly zeros left out.

    Sorted by their ids, the rows of GROUP neighboring ids lie together: of the whole product only
    the blocks (GROUP, rows there) along the diagonal are not zero.
    """
    n, rows = len(ids), len(out)
    order = np.argsort(ids, kind="stable")
    ids, g = ids[order], g[order]
    one_hot = np.zeros((n, GROUP), g.dtype)
    one_hot[np.arange(n), ids % GROUP] = 1
    borders = np.searchsorted(ids, np.arange(0, rows + GROUP, GROUP)).tolist()
    for first, start, end in zip(range(0, rows, GROUP), borders, borders[1:]):
        sums = out[first : first + GROUP]  # (GROUP, D), fewer at the end
        outer_sum(one_hot[start:end, : len(sums)], g[start:end], sums)
    return out


def _sum_runs(ids, g):
    """The distinct ids among sorted ids (n,), and for each the sum of its rows of g (n, D)."""
    while True:
        changes = ids[1:] != ids[:-1]
        starts = np.flatnonzero(np.concatenate(([True], changes)))  # where runs of equal ids begin
        lengths = np.diff(np.append(starts, len(ids)))
        long = len(lengths) and lengths.max() > RUN
        if long:
            # Runs are cut into pieces of RUN rows: each becomes one row, with the same id, and the
            # next round sums those.
            within = np.arange(len(ids)) - np.repeat(starts, lengths)
            starts = np.flatnonzero(within % RUN == 0)
        ids, g = ids[starts], np.add.reduceat(g, starts, axis=0)
        if not long:
            return ids, g


def check_ids(ids: np.ndarray, vocab_size: int, operation: str) -> None:
    """Raise DataError naming the first id outside 0 .. vocab_size - 1."""
    if ids.dtype.kind not in "iu":
        raise DataError(f"{operation}: token ids must be integers, not {ids.dtype}")
    if ids.size and type(ids) is np.ndarray and (ids.min() < 0 or ids.max() >= vocab_size):
        bad = np.flatnonzero((ids < 0) | (ids >= vocab_size))[0]
        position = tuple(int(i) for i in np.unravel_index(bad, ids.shape))
        raise DataError(
            f"{operation}: token id {ids.flat[bad]} at position {position} is outside the "
            f"vocabulary of {vocab_size}: encode the text with this model's tokenizer"
        )
