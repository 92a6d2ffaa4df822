"""The communicator protocol: collective operations of processes; and its engine for one process.

Training in parallel (book section 2.2.3) is arithmetic plus a handful of collective operations.
Code is written against this protocol alone, so the same lines run in one process (`SingleProcess`,
here) and in several on one machine (`shared.py`). Names and meanings are those of MPI. Read next:
`data_parallel.py`, then `shared.py`.
"""

import abc
import functools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import DType, is_array
from tinylm.errors import ConfigError, DtypeError, ShapeError
from tinylm.parallel.communicate.outbox import Outbox
from tinylm.parallel.plan.shapes import Shape

OPERATIONS = {"sum": np.add, "max": np.maximum, "min": np.minimum}
# Elements: 16 float32 are 64 bytes, a cache line. Shares are multiples of it, so that no two ranks
# write to the same line.
ALIGN = 16


def share(n: int, rank: int, size: int) -> tuple[int, int]:
    """(start, stop) of the share of `rank` in n elements.

    Shares are equal, rounded up to a multiple of 16; the last ones may be shorter or empty.
    """
    width = -(-n // (size * ALIGN)) * ALIGN
    return min(rank * width, n), min((rank + 1) * width, n)


def operation(name: str) -> Callable:
    """The two-argument NumPy function of 'sum', 'max' or 'min'."""
    if name not in OPERATIONS:
        raise ConfigError(
            f"all_reduce: no operation {name!r}, choose one of {', '.join(OPERATIONS)}"
        )
    return OPERATIONS[name]


def check_array(call: str, array: np.ndarray) -> None:
    """Raise DtypeError unless `array` is an array of plain numbers."""
    if not is_array(array) or array.dtype.hasobject:
        kind = getattr(array, "dtype", type(array).__name__)
        raise DtypeError(
            f"{call}: needs an array of numbers, got {kind}; wrap a number as np.array(x)"
        )


def check_flat(call: str, flat: np.ndarray) -> None:
    """Raise unless `flat` is a contiguous 1-D array: sharded operations address its slices."""
    check_array(call, flat)
    if flat.ndim != 1 or not flat.flags.c_contiguous:
        raise ShapeError(
            f"{call}: needs a contiguous 1-D array, "
            f"got shape {flat.shape} with strides {flat.strides}"
        )


def check_rank(call: str, rank: int, size: int) -> None:
    """Raise ConfigError unless `rank` names one of `size` processes."""
    if not 0 <= rank < size:
        raise ConfigError(f"{call}: there is no rank {rank}, ranks here are 0..{size - 1}")


def check_rows(array: np.ndarray, size: int) -> int:
    """Rows of `array` that each of `size` ranks gets in a reduce_scatter. Raises ShapeError."""
    check_array("reduce_scatter", array)
    if array.ndim == 0 or array.shape[0] % size:
        raise ShapeError(
            f"reduce_scatter: the first axis of {array.shape} does not divide into {size} ranks; "
            "reduce_scatter_ takes any length"
        )
    return array.shape[0] // size


def check_parcels(arrays: Sequence[np.ndarray], size: int) -> tuple[np.dtype, tuple[int, ...]]:
    """(dtype, shape of a row) common to the `size` arrays of an all_to_all. Raises ShapeError."""
    for array in arrays:
        check_array("all_to_all", array)
    kinds = {(array.dtype, array.shape[1:]) for array in arrays}
    if len(arrays) != size or len(kinds) != 1 or any(array.ndim == 0 for array in arrays):
        got = ", ".join(describe(array) for array in arrays) or "none"
        raise ShapeError(
            f"all_to_all: needs {size} arrays, one for each rank, alike but for their first axis; "
            f"got {got}"
        )
    return kinds.pop()


class Communicator(abc.ABC):
    """A group of `size` processes as seen from the one numbered `rank` (0 .. size-1).

    Collective operations (all but messages: send, isend, recv, sendrecv, flush) are called by every
    rank of the group, in the same
    order, with arrays of the same dtype and shape unless a docstring allows otherwise. When one
    returns, the result of this rank is ready, and no other rank reads its arrays any more.

    Results are deterministic: a sum is computed over ranks 0, 1, .., size-1 in that order, element
    by element, so every rank gets the same bits, and so does a second run.

    raises ShapeError, on every rank, if the ranks disagree on operation, dtype or shape; the
    message lists what each rank has called.

    calls        Counter: operation name -> times called by this rank
    bytes_sent   Counter: operation name -> bytes of this rank's data that went to other ranks
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.calls, self.bytes_sent = Counter(), Counter()
        self._to_self = deque()  # messages a rank sends to itself
        self._outbox = None

    def _count(self, call, nbytes):
        self.calls[call] += 1
        self.bytes_sent[call] += int(nbytes)

    def slice(self, n: int) -> tuple[int, ...]:
        """(start, stop) of this rank's share of n elements, in reduce_scatter_ and all_gather_."""
        return share(n, self.rank, self.size)

    @abc.abstractmethod
    def all_reduce(self, array: np.ndarray, op: str = "sum") -> None:
        """array := sum (or max, min) over ranks of their arrays, element by element, in place.

        array    any shape; a number is passed as np.array(x)
        op       'sum', 'max' or 'min'
        returns  array
        """

    def iall_reduce(self, array: np.ndarray, op: str = "sum") -> Callable:
        """all_reduce() that goes on while the rank computes: returns a function that waits for it.

        Several are done in the order called. Until the last has been waited for, the rank must
        leave their arrays alone, and call nothing else of its communicators. An engine that cannot
        do two things at a time does it at once. Counted as all_reduce.

        returns  function without arguments -> array
        """
        self.all_reduce(array, op)
        return lambda: array

    @abc.abstractmethod
    def all_gather(self, array: np.ndarray) -> None:
        """The arrays of all ranks, one after another: (n, ...) on each -> (size * n, ...) on all.

        A 0-d array counts as (1,).
        """

    @abc.abstractmethod
    def reduce_scatter(self, array: np.ndarray) -> None:
        """Sum over ranks, of which each keeps its rows: (n, ...) -> (n / size, ...).

        They begin with row rank * n / size; `size` must divide n.
        """

    @abc.abstractmethod
    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        """Copy the array of rank `root` into the arrays of all, in place. Returns array."""

    @abc.abstractmethod
    def all_to_all(self, arrays: Sequence[np.ndarray]) -> None:
        """Exchange: arrays[j] of rank i becomes item i of the result on rank j.

        Applied twice, it returns what was put in.

        arrays   list of `size` arrays (n, ...) of one dtype and row shape; each may have its own n
        returns  list of `size` fresh arrays, item i from rank i
        """

    @abc.abstractmethod
    def send(self, array: np.ndarray, to: int) -> None:
        """Send a copy of `array` to rank `to`.

        A large array may have to wait for its receiver; how large depends on the engine. flush()
        returns when all have gone.
        """

    @abc.abstractmethod
    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        """The next array that rank `source` sent here, in the order sent, as a new array.

        like     anything with the .shape and .dtype expected
        raises   ShapeError if the array sent has another shape or dtype; whether the next recv gets
                 it depends on the engine
        """

    def isend(self, array: np.ndarray, to: int) -> None:
        """send() that returns at once, whatever has to wait: for programs in which two ranks send
        each other large arrays at times of their own, as the stages of a pipeline.

        Messages to a rank arrive in the order sent, those of send() too if flush() comes between.
        """
        if to == self.rank:  # no thread: it may be received at once
            self.send(array, to)
            return
        if self._outbox is None:
            self._outbox = Outbox(self.send)
        self._outbox.put(array.copy(), to)

    def flush(self) -> None:
        """Return when all of isend() has gone; raises what went wrong there."""
        if self._outbox is not None:
            self._outbox.flush()

    def sendrecv(self, array: np.ndarray, to: int, like: np.ndarray, source: int) -> np.ndarray:
        """Send to one rank while receiving from another: a step of a ring, or a swap of two.

        Every rank that is sent to receives in the same call, so no large array waits for ever.

        to, source  ranks; like, returns and raises as in recv
        """
        # Neighbors of different parity take turns; of equal parity the one below sends first. No
        # circle of ranks then begins with all sending, or all receiving.
        send_first = self.rank <= to
        if (to - self.rank) % 2:
            send_first = self.rank % 2 == 0
        if send_first:
            self.send(array, to)
            return self.recv(like, source)
        came = self.recv(like, source)
        self.send(array, to)
        return came

    @abc.abstractmethod
    def split(self, color: int, key: int = 0) -> "Communicator":
        """The communicator of the ranks that pass the same `color`, ordered by (key, rank).

        color   an integer; None: this rank joins no group and gets None

        Two ranks that share several groups must use them in the same order.
        """

    @abc.abstractmethod
    def barrier(self) -> None:
        """Return when every rank has called it."""

    @abc.abstractmethod
    def empty(self, shape: Shape, dtype: DType = np.float32) -> None:
        """An uninitialized array in memory where collectives are fastest.

        It is kept as long as the communicator.
        """

    @abc.abstractmethod
    def reduce_scatter_(self, flat: np.ndarray) -> None:
        """flat[start:stop] := sum over ranks of flat[start:stop], with start, stop = slice(n).

        flat     (n,) contiguous, any n. Its content outside start..stop is unspecified afterwards
        returns  flat[start:stop], a view
        """

    @abc.abstractmethod
    def all_gather_(self, flat: np.ndarray) -> None:
        """Copy the slice of every rank into flat on all ranks.

        After reduce_scatter_ this completes an all_reduce.

        flat     (n,) contiguous, any n
        returns  flat
        """


class SingleProcess(Communicator):
    """The communicator of a single process: sums have one term, and nothing is sent."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        operation(op)  # raises for an unknown one
        check_array("all_reduce", array)
        self._count("all_reduce", 0)
        return array

    def all_gather(self, array: np.ndarray) -> np.ndarray:
        check_array("all_gather", array)
        self._count("all_gather", 0)
        return array.reshape(array.shape or 1).copy()

    def reduce_scatter(self, array: np.ndarray) -> np.ndarray:
        check_rows(array, 1)
        self._count("reduce_scatter", 0)
        return array.copy()

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        check_array("broadcast", array)
        check_rank("broadcast", root, 1)
        self._count("broadcast", 0)
        return array

    def all_to_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        check_parcels(arrays, 1)
        self._count("all_to_all", 0)
        return [array.copy() for array in arrays]

    def send(self, array: np.ndarray, to: int) -> None:
        check_array("send", array)
        check_rank("send", to, 1)
        self._count("send", 0)
        self._to_self.append(array.copy())

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        check_rank("recv", source, 1)
        self._count("recv", 0)
        return take_own(self._to_self, like, self.rank)

    def split(self, color: int, key: int = 0) -> Communicator:
        self._count("split", 0)
        if color is None:
            return None
        return SingleProcess()

    def barrier(self) -> None:
        self._count("barrier", 0)

    def empty(self, shape: int | tuple[int, ...], dtype: DType = np.float32) -> np.ndarray:
        return np.empty(shape, dtype)

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("reduce_scatter_", flat)
        self._count("reduce_scatter_", 0)
        return flat[:]

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("all_gather_", flat)
        self._count("all_gather_", 0)
        return flat


def describe(array: np.ndarray) -> str:
    """Dtype and shape, on which two ranks must agree, as text: 'float32 (3, 4)'."""
    return _describe(np.dtype(array.dtype), tuple(array.shape))


# Cached: NumPy takes longer to name a dtype than two workers take to meet.
@functools.lru_cache(maxsize=256)
def _describe(dtype, shape):
    return f"{dtype} {shape}"


def take_own(queue: Any, like: np.ndarray, rank: int) -> np.ndarray:
    """recv from the same rank: the oldest array in `queue`.

    raises   ConfigError if there is none, ShapeError if its shape or dtype is not that of `like`
    """
    if not queue:
        raise ConfigError(f"recv: rank {rank} waits for a message from itself but has sent none")
    if describe(queue[0]) != describe(like):
        raise ShapeError(
            f"recv: rank {rank} expects {describe(like)} from rank {rank}, "
            f"which sent {describe(queue[0])}"
        )
    return queue.popleft()
