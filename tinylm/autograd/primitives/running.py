"""Running sums of float32, added up in float64 and rounded once, in groups instead of one by one.

A processor can begin an addition in every cycle, but one that needs the result of the last waits
three or four. So an axis is cut into groups. What stands before a group is added to its first
entry, and a product with a triangle of ones sums up within all groups at once. That takes 0.4 times
as long as np.cumsum. Read next: reductions.py, whose cumsum uses it.
"""

import math

import numpy as np

GROUP = 16  # a triangle of 8 or of 32 takes longer


def exact_running_sums(a: np.ndarray, axis: int, reverse: bool = False) -> np.ndarray:
    """np.cumsum in one chain of additions in float64, rounded once: the twin of running_sums.

    reverse   sums from the end: entry i is the sum of entries i .. n - 1
    """
    if reverse:
        return np.flip(exact_running_sums(np.flip(a, axis), axis), axis)
    wide = np.result_type(a.dtype, np.float64)
    return np.cumsum(a, axis=axis, dtype=wide).astype(a.dtype, copy=False)


def running_sums(a: np.ndarray, axis: int, reverse: bool = False) -> np.ndarray:
    """Running sums along one axis.

    a         float array with at least one axis
    reverse   sums from the end
    returns   a's shape and dtype, each sum taken in float64 and rounded once
    """
    n = a.shape[axis]
    if type(a) is not np.ndarray or a.dtype != np.float32 or a.size < 1024 or n < 2 * GROUP:
        return exact_running_sums(a, axis, reverse)
    axis %= a.ndim
    before, after = math.prod(a.shape[:axis]), math.prod(a.shape[axis + 1 :])
    groups = -(-n // GROUP)
    wide = np.empty((before, groups * GROUP, after))
    wide[:, n:] = 0  # what the last group lacks
    wide[:, :n] = a.reshape(before, n, after)
    found = _by_groups(wide.reshape(before, groups, GROUP, after), reverse)
    if found is None:
        return exact_running_sums(a, axis, reverse)
    return found.reshape(wide.shape)[:, :n].astype(a.dtype).reshape(a.shape)


def _by_groups(x, reverse):
    """Running sums along axes 1 and 2 of x (before, groups, GROUP, after), which is overwritten.

    None if x is not finite: in a product with a triangle inf meets zeros, and inf * 0 is nan.
    """
    groups = x.shape[1]
    totals = _times(np.ones((1, GROUP)), x)[:, :, 0]  # (before, groups, after)
    if not np.all(np.isfinite(totals)):
        return None
    # Sums of the groups before each, its own not among them.
    if groups <= 4 * GROUP:
        carried = _times(_triangle(groups, reverse) - np.eye(groups), totals)
    else:
        upto = exact_running_sums(totals, 1, reverse)
        carried = np.zeros_like(totals)
        if reverse:
            carried[:, :-1] = upto[:, 1:]
        else:
            carried[:, 1:] = upto[:, :-1]
    x[:, :, -1 if reverse else 0] += carried
    return _times(_triangle(GROUP, reverse), x)


def _triangle(n, reverse):
    """(n, n): row i has ones up to column i, or from there on."""
    return np.tri(n).T if reverse else np.tri(n)


def _times(matrix, x):
    """matrix (m, n) @ x (..., n, after) -> (..., m, after); one product for columns x."""
    if x.shape[-1] == 1:
        m, n = matrix.shape
        return (x.reshape(-1, n) @ matrix.T).reshape(*x.shape[:-2], m, 1)
    return matrix @ x
