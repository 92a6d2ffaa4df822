"""Processes of any number of machines: the communicator over MPI, by mpi4py.

    mpiexec -n 4 python PROGRAM          a program that ends with   run_on_mpi(function)
    mpiexec -n 4 tinylm train ...        cli/learn/train.py, which does so

Every rank first tells every other what it calls, so ranks that disagree are told as by the other
engines, and one that waits too long learns who is missing. Sums are computed as there: each rank
gets its share of all arrays, adds in the order of ranks, and hands the total on, which sends as
many bytes as a ring, and gives the same bits as shared memory. `native` leaves sums to the MPI
library, in an order of its own. Read first: communicator.py.
"""

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import DType
from tinylm.errors import MissingExtra, ShapeError, TinylmError, WorkerError
from tinylm.parallel.communicate.communicator import (
    Communicator,
    check_array,
    check_flat,
    check_parcels,
    check_rank,
    check_rows,
    describe,
    operation,
    share,
    take_own,
)
from tinylm.parallel.plan.shapes import Shape

PATIENCE = 600.0  # seconds after which a rank that waits gives up
FIRST = 0.3  # seconds that other ranks leave to rank 0 to say what is wrong
PASSED_ON = 0.2  # seconds that mpiexec has to pass on what a rank has said
# What MPICH, Open MPI and their kin set for a process they start.
STARTED = "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"
NOTE = 16  # bytes of the hash of a call
CALL, HEADER, BODY = 1, 2, 3  # tags


