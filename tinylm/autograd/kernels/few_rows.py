"""A product of few rows with a large matrix, x E^T, read in pieces that BLAS does not copy.

A step that decodes a batch multiplies some rows by every matrix of a model. BLAS first copies a
large matrix into blocks in the order in which its kernel reads them. The copy pays for itself if
many rows are multiplied by it; for 8 rows it takes longer than the product. OpenBLAS has kernels
without the copy for products of at most a million multiplications, on processors with AVX-512; but
they use one thread, and they want E row by row. So the rows of E are shared out to threads, and
each multiplies its part in pieces of that size. With 8 rows and SmolLM2's table, (49152, 576), two
threads of a Xeon take 5.8 ms instead of 14. Under the kernels for AVX2 it gains nothing: there the
plain product is used, as everywhere else. Read next: linear.py.
"""

import os
import threading

import numpy as np

from tinylm.machine import blas_kernels, blas_threads

WITHOUT_COPY = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of AVX-512 kernels
LARGEST = 600_000  # multiplications of a piece; from a million on BLAS copies again
MOST_ROWS = 16  # more rows pay for the copy
LEAST_TABLE = 1 << 18  # numbers; with a smaller table threads cost more than they save


class Helper:
    """A thread that runs one function at a time.

    concurrent.futures would do, but takes longer for a hand-over than a small product does.
    """

    def __init__(self):
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._call = self._error = None
        threading.Thread(target=self._run, daemon=True).start()

    def start(self, function, *arguments):
        """Run function(*arguments) on the thread."""
        self._call = function, arguments
        self._begin.release()

    def wait(self):
        """Return when it is done; raises what it raised."""
        self._end.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self):
        while True:
            self._begin.acquire()
            function, arguments = self._call
            try:
                function(*arguments)
            except BaseException as error:
                self._error = error
            self._call = function = arguments = None  # keep no array alive
            self._end.release()


_free = []  # Helpers without work

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free.clear)  # threads do not live on in a forked process


def _helper():
    try:
        return _free.pop()
    except IndexError:
        return Helper()


def in_parallel(calls):
    """Run calls side by side, the first of them in this thread: list of (function, arguments..)."""
    helpers = []
    for function, *arguments in calls[1:]:
        helper = _helper()
        helper.start(function, *arguments)
        helpers.append(helper)
    function, *arguments = calls[0]
    function(*arguments)
    for helper in helpers:
        helper.wait()
        _free.append(helper)


class TableProduct:
    """x E^T for x of n rows, again and again: what does not depend on x is done once.

    table  (V, D);  n  rows of x;  dtype  of x

    A call returns the same array (n, V) every time, with new numbers.
    """

    def __init__(self, table, n, dtype):
        self._table, self._y, self._parts = table, None, ()
        if read_in_pieces(n, table, dtype):
            y = self._y = np.empty((n, len(table)), dtype)
            self._parts = [Pieces(table[a:b], y[:, a:b]) for a, b in shares(len(table))]

    def __call__(self, x):
        """(n, D) -> (n, V)."""
        if not self._parts:
            return x @ self._table.T
        in_parallel([(part, x) for part in self._parts])
        return self._y


class Pieces:
    """The product x E^T written into y, piece by piece: E (V, D), x (n, D).

    y   (n, V), whose rows may lie apart
    """

    def __init__(self, table, y):
        (V, D), n = table.shape, len(y)
        length = piece_length(n, D)
        p = V // length  # whole pieces; one call of matmul loops over them
        whole = p * length
        self.pieces = table[:whole].reshape(p, length, D).swapaxes(1, 2)  # (p, D, length)
        # A view: BLAS writes each piece to its columns of y.
        self.columns = y[:, :whole].reshape(n, p, length).swapaxes(0, 1)  # (p, n, length)
        self.rest = None
        if whole < V:
            self.rest = table[whole:].T, y[:, whole:]

    def __call__(self, x):
        np.matmul(x, self.pieces, out=self.columns)
        if self.rest is not None:
            table, columns = self.rest
            np.matmul(x, table, out=columns)


def times_table(x, table):
    """x E^T: (n, D), (V, D) -> (n, V)."""
    return TableProduct(table, len(x), x.dtype)(x)


def shares(rows):
    """What each thread takes of so many rows: list of (start, stop)."""
    share = -(-rows // (blas_threads() or 1))  # rounded up
    return [(start, min(start + share, rows)) for start in range(0, rows, share)]


def read_in_pieces(n, table, dtype):
    """True if x E^T is faster in pieces: few rows n of x, and a large table E, row by row."""
    return (
        2 <= n <= MOST_ROWS
        and dtype == np.float32
        and pays(table)
        and table.strides[1] == table.itemsize
        and table.strides[0] >= table.shape[1] * table.itemsize
        and piece_length(n, table.shape[1]) >= 16
    )


def pays(table):
    """True if few rows times this table are faster in pieces, once it lies row by row."""
    return (
        isinstance(table, np.ndarray)
        and table.dtype == np.float32
        and table.size >= LEAST_TABLE
        and blas_kernels() in WITHOUT_COPY
    )


def piece_length(n, D):
    """How many rows of a table make a piece, for x (n, D): a multiple of 16, or 0."""
    return LARGEST // (n * D) // 16 * 16
