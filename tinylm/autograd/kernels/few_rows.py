"""A product of few rows with a large table, x E^T, read in pieces that BLAS does not copy.

A step that decodes a batch multiplies some rows by every row of the table of embeddings. BLAS first
copies a large matrix into blocks in the order in which its kernel reads them. The copy pays for
itself if many rows are multiplied by it; for 8 rows it takes longer than the product. OpenBLAS has
kernels without the copy for products of at most a million multiplications, on processors with
AVX-512; but they use one thread. So the table is shared out to threads, and each multiplies its
part in pieces of that size. With 8 rows and SmolLM2's table, (49152, 576), two threads of a Xeon
take 5.8 ms instead of 14. Under the kernels for AVX2 it gains nothing: there the plain product is
used, as everywhere else. Read next: linear.py.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinylm.machine import blas_kernels, blas_threads

WITHOUT_COPY = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of AVX-512 kernels
LARGEST = 600_000  # multiplications of a piece; from a million on BLAS copies again
MOST_ROWS = 16  # more rows pay for the copy
LEAST_TABLE = 1 << 20  # numbers; a smaller table is in a cache, and threads cost more than it

_pools = {}  # number of threads -> executor


def _forget_pools():
    _pools.clear()  # threads do not live on in a forked process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


def times_table(x, table):
    """x E^T: (n, D), (V, D) -> (n, V)."""
    if not (isinstance(x, np.ndarray) and _pays(x, table)):
        return x @ table.T
    y = np.empty((len(x), len(table)), x.dtype)
    threads = blas_threads() or 1
    bounds = np.linspace(0, len(table), threads + 1).astype(int).tolist()
    if threads > 1 and threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1)
    others = [
        _pools[threads].submit(in_pieces, x, table[start:stop], y[:, start:stop])
        for start, stop in zip(bounds[1:], bounds[2:])
    ]
    in_pieces(x, table[: bounds[1]], y[:, : bounds[1]])  # the first part in this thread
    for other in others:
        other.result()
    return y


def _pays(x, table):
    return (
        x.dtype == table.dtype == np.float32
        and 2 <= len(x) <= MOST_ROWS
        and table.size >= LEAST_TABLE
        and table.flags.c_contiguous
        and piece_length(x) >= 16
        and blas_kernels() in WITHOUT_COPY
    )


def piece_length(x):
    """How many rows of a table make a piece, for x (n, D): a multiple of 16, or 0."""
    return LARGEST // x.size // 16 * 16


def in_pieces(x, table, y):
    """Write x E^T into y, piece by piece: (n, D), (V, D) and y (n, V), whose rows may lie apart."""
    (n, D), length = x.shape, piece_length(x)
    p = len(table) // length  # whole pieces; one call of matmul loops over them
    whole = p * length
    pieces = table[:whole].reshape(p, length, D).swapaxes(1, 2)  # (p, D, length)
    # A view: BLAS writes each piece to its columns of y.
    columns = y[:, :whole].reshape(n, p, length).swapaxes(0, 1)  # (p, n, length)
    np.matmul(x, pieces, out=columns)
    np.matmul(x, table[whole:].T, out=y[:, whole:])
