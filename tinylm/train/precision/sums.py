"""The same numbers added in different orders, and how far each result can be from their sum   (book
section 2.2.3; Higham 1993; Kahan 1965).

Every addition rounds: fl(a + b) = (a + b)(1 + d), |d| <= u, with u = 2^-24 in float32. An order of
adding n numbers is a binary tree. A number that passes through h additions is multiplied by h such
factors, so with H the height of the tree

    |result - sum| <= gamma_H sum_i |x_i|,     gamma_H = H u / (1 - H u)

    order      what adds so                                                    H
    running    a loop                                                      n - 1
    lanes      a processor with L numbers in a register:
               lane j adds x_j, x_(j+L), ..; then the lanes      ceil(n/L) + L - 2
    parts      p workers, each a part side by side; then the parts   as lanes, p for L
    pairwise   neighbors, neighbors of pairs, ..                    ceil(log2 n)

Processors and libraries differ in L and in p, and so in the last digits. kahan_sum keeps what each
addition lost and adds it to the next number: an error of at most (2 u + O(n u^2)) sum |x_i|,
whatever n. What does not depend on the order at all: exact_sum, which rounds once; and a fixed
tree (tree_of_parts), whose subtrees are workers. All functions add along axis 0, (n, ...) -> (...).
Read next: ../../parallel/communicate/rings.py, whose routes are such orders.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, ShapeError


def _check(x, operation):
    if x.ndim == 0 or not len(x):
        raise ShapeError(f"{operation}: needs (n, ...) with n of 1 or more, not {x.shape}")


def running_sum(x: np.ndarray) -> np.ndarray | float:
    """((x_1 + x_2) + x_3) + ..., in the dtype of x."""
    _check(x, "running_sum")
    return np.add.accumulate(x, axis=0)[-1]


def lane_sum(x: np.ndarray, lanes: int) -> float | np.ndarray:
    """Running sums of every lanes-th number side by side, then a running sum of these.

    raises  ConfigError for fewer than one lane
    """
    _check(x, "lane_sum")
    if lanes < 1:
        raise ConfigError(f"lane_sum: {lanes} lanes: at least 1 is needed")
    n = -(-len(x) // lanes) * lanes
    padded = np.zeros((n, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x  # adding 0 changes nothing
    columns = padded.reshape(n // lanes, lanes, *x.shape[1:])
    return running_sum(running_sum(columns))


def part_sum(x: np.ndarray, parts: int) -> float | np.ndarray:
    """Running sums of parts side by side, as even as can be, then a running sum of these.

    raises  ConfigError unless there is a number for every part
    """
    _check(x, "part_sum")
    if not 1 <= parts <= len(x):
        raise ConfigError(
            f"part_sum: {parts} parts of {len(x)} numbers: at least one is needed each"
        )
    return running_sum(np.stack([running_sum(part) for part in np.array_split(x, parts)]))


def pairwise_sum(x: np.ndarray) -> np.ndarray | float:
    """Neighbors, then neighbors of these, ..; a last one without a neighbor waits for the next
    round.
    """
    _check(x, "pairwise_sum")
    while len(x) > 1:
        pairs = x[0 : len(x) - 1 : 2] + x[1::2]
        x = np.concatenate([pairs, x[-1:]]) if len(x) % 2 else pairs
    return x[0]


def kahan_sum(x: np.ndarray) -> float:
    """A running sum that adds what the last addition lost to the next number   (Kahan 1965)."""
    _check(x, "kahan_sum")
    total, lost = x[0], np.zeros_like(x[0])
    for number in x[1:]:
        corrected = number - lost
        new = total + corrected
        # new - total is what has arrived of `corrected`: exact where |total| is the larger
        lost = (new - total) - corrected
        total = new
    return total


def exact_sum(x: np.ndarray) -> np.ndarray:
    """The sum rounded once, to the dtype of x: the same for every order   (Shewchuk 1997).

    Through float64 for float32: fsum is the float64 nearest to the sum.
    """
    _check(x, "exact_sum")
    columns = x.reshape(len(x), -1).T.astype(np.float64)
    sums = [math.fsum(column) for column in columns.tolist()]
    return np.array(sums).astype(x.dtype).reshape(x.shape[1:])


def tree_of_parts(parts: Sequence[np.ndarray]) -> Any:
    """pairwise_sum of each worker's part, then pairwise over the workers.

    parts    (n_k, ...) arrays, one a worker
    returns  (...). If all but the last have the same power of two of rows, and the last no more, it
             is pairwise_sum of all rows together, to the bit: the number of workers does not show
    """
    return pairwise_sum(np.stack([pairwise_sum(part) for part in parts]))


def running_height(n: int) -> int:
    """The additions that a number passes in a running sum of n, at most."""
    return n - 1


def lane_height(n: int, lanes: int) -> int:
    """The same of lane_sum, and of part_sum with as many parts."""
    return -(-n // lanes) - 1 + min(lanes, n) - 1


def pairwise_height(n: int) -> int:
    """The same of pairwise_sum: ceil(log2 n)."""
    return (n - 1).bit_length()


def error_bound(height: int, x: np.ndarray) -> float | np.ndarray:
    """gamma_H sum |x_i|, the most that a result of this height is from the sum   (Higham
    1993).

    x        (n, ...) float32 or float64
    returns  (...) float64
    raises   ConfigError where the bound does not hold: H u of 1 or more
    """
    u = float(np.finfo(x.dtype).eps) / 2
    if height * u >= 1:
        raise ConfigError(f"error_bound: {height} additions of {x.dtype} have no bound")
    return height * u / (1 - height * u) * np.sum(np.abs(x), axis=0, dtype=np.float64)


def kahan_bound(x: np.ndarray) -> float | np.ndarray:
    """(2 u + 2 n u^2) sum |x_i|, the most that kahan_sum is from the sum   (Higham 1993).

    The theorem leaves the constant of n u^2 open; it is 2 here, and the term small: at a million
    float32 numbers n u is 0.06.
    """
    u, n = float(np.finfo(x.dtype).eps) / 2, len(x)
    return (2 * u + 2 * n * u * u) * np.sum(np.abs(x), axis=0, dtype=np.float64)
