"""A stand-in for cupy.cuda.nccl, for tests on machines without a GPU; it is not NCCL.

It takes the calls that CuPy documents, with raw pointers, counts, types and streams, and does to
memory what NCCL's manual says: reads and writes at the pointers, over ranks of the simulator. It
refuses what NCCL would not survive: ranks whose calls differ in kind, count, type, operation or
root; another stream; a send whose receiver does not come waits, inside a group all calls run
together. Sums are in the order of ranks, which NCCL does not promise. Arrays of the device "strict"
stand for those of CuPy.
"""

import ctypes
from types import SimpleNamespace

import numpy as np

STREAM, BESIDE = 77, 78
TYPES = {
    "INT8": "b", "UINT8": "B", "INT32": "i4", "UINT32": "u4", "INT64": "i8", "UINT64": "u8",
    "FLOAT16": "f2", "FLOAT32": "f4", "FLOAT64": "f8",
}  # fmt: skip
OPS = {"SUM": np.add, "PROD": np.multiply, "MAX": np.maximum, "MIN": np.minimum}


class NcclError(RuntimeError):
    """As of cupy.cuda.nccl."""


def memory(pointer, count, kind):
    """(count,) array over the memory at an address."""
    dtype = np.dtype(list(TYPES.values())[kind])
    raw = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(raw, dtype)


class StandIn:
    """What Nccl needs of CuPy, without it: `library=` of one simulated rank.

    wire       communicator of all ranks, for the stand-in alone
    networks   dict, one for all ranks
    ids        bytes or tuple: how unique ids look, which changed with CuPy 14
    """

    device = "strict"

    def __init__(self, wire, networks, ids=tuple):
        self.log, self.chosen, self.hangs = [], None, False
        self.nccl = _Module(wire, networks, ids, self.log)

    def choose(self, local):
        self.chosen = local

    def pointer(self, array):
        return array._host.__array_interface__["data"][0]

    def stream(self, beside=False):
        return BESIDE if beside else STREAM

    def mark(self, beside=False):
        return SimpleNamespace(done=not self.hangs)


class _Module:
    """The names of cupy.cuda.nccl."""

    available, NcclError = True, NcclError

    def __init__(self, wire, networks, ids, log):
        self.wire, self.networks, self.ids, self.log = wire, networks, ids, log
        self.receipts, self.streams = wire.split(0), []
        self.group = None  # calls since groupStart
        self.error = None  # what check_async_error raises
        for number, name in enumerate(TYPES):
            setattr(self, f"NCCL_{name}", number)
        for number, name in enumerate(OPS):
            setattr(self, f"NCCL_{name}", number)

    def get_unique_id(self):
        number = len(self.networks)
        unique = bytes([number, self.wire.rank, 200, 255]).ljust(128, b"\x81")
        self.networks[unique] = {}
        if self.ids is bytes:
            return unique
        return tuple(value - 256 * (value > 127) for value in unique)  # char is signed

    def NcclCommunicator(self, ndev, commId, rank):
        assert type(commId) is self.ids and len(commId) == 128
        return _Communicator(self, ndev, bytes(value % 256 for value in commId), rank)

    def groupStart(self):
        assert self.group is None
        self.group = []

    def groupEnd(self):
        calls, self.group = self.group, None
        self.exchange(calls)

    def exchange(self, calls):
        """Sends and receives together: each send waits until its receiver has it."""
        _exchange(self.wire, self.receipts, calls)


def _exchange(wire, receipts, calls):
    for send, _, data, peer in calls:
        if send:
            wire.isend(np.array(data.nbytes), peer)
            wire.isend(data, peer)
    for send, _, data, peer in calls:
        if not send:
            if int(wire.recv(np.array(0), peer)) != data.nbytes:
                raise NcclError("NCCL_ERROR_INVALID_USAGE: a message of another length")
            data[...] = wire.recv(data, peer)
            receipts.isend(np.array(1), peer)
    for send, _, _, peer in calls:
        if send:
            receipts.recv(np.array(1), peer)


class _Communicator:
    """As cupy.cuda.nccl.NcclCommunicator, of the ranks that have the same id."""

    def __init__(self, module, ndev, unique, rank):
        self.module, self.rank, self.aborted = module, rank, False
        wire, found = module.wire, module.networks[unique]
        assert rank not in found and 0 <= rank < ndev
        found[rank] = wire.rank
        # Making one waits for all ranks, as ncclCommInitRank does.
        turns, me = wire._world.turns, wire._me
        turns.wait(me, f"for {ndev} ranks", lambda: wire.clock if len(found) == ndev else None)
        self.members = [found[r] for r in range(ndev)]

    def _all(self, call, data, stream):
        """What all ranks bring to a collective, in order; call: what must be the same."""
        assert stream in (STREAM, BESIDE) and not self.aborted and self.module.group is None
        self.module.log.append(call)
        self.module.streams.append(stream)
        wire, note = self.module.wire, np.frombuffer(repr(call).encode().ljust(100), np.uint8)
        others = [m for m in self.members if m != wire.rank]
        for other in others:
            wire.isend(note, other)
            wire.isend(data.copy(), other)
        parts = []
        for member in self.members:
            if member == wire.rank:
                parts.append(data.copy())
                continue
            if (wire.recv(note, member) != note).any():
                raise NcclError("NCCL_ERROR_INVALID_USAGE: the ranks call different things")
            parts.append(wire.recv(data, member))
        return parts

    def _combined(self, call, data, op, stream):
        ufunc = list(OPS.values())[op]
        total, *others = self._all(call, data, stream)
        for other in others:
            total = ufunc(total, other)
        return total

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        data = memory(sendbuf, count, datatype)
        total = self._combined(("allReduce", count, datatype, op), data, op, stream)
        memory(recvbuf, count, datatype)[...] = total

    def reduceScatter(self, sendbuf, recvbuf, recvcount, datatype, op, stream):
        data = memory(sendbuf, recvcount * len(self.members), datatype)
        total = self._combined(("reduceScatter", recvcount, datatype, op), data, op, stream)
        start = self.rank * recvcount
        memory(recvbuf, recvcount, datatype)[...] = total[start : start + recvcount]

    def allGather(self, sendbuf, recvbuf, count, datatype, stream):
        parts = self._all(("allGather", count, datatype), memory(sendbuf, count, datatype), stream)
        memory(recvbuf, count * len(parts), datatype)[...] = np.concatenate(parts)

    def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
        call = "broadcast", count, datatype, root
        parts = self._all(call, memory(sendbuff, count, datatype), stream)
        memory(recvbuff, count, datatype)[...] = parts[root]

    def send(self, sendbuf, count, datatype, peer, stream):
        self._message(True, memory(sendbuf, count, datatype), peer, stream)

    def recv(self, recvbuf, count, datatype, peer, stream):
        self._message(False, memory(recvbuf, count, datatype), peer, stream)

    def _message(self, send, data, peer, stream):
        assert stream == STREAM and not self.aborted and peer != self.rank
        call = send, self, data, self.members[peer]
        if self.module.group is None:
            self.module.exchange([call])
        else:
            self.module.group.append(call)

    def check_async_error(self):
        if self.module.error is not None:
            raise self.module.error

    def abort(self):
        self.aborted = True
