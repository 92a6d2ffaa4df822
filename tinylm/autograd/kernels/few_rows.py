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

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinylm.backend import DType
from tinylm.machine import blas_kernels, blas_threads

WITHOUT_COPY = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of AVX-512 kernels
LARGEST = 600_000  # multiplications of a piece; from a million on BLAS copies again
MOST_ROWS = 16  # more rows pay for the copy
LEAST_TABLE = 1 << 18  # numbers; with a smaller table threads cost more than they save


class Helper:
    """A thread that runs functions, one after another.

    concurrent.futures would do, but takes longer for a hand-over than a small product does.
    """

    def __init__(self) -> None:
        self._calls, self._ended = SimpleQueue(), SimpleQueue()
        self._started = 0
        self._thread = threading.Thread(target=_run, args=(self._calls, self._ended), daemon=True)
        self._thread.start()

    def start(self, function: Callable, *arguments: Any) -> None:
        """Run function(*arguments) on the thread, after what was started before."""
        self._started += 1
        self._calls.put((function, arguments))

    def wait(self) -> None:
        """Return when all is done that was started; raises what the first of it raised."""
        while self._started:
            self.wait_for_one()

    def wait_for_one(self) -> None:
        """Return when the first is done of what was started and not waited for."""
        self._started -= 1
        error = self._ended.get()
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread, after what was started, and return when it has ended."""
        self._calls.put(None)
        self._thread.join()


def _run(calls, ended):
    """The thread of a Helper."""
    while True:
        call = calls.get()
        if call is None:
            return
        error = None
        function, arguments = call
        try:
            function(*arguments)
        except BaseException as raised:
            error = raised
        call = function = arguments = None  # keep no array alive
        ended.put(error)
        error = None


_free = []  # Helpers without work

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free.clear)  # threads do not live on in a forked process


@contextlib.contextmanager
def borrowed(wanted: bool = True) -> Iterator[Helper | None]:
    """A Helper within a `with`, which has to wait for what it starts; None unless `wanted`."""
    if not wanted:
        yield None
        return
    try:
        helper = _free.pop()
    except IndexError:
        helper = Helper()
    try:
        yield helper
    except BaseException:
        helper.close()  # nothing that was started still writes when the error is seen
        raise
    _free.append(helper)


def in_parallel(calls: Sequence) -> None:
    """Run calls side by side, the first of them in this thread: list of (function, arguments..)."""
    with contextlib.ExitStack() as stack:
        helpers = []
        for function, *arguments in calls[1:]:
            helper = stack.enter_context(borrowed())
            helper.start(function, *arguments)
            helpers.append(helper)
        function, *arguments = calls[0]
        function(*arguments)
        for helper in helpers:
            helper.wait()


class TableProduct:
    """x E^T for x of n rows, again and again: what does not depend on x is done once.

    table  (V, D);  n  rows of x;  dtype  of x

    A call returns the same array (n, V) every time, with new numbers.
    """

    def __init__(self, table: np.ndarray, n: int, dtype: DType) -> None:
        self._table, self._y, self._parts = table, None, ()
        if read_in_pieces(n, table, dtype):
            y = self._y = np.empty((n, len(table)), dtype)
            self._parts = [Pieces(table[a:b], y[:, a:b]) for a, b in shares(len(table))]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, V)."""
        if not self._parts:
            return x @ self._table.T
        in_parallel([(part, x) for part in self._parts])
        return self._y


class Pieces:
    """The product x E^T written into y, piece by piece: E (V, D), x (n, D).

    y   (n, V), whose rows may lie apart
    """

    def __init__(self, table: np.ndarray, y: np.ndarray) -> None:
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

    def __call__(self, x: np.ndarray) -> None:
        np.matmul(x, self.pieces, out=self.columns)
        if self.rest is not None:
            table, columns = self.rest
            np.matmul(x, table, out=columns)


def times_table(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """x E^T: (n, D), (V, D) -> (n, V)."""
    return TableProduct(table, len(x), x.dtype)(x)


def shares(rows: int) -> list[tuple[int, int]]:
    """What each thread takes of so many rows: list of (start, stop)."""
    share = -(-rows // (blas_threads() or 1))  # rounded up
    return [(start, min(start + share, rows)) for start in range(0, rows, share)]


def read_in_pieces(n: int, table: np.ndarray, dtype: DType) -> bool:
    """True if x E^T is faster in pieces: few rows n of x, and a large table E, row by row."""
    return (
        2 <= n <= MOST_ROWS
        and dtype == np.float32
        and pays(table)
        and table.strides[1] == table.itemsize
        and table.strides[0] >= table.shape[1] * table.itemsize
        and piece_length(n, table.shape[1]) >= 16
    )


def pays(table: np.ndarray) -> bool:
    """True if few rows times this table are faster in pieces, once it lies row by row."""
    return (
        isinstance(table, np.ndarray)
        and table.dtype == np.float32
        and table.size >= LEAST_TABLE
        and blas_kernels() in WITHOUT_COPY
    )


def piece_length(n: int, D: int) -> int:
    """How many rows of a table make a piece, for x (n, D): a multiple of 16, or 0."""
    return LARGEST // (n * D) // 16 * 16
