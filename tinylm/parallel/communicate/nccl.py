"""Processes with a GPU each: the communicator over NVIDIA's NCCL, by CuPy.

    launch(lambda comm: train(Nccl(comm)), 4)       one machine, a process for every GPU
    run_on_mpi(lambda comm: train(Nccl(comm)))      several machines; mpiexec -n 16 python PROGRAM

CUDA does not survive a fork: before launch() the program must not have touched the GPU, not even to
ask whether there is one. `tinylm train --parallel LAYOUT --device gpu` is for mpiexec therefore.

Arrays on the GPU go from GPU to GPU by NCCL's own collectives. Arrays in host memory, such as a
loss, go by the communicator that it was made from, which also hands round the unique id by which
the ranks find each other, and tells ranks that disagree, where NCCL alone would wait for ever or
mix up their bytes. NCCL adds in an order of its own: the last bits of a sum may differ from those
of the other engines, and between numbers of ranks, but not between ranks. Read first:
communicator.py, mpi.py, cupy_nccl.py, nccl_calls.py.

It has not run on several GPUs yet. It is written against the interface that CuPy documents; what it
passes to NCCL (types, counts, roots, groups, the order of calls) is tested with a stand-in
(tests/parallel/communicate/nccl_stand_in.py), and where there is a GPU on one rank.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import DType, backend, device_of, to_cpu, to_device
from tinylm.errors import ShapeError
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
from tinylm.parallel.communicate.cupy_nccl import (
    NOTE,
    combining,
    contiguous,
    message_text,
    note_of,
    padded,
    read_message,
    text_of,
)
from tinylm.parallel.communicate.nccl_calls import NcclCalls

EAGER = 1 << 16  # bytes: up to it a message passes through host memory, and need not wait


class Nccl(NcclCalls):
    """The communicator of processes with a GPU each.

    control   Communicator of the same processes for what lies in host memory: of launch() or MPI
    patience  seconds after which a rank that waits for the GPUs of others gives up: WorkerError
    check     every call is first compared with those of the others, by control, which raises
              ShapeError, or names who is missing, as control does. False: not, which saves a
              message; ranks that disagree may then get wrong numbers, or wait until `patience` ends
    library   CuPy unless given
    raises    MissingExtra without CuPy or NCCL; ConfigError where a machine has fewer GPUs than
              processes

    send waits for its receiver if an array on the GPU is larger than 64 KiB; smaller ones, and
    those of isend, pass through host memory. After a WorkerError it cannot be used any more.
    """

    def _agree(self, call):
        """Raise ShapeError on every rank unless all have made the same call."""
        if not self._check:
            return
        calls = self._control.all_gather(note_of(call)).reshape(self.size, NOTE)
        if (calls != calls[self.rank]).any():
            listed = [f"rank {r} calls {text_of(note)}" for r, note in enumerate(calls)]
            raise ShapeError(f"the ranks disagree: {'; '.join(listed)}")

    def _here(self, array):
        """Whether an array is on the GPU."""
        return device_of(array) == self._library.device

    # Collectives

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        return self._all_reduce("all_reduce", array, op, False)()

    def iall_reduce(self, array: np.ndarray, op: str = "sum") -> Callable:
        return self._all_reduce("iall_reduce", array, op, True)

    def _all_reduce(self, call, array, op, beside):
        """A function that waits for the sum."""
        operation(op)
        check_array(call, array)
        self._count(call, array.nbytes * 2 * (self.size - 1) // self.size)
        if not self._here(array):
            self._control.all_reduce(array, op)
            return lambda: array
        what = f"{call} {op} of {describe(array)} on the GPU"
        kind = combining(self._library.nccl, call, array, op)
        self._agree(what)
        flat, wait = contiguous(array), None
        if flat.size:
            at, given = self._at(flat), (flat.size * kind.lanes, kind.type, kind.op)
            wait = self._native(what, "allReduce", at, at, *given, beside=beside)

        def finish():
            if wait is not None:
                wait()
            if flat is not array:
                array[...] = flat
            return array

        return finish

    def all_gather(self, array: np.ndarray) -> np.ndarray:
        check_array("all_gather", array)
        self._count("all_gather", array.nbytes * (self.size - 1))
        if not self._here(array):
            return self._control.all_gather(array)
        what = f"all_gather of {describe(array)} on the GPU"
        self._agree(what)
        rows, *row = array.shape or (1,)
        flat = contiguous(array)
        out = np.empty_like(flat, shape=(self.size * rows, *row))
        self._gather(what, flat, out)
        return out

    def _gather(self, what, flat, out):
        """out := the arrays of all ranks, one after another."""
        if flat.size:
            given = self._at(flat), self._at(out), flat.nbytes
            self._native(what, "allGather", *given, self._bytes)()

    def reduce_scatter(self, array: np.ndarray) -> np.ndarray:
        rows = check_rows(array, self.size)
        self._count("reduce_scatter", array.nbytes * (self.size - 1) // self.size)
        if not self._here(array):
            return self._control.reduce_scatter(array)
        what = f"reduce_scatter of {describe(array)} on the GPU"
        kind = combining(self._library.nccl, "reduce_scatter", array, "sum")
        self._agree(what)
        flat = contiguous(array)
        out = np.empty_like(flat, shape=(rows, *array.shape[1:]))
        self._scatter(what, flat, out, kind)
        return out

    def _scatter(self, what, flat, out, kind):
        """out := this rank's part of the sum of `flat`, whose parts are as long as `out`."""
        if out.size:
            given = self._at(flat), self._at(out), out.size * kind.lanes
            self._native(what, "reduceScatter", *given, kind.type, kind.op)()

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        check_array("broadcast", array)
        check_rank("broadcast", root, self.size)
        self._count("broadcast", array.nbytes * (self.size - 1) * (self.rank == root))
        if not self._here(array):
            return self._control.broadcast(array, root)
        what = f"broadcast from rank {root} of {describe(array)} on the GPU"
        self._agree(what)
        flat = contiguous(array)
        if flat.size:
            at = self._at(flat)
            self._native(what, "broadcast", at, at, flat.nbytes, self._bytes, root)()
        if flat is not array and self.rank != root:
            array[...] = flat
        return array

    def all_to_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        dtype, row = check_parcels(arrays, self.size)
        sent = sum(array.nbytes for r, array in enumerate(arrays) if r != self.rank)
        self._count("all_to_all", sent)
        if not self._here(arrays[0]):
            return self._control.all_to_all(arrays)
        what = f"all_to_all of {dtype} rows {row} on the GPU"
        self._agree(what)
        mine = np.array([[len(array) for array in arrays]])
        rows = self._control.all_gather(mine)[:, self.rank].tolist()  # that come from each rank
        given = [contiguous(array) for array in arrays]
        out = [np.empty_like(given[0], shape=(n, *row)) for n in rows]  # row-major
        others = [r for r in range(self.size) if r != self.rank]
        self._swap(what, [(r, given[r]) for r in others], [(r, out[r]) for r in others])
        out[self.rank][...] = given[self.rank]
        return out

    def split(self, color: int, key: int = 0) -> Communicator:
        group = self._control.split(color, key)
        self._count("split", 0)
        if group is None:
            return None
        return Nccl(group, self._patience, self._check, parent=self)

    def barrier(self) -> None:
        self._control.barrier()
        self._count("barrier", 0)

    def empty(self, shape: tuple[int, ...], dtype: DType = np.float32) -> np.ndarray:
        return backend(self._library.device).module.empty(shape, dtype)

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("reduce_scatter_", flat)
        start, stop = self.slice(len(flat))
        self._count("reduce_scatter_", flat.nbytes - (stop - start) * flat.itemsize)
        if not self._here(flat):
            return self._control.reduce_scatter_(flat)
        what = f"reduce_scatter_ of {describe(flat)} on the GPU"
        kind = combining(self._library.nccl, "reduce_scatter_", flat, "sum")
        self._agree(what)
        width = share(len(flat), 0, self.size)[1]
        out = np.empty_like(flat, shape=(width,))
        self._scatter(what, padded(flat, width * self.size), out, kind)
        flat[start:stop] = out[: stop - start]
        return flat[start:stop]

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("all_gather_", flat)
        start, stop = self.slice(len(flat))
        self._count("all_gather_", (stop - start) * flat.itemsize * (self.size - 1))
        if not self._here(flat):
            return self._control.all_gather_(flat)
        what = f"all_gather_ of {describe(flat)} on the GPU"
        self._agree(what)
        width = share(len(flat), 0, self.size)[1]
        out = np.empty_like(flat, shape=(width * self.size,))
        self._gather(what, padded(flat[start:stop], width), out)
        flat[...] = out[: len(flat)]
        return flat

    # Messages: a note by control says how the array comes

    def send(self, array: np.ndarray, to: int) -> None:
        self._send(array, to, self._control.send, EAGER)

    def isend(self, array: np.ndarray, to: int) -> None:
        self._send(array, to, self._control.isend, array.nbytes)

    def _send(self, array, to, send, eager):
        check_array("send", array)
        check_rank("send", to, self.size)
        if to == self.rank:
            self._count("send", 0)
            self._to_self.append(array.copy())
            return
        self._count("send", array.nbytes)
        here = self._here(array)
        direct = here and array.nbytes > eager
        send(note_of(message_text(array, here, direct)), to)
        if direct:
            self._swap(f"send of {describe(array)}", [(to, contiguous(array))], [])
        else:
            send(to_cpu(array), to)

    def flush(self) -> None:
        self._control.flush()

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        check_rank("recv", source, self.size)
        self._count("recv", 0)
        if source == self.rank:
            return take_own(self._to_self, like, self.rank)
        sent = read_message(self._control.recv(np.empty(NOTE, np.uint8), source))
        if sent.direct:
            out = self.empty(sent.shape, sent.dtype)
            self._swap(f"recv of {sent.text}", [], [(source, out)])
        else:
            out = self._by_host(sent, source)
        return self._checked(out, sent, like, source)

    def sendrecv(self, array: np.ndarray, to: int, like: np.ndarray, source: int) -> np.ndarray:
        if self.rank in (to, source) or not self._here(array):
            return super().sendrecv(array, to, like, source)
        check_rank("sendrecv", to, self.size)
        check_rank("sendrecv", source, self.size)
        self._count("send", array.nbytes)
        self._count("recv", 0)
        note = note_of(message_text(array, True, True))
        sent = read_message(self._control.sendrecv(note, to, note, source))
        sends, receives = [(to, contiguous(array))], []
        if sent.direct:
            out = self.empty(sent.shape, sent.dtype)
            receives = [(source, out)]
        self._swap(f"sendrecv of {describe(array)} and {sent.text}", sends, receives)
        if not sent.direct:
            out = self._by_host(sent, source)
        return self._checked(out, sent, like, source)

    def _by_host(self, sent, source):
        """A message that comes through host memory."""
        out = self._control.recv(np.empty(sent.shape, sent.dtype), source)
        if sent.here:
            return to_device(out, self._library.device)
        return out

    def _checked(self, out, sent, like, source):
        """A message that has come; ShapeError unless it is like `like`."""
        if sent.text != describe(like):
            raise ShapeError(
                f"recv: rank {self.rank} expects {describe(like)} from rank {source}, "
                f"which sent {sent.text}"
            )
        return out
