"""A matrix product in two levels of tiles, with its memory traffic counted   (book section 2.2.3).

A GPU computes C = A B by blocks of threads, each of which has a tile of C. It reads the strips of A
and B that the tile needs from memory, a piece of depth `depth` at a time, into memory that the
block shares, and each thread computes a smaller tile from there in registers. A tile of
R x S numbers reads every row of A once for S columns, and every column of B once for R rows:

    from memory   m k ceil(n / S) + k n ceil(m / R)  numbers read, m n written
    from shared   the same with the tiles of the threads, r x s

The larger the tile, the less is read, until it does not fit: R S numbers of C, (R + S) `depth` of
A and B. Read next: autograd/kernels/tiled_attention.py, the same idea for attention.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, ShapeError


@dataclass
class Traffic:
    """Numbers moved: read from memory, written to it, read from shared memory."""

    read: int = 0
    written: int = 0
    shared: int = 0


def tiled_matmul(
    a: np.ndarray,
    b: np.ndarray,
    tile: tuple[int, ...] = (64, 64),
    inner: tuple[int, ...] = (8, 8),
    depth: int = 16,
) -> tuple[np.ndarray, Traffic]:
    """A B, tile by tile.

    a        (m, k);  b  (k, n)
    tile     (R, S) of C that a block of threads computes
    inner    (r, s) of it that a thread computes
    depth    columns of A and rows of B that are in shared memory at a time
    returns  (C (m, n), Traffic)
    raises   ShapeError if the inner sizes differ, ConfigError for a size below 1
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ShapeError(f"tiled_matmul: {a.shape} @ {b.shape} do not fit")
    if min(*tile, *inner, depth) < 1:
        raise ConfigError(f"tiled_matmul: tiles {tile}, {inner}, depth {depth}: at least 1 each")
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros_like(a, np.result_type(a, b), shape=(m, n))
    traffic = Traffic()
    for i in range(0, m, tile[0]):
        for j in range(0, n, tile[1]):
            block = c[i : i + tile[0], j : j + tile[1]]  # a view
            for p in range(0, k, depth):
                left = a[i : i + tile[0], p : p + depth]  # into shared memory
                right = b[p : p + depth, j : j + tile[1]]
                traffic.read += left.size + right.size
                _by_threads(left, right, block, inner, traffic)
            traffic.written += block.size
    return c, traffic


def _by_threads(left, right, block, inner, traffic):
    """block += left right, in tiles of registers."""
    for i in range(0, block.shape[0], inner[0]):
        for j in range(0, block.shape[1], inner[1]):
            rows, columns = left[i : i + inner[0]], right[:, j : j + inner[1]]
            traffic.shared += rows.size + columns.size
            block[i : i + inner[0], j : j + inner[1]] += rows @ columns