def mpi() -> Any:
    """The module mpi4py.MPI.

    raises  MissingExtra if there is no mpi4py, or no MPI library that it can load
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            f'MPI is not there ({error}): pip install "tinylm[mpi]" brings mpi4py and MPICH'
        ) from None
    return MPI


def started_by_mpiexec() -> bool:
    """True in a process that `mpiexec` (or mpirun) has started, whatever the number of ranks."""
    return any(name in os.environ for name in STARTED)


def run_on_mpi(
    function: Callable,
    *args: tuple,
    patience: float = PATIENCE,
    native: bool = False,
    say: Callable | None = None,
) -> Any:
    """Run function(communicator, *args) as one rank of `mpiexec`; returns its result.

    An error on one rank ends all of them: its traceback is printed, and every process is ended,
    also where threads live on. Of an error that all ranks raise, that of rank 0 is printed.

    patience  seconds after which a rank that waits for others gives up
    native    sums of all_reduce by the MPI library
    say       (error) prints an error that tinylm raises on purpose; None: with its traceback
    raises    MissingExtra without mpi4py
    """
    world = mpi().COMM_WORLD
    try:
        comm = Mpi(world, patience, native)
        result = function(comm, *args)
        comm.flush()  # what is on its way is in memory of this rank
        sys.stdout.flush()
        return result
    except BaseException as error:
        if world.size == 1 or (isinstance(error, SystemExit) and not error.code):
            raise
        sys.stdout.flush()
        if world.rank:
            time.sleep(FIRST)  # rank 0 has the word, if it fails too
        if say is not None and isinstance(error, TinylmError):
            say(error)
        else:
            # In one piece, and with time for mpiexec to pass it on: Abort ends that too.
            text = f"rank {world.rank} of {world.size} failed:\n{traceback.format_exc()}"
            print(text, end="", file=sys.stderr)
        sys.stderr.flush()
        time.sleep(PASSED_ON)
        world.Abort(1)
        os._exit(1)  # Abort() may return before the process is ended, and what follows would run


class Mpi(Communicator):
    """The communicator of a group of MPI processes.

    comm      of mpi4py
    patience  seconds after which a rank that waits for others gives up with a WorkerError
    native    True: sums of all_reduce by the MPI library, which may differ in the last bits from
              one number of ranks to another, or one library to another
    """

    def __init__(
        self,
        comm: Communicator,
        patience: float = PATIENCE,
        native: bool = False,
        pending: Any = None,
    ) -> None:
        super().__init__(comm.rank, comm.size)
        self._comm, self._patience, self._native = comm, patience, native
        # (request, buffer, rank) of messages on their way, in one list of all groups
        self._pending = [] if pending is None else pending
        self._byte = mpi().BYTE

    # Waiting

    def _wait(self, requests, what):
        """Return when all requests are done; {rank: request}."""
        started, tries = time.monotonic(), 0
        left = dict(requests)
        while left:
            left = {rank: request for rank, request in left.items() if not request.Test()}
            tries += 1
            if left and tries > 200:  # the others need the core, if there are more ranks than cores
                # Longer pauses the longer it has waited, up to 5 ms: it may wait for a user.
                waited = time.monotonic() - started
                time.sleep(0 if tries < 2000 else min(1e-4 + waited / 100, 5e-3))
            if left and time.monotonic() - started > self._patience:
                raise WorkerError(
                    f"rank {self.rank} of {self.size} has waited {self._patience:g} s {what}; "
                    f"missing: {', '.join(f'rank {rank}' for rank in sorted(left))}"
                )

    def _agree(self, call):
        """Raise ShapeError on every rank unless all have made the same call."""
        mine = hashlib.blake2b(call.encode(), digest_size=NOTE).digest()
        others = [rank for rank in range(self.size) if rank != self.rank]
        told = {rank: bytearray(NOTE) for rank in others}
        sends = {r: self._comm.Isend([mine, self._byte], r, CALL) for r in others}
        waits = {r: self._comm.Irecv([told[r], self._byte], r, CALL) for r in others}
        self._wait(waits, f"in {call}")
        self._wait(sends, f"in {call}")
        same = all(bytes(note) == mine for note in told.values())
        verdicts = self._comm.allgather(same)  # all hear of it, also those who saw no difference
        if not all(verdicts):
            texts = self._comm.allgather(call)
            listed = [f"rank {r} calls {text}" for r, text in enumerate(texts)]
            raise ShapeError(f"the ranks disagree: {'; '.join(listed)}")

    # Bytes

    def _exchange(self, sent, lengths, counts):
        """Bytes for every rank, `lengths` of them one after another in `sent`: a list of uint8
        arrays, `counts` bytes from each.
        """
        out = np.empty(sum(counts), np.uint8)
        self._comm.Alltoallv([sent, lengths, self._byte], [out, counts, self._byte])
        return np.split(out, np.cumsum(counts)[:-1])

    def _counts(self, flat):
        """Bytes of the share of every rank."""
        shares = [share(len(flat), rank, self.size) for rank in range(self.size)]
        return [(stop - start) * flat.itemsize for start, stop in shares]

    def _reduce_share(self, flat, ufunc):
        """flat[start:stop] := combination over ranks, in their order. flat: contiguous."""
        start, stop = self.slice(len(flat))
        counts = self._counts(flat)
        parts = self._exchange(_bytes(flat), counts, [counts[self.rank]] * self.size)
        flat[start:stop] = _folded(ufunc, parts, flat.dtype)

    def _gather_shares(self, flat):
        """Copy the shares of all ranks into a contiguous array, where it lies."""
        counts = self._counts(flat)
        self._comm.Allgatherv(mpi().IN_PLACE, [_bytes(flat), counts, self._byte])

    # Collectives

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        ufunc = operation(op)
        check_array("all_reduce", array)
        self._agree(f"all_reduce {op} of {describe(array)}")
        flat = np.ascontiguousarray(array).reshape(-1)  # a copy if it is not contiguous
        if self._native and op == "sum" and flat.dtype.kind in "fiu" and flat.itemsize >= 4:
            self._comm.Allreduce(mpi().IN_PLACE, flat)
        else:
            self._reduce_share(flat, ufunc)
            self._gather_shares(flat)
        if not array.flags.c_contiguous:
            array[...] = flat.reshape(array.shape)
        self._count("all_reduce", array.nbytes * 2 * (self.size - 1) // self.size)
        return array

    def all_gather(self, array: np.ndarray) -> np.ndarray:
        check_array("all_gather", array)
        self._agree(f"all_gather of {describe(array)}")
        rows, *row = array.shape or (1,)
        out = np.empty((self.size, array.nbytes), np.uint8)
        self._comm.Allgather([_bytes(array), self._byte], [out, self._byte])
        self._count("all_gather", array.nbytes * (self.size - 1))
        return out.reshape(-1).view(array.dtype).reshape(self.size * rows, *row)

    def reduce_scatter(self, array: np.ndarray) -> np.ndarray:
        rows = check_rows(array, self.size)
        self._agree(f"reduce_scatter of {describe(array)}")
        counts = [array.nbytes // self.size] * self.size
        parts = self._exchange(_bytes(array), counts, counts)
        total = _folded(np.add, parts, array.dtype)
        self._count("reduce_scatter", array.nbytes - counts[0])
        return total.reshape(rows, *array.shape[1:]).copy()

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        check_array("broadcast", array)
        check_rank("broadcast", root, self.size)
        self._agree(f"broadcast from rank {root} of {describe(array)}")
        data = _bytes(array).copy()
        self._comm.Bcast([data, self._byte], root)
        if self.rank != root:
            array[...] = data.view(array.dtype).reshape(array.shape)
        self._count("broadcast", array.nbytes * (self.size - 1) * (self.rank == root))
        return array

    def all_to_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        dtype, row = check_parcels(arrays, self.size)
        self._agree(f"all_to_all of {dtype} rows {row}")
        rows = self._comm.alltoall([len(array) for array in arrays])
        width = int(np.prod(row, dtype=int)) * dtype.itemsize
        sent = np.concatenate([_bytes(array) for array in arrays])
        lengths = [array.nbytes for array in arrays]
        parts = self._exchange(sent, lengths, [n * width for n in rows])
        sent = sum(array.nbytes for r, array in enumerate(arrays) if r != self.rank)
        self._count("all_to_all", sent)
        return [p.view(dtype).reshape(n, *row).copy() for p, n in zip(parts, rows)]

    def barrier(self) -> None:
        self._agree("barrier")
        self._count("barrier", 0)

    def split(self, color: int, key: int = 0) -> Communicator:
        self._agree("split")
        made = self._comm.Split(mpi().UNDEFINED if color is None else color, key)
        self._count("split", 0)
        if color is None:
            return None
        return Mpi(made, self._patience, self._native, self._pending)

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("reduce_scatter_", flat)
        self._agree(f"reduce_scatter_ of {describe(flat)}")
        start, stop = self.slice(len(flat))
        self._reduce_share(flat, np.add)
        self._count("reduce_scatter_", flat.nbytes - (stop - start) * flat.itemsize)
        return flat[start:stop]

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("all_gather_", flat)
        self._agree(f"all_gather_ of {describe(flat)}")
        start, stop = self.slice(len(flat))
        self._gather_shares(flat)
        self._count("all_gather_", (stop - start) * flat.itemsize * (self.size - 1))
        return flat

    def empty(self, shape: Shape, dtype: DType = np.float32) -> np.ndarray:
        return np.empty(shape, dtype)

    # Messages: a header with dtype, shape and bytes, then the bytes

    def isend(self, array: np.ndarray, to: int) -> None:
        check_array("send", array)
        check_rank("send", to, self.size)
        if to == self.rank:
            self._count("send", 0)
            self._to_self.append(array.copy())
            return
        self._pending[:] = [kept for kept in self._pending if not kept[0].Test()]
        header = f"{describe(array)} {array.nbytes}".encode().ljust(256)
        for buffer, tag in (
            (np.frombuffer(header, np.uint8), HEADER),
            (_bytes(array).copy(), BODY),
        ):
            request = self._comm.Isend([buffer, self._byte], to, tag)
            self._pending.append((request, buffer, to))
        self._count("send", array.nbytes)

    def send(self, array: np.ndarray, to: int) -> None:
        self.isend(array, to)

    def flush(self) -> None:
        for request, _, to in self._pending:
            self._wait({to: request}, "to send")
        self._pending.clear()

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        check_rank("recv", source, self.size)
        self._count("recv", 0)
        if source == self.rank:
            return take_own(self._to_self, like, self.rank)
        header, out = bytearray(256), np.empty(like.shape, like.dtype)
        expected = describe(like)
        self._take([header, self._byte], source, HEADER, f"to receive {expected}")
        *sent, size = bytes(header).decode().split()
        data = np.empty(int(size), np.uint8)
        self._take([data, self._byte], source, BODY, f"to receive {expected}")
        if " ".join(sent) != expected:
            raise ShapeError(
                f"recv: rank {self.rank} expects {expected} from rank {source}, "
                f"which sent {' '.join(sent)}"
            )
        out[...] = data.view(out.dtype).reshape(out.shape)
        return out

    def _take(self, buffer, source, tag, what):
        self._wait({source: self._comm.Irecv(buffer, source, tag)}, what)


def _bytes(array):
    """The bytes of an array: (nbytes,) uint8."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _folded(ufunc, parts, dtype):
    """parts[0] + parts[1] + .. of arrays of bytes, in that order, with `ufunc` for +; in the first
    of them.
    """
    total, *others = (part.view(dtype) for part in parts)
    for other in others:
        ufunc(total, other, out=total)
    return total
