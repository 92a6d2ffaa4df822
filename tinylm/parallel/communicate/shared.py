"""Processes on one machine that share memory: the communicator behind `--workers N`.

Each worker has a window of shared memory that all can read. In a collective on arrays made by
`empty()` the workers meet, read each other's windows, and meet again: nothing is copied in order to
send it. Other arrays pass in chunks through the mailbox of each worker. `memory.py` holds the
layout and the semaphores; `launcher.py` starts the workers. The sums are those of book section
2.2.3, eq. (2.33).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinylm.backend import DType
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
from tinylm.parallel.communicate.memory import NOTE, WorkerMemory
from tinylm.parallel.plan.shapes import Shape
from tinylm.pretrain.batch import Batch

SMALL = 1 << 15  # bytes: up to it every rank adds up whole arrays, which saves a second exchange
CHUNK = 1 << 16  # elements added up at a time, so that the partial sum stays in the cache


def fold(ufunc: Callable, parts: Sequence[Batch], out: np.ndarray) -> None:
    """out := parts[0] + parts[1] + .. in that order, with `ufunc` for +.

    `out` may be one of the parts.
    """
    if len(parts) == 1:
        out[...] = parts[0]
        return
    for low in range(0, len(out), CHUNK):
        first, *between, last = [part[low : low + CHUNK] for part in parts]
        # Partial sums go into an array of their own, never into a part, which other ranks read.
        total = first
        for part in between:
            own = None if total is first else total
            total = ufunc(total, part, out=own)
        ufunc(total, last, out=out[low : low + CHUNK])


class SharedMemory(Communicator):
    """The communicator of one worker. Made by `launch`; `split` makes those of sub-groups.

    memory    the launch's `memory.WorkerMemory`, entered
    members   worker numbers of the group in rank order; None: all of them

    send returns at once while the channel to that worker has room: `mailbox` bytes, in four slots
    of a quarter each. So a ring in which all ranks send to the right and then receive from the left
    cannot deadlock while messages are no larger than the mailbox; larger ones wait for their
    receiver.

    After a ShapeError on all ranks the communicator can still be used; after one from recv it
    cannot.
    """

    def __init__(self, memory: WorkerMemory, members: tuple[int, ...] | None = None) -> None:
        self._memory = memory
        self._members = members or tuple(range(memory.size))
        super().__init__(self._members.index(memory.rank), len(self._members))
        peers = [m for m in self._members if m != memory.rank]
        self._announce = [memory.arrived[memory.rank][peer].release for peer in peers]
        self._arrivals = [(memory.arrived[peer][memory.rank].acquire, peer) for peer in peers]
        self._background = None  # a thread for sums that go on beside the work
        self._group = ""  # named in errors
        if members is not None:
            self._group = f" in the group of workers {self._members}"

    def _meet(self):
        """Return when every rank of the group has called it.

        Whatever they wrote before it can be read after it.
        """
        # Release one semaphore for each peer, then acquire one from each.
        for announce in self._announce:
            announce()
        wait = self._memory.wait
        for acquire, peer in self._arrivals:
            wait(acquire, peer, others=self._arrivals)

    def _exchange(self, call, mine, counts, in_place=True):
        """Show `mine` to all ranks and read theirs: the core of every collective.

        call       text that must be the same on all ranks: operation, dtype, shape
        mine       (counts[rank],) contiguous array
        counts     elements that each rank shows, the same list on all ranks
        in_place   False: show a copy, because the caller overwrites `mine` while others read
        yields     (first, parts): parts[r] is a view of rank r's elements first ..
                   first+len(parts[r])-1. One round if all arrays lie in windows, else as many as
                   the longest has mailboxes of elements
        """
        memory, members = self._memory, self._members
        step = memory.mailbox // mine.dtype.itemsize  # elements that fit into a mailbox
        offset = -1
        if in_place:
            offset = memory.offset_of(mine)
        if offset < 0:
            self._post(mine[:step])
        self._agree(call, offset)
        offsets = [memory.read_note(memory.note_of(m))[0] for m in members]
        in_window = [o >= 0 for o, count in zip(offsets, counts) if count]
        if all(in_window):
            if in_window:  # else all ranks show nothing
                yield 0, self._windows(offsets, counts, mine.dtype)
        else:
            if any(in_window):  # some in windows, some not: those in windows post a copy as well
                self._post(mine[:step])
                self._meet()
            for first in range(0, max(counts), step):
                if first:
                    self._meet()  # all have read the chunk before
                    self._post(mine[first : first + step])
                    self._meet()
                sizes = [min(max(count - first, 0), step) for count in counts]
                yield first, self._mailboxes(sizes, mine.dtype)
        self._meet()  # all have read: the arrays may be overwritten

    def _windows(self, offsets, counts, dtype):
        """Views of arrays in the windows of all ranks."""
        memory = self._memory
        parts = []
        for member, offset, count in zip(self._members, offsets, counts):
            at = memory.window_of(member) + max(offset, 0)
            parts.append(memory.view(at, count, dtype))
        return parts

    def _mailboxes(self, counts, dtype):
        """Views of the chunks in the mailboxes of all ranks."""
        memory = self._memory
        parts = []
        for member, count in zip(self._members, counts):
            parts.append(memory.view(memory.mailbox_of(member), count, dtype))
        return parts

    def _post(self, chunk):
        """Copy a chunk into this worker's mailbox."""
        memory = self._memory
        mailbox = memory.view(memory.mailbox_of(memory.rank), len(chunk), chunk.dtype)
        mailbox[...] = chunk

    def _agree(self, call, offset=-1):
        """Meet, and raise ShapeError on every rank unless all have made the same call."""
        memory = self._memory
        call = (call + self._group).encode()
        memory.write_note(memory.note_of(memory.rank), offset, call)
        self._meet()
        calls = [memory.read_note(memory.note_of(m))[1] for m in self._members]
        if calls.count(calls[self.rank]) != self.size:
            self._meet()  # all have read all notes: they may be rewritten
            texts = [text.decode(errors="replace") for text in calls]
            listed = [f"rank {r} calls {text}" for r, text in enumerate(texts)]
            raise ShapeError(f"the ranks disagree: {'; '.join(listed)}")

    def _reduce_share(self, call, ufunc, flat):
        """flat[start:stop] := combination over ranks. Returns the bytes that others read."""
        start, stop = self.slice(len(flat))
        for first, parts in self._exchange(call, flat, [len(flat)] * self.size):
            # Of this rank's share the elements that the chunk contains.
            low = max(first, start)
            high = min(first + len(parts[0]), stop)
            if low < high:
                here = [part[low - first : high - first] for part in parts]
                fold(ufunc, here, flat[low:high])
        return (len(flat) - (stop - start)) * flat.itemsize

    def _gather_shares(self, call, flat):
        """Copy all ranks' shares into flat. Returns the bytes that others read."""
        shares = [share(len(flat), r, self.size) for r in range(self.size)]
        start, stop = shares[self.rank]
        for first, parts in self._exchange(call, flat[start:stop], [b - a for a, b in shares]):
            for r, part in enumerate(parts):
                if r != self.rank:
                    at = shares[r][0] + first
                    flat[at : at + len(part)] = part
        return (stop - start) * flat.itemsize * (self.size - 1)

    def _gather(self, call, array):
        """Copies of the arrays of all ranks: (n,) on each -> (size, n) on all."""
        gathered = np.empty((self.size, array.size), array.dtype)
        for first, parts in self._exchange(call, array, [array.size] * self.size):
            for r, part in enumerate(parts):
                gathered[r, first : first + len(part)] = part
        return gathered

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        ufunc = operation(op)
        check_array("all_reduce", array)
        call = f"all_reduce {op} of {describe(array)}"
        flat = array.reshape(-1)  # a copy if array is not contiguous
        if array.nbytes <= min(SMALL, self._memory.mailbox):
            for _, parts in self._exchange(call, flat, [flat.size] * self.size, in_place=False):
                fold(ufunc, parts, flat)
            sent = array.nbytes * (self.size - 1)
        else:
            sent = self._reduce_share(call, ufunc, flat) + self._gather_shares(call, flat)
        if not array.flags.c_contiguous:
            array[...] = flat.reshape(array.shape)
        self._count("all_reduce", sent)
        return array

    def iall_reduce(self, array: np.ndarray, op: str = "sum") -> Callable:
        if self._background is None:
            self._background = ThreadPoolExecutor(1)
        return self._background.submit(self.all_reduce, array, op).result

    def all_gather(self, array: np.ndarray) -> np.ndarray:
        check_array("all_gather", array)
        gathered = self._gather(f"all_gather of {describe(array)}", array.reshape(-1))
        self._count("all_gather", array.nbytes * (self.size - 1))
        rows, *row = array.shape or (1,)
        return gathered.reshape(self.size * rows, *row)  # (size, n * ...) -> (size * n, ...)

    def reduce_scatter(self, array: np.ndarray) -> np.ndarray:
        rows = check_rows(array, self.size)
        flat = array.reshape(-1)
        width = flat.size // self.size
        start = self.rank * width
        out = np.empty(width, array.dtype)
        call = f"reduce_scatter of {describe(array)}"
        for first, parts in self._exchange(call, flat, [flat.size] * self.size):
            low = max(first, start)
            high = min(first + len(parts[0]), start + width)
            if low < high:
                here = [part[low - first : high - first] for part in parts]
                fold(np.add, here, out[low - start : high - start])
        self._count("reduce_scatter", array.nbytes - out.nbytes)
        return out.reshape(rows, *array.shape[1:])

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        check_array("broadcast", array)
        check_rank("broadcast", root, self.size)
        is_root = self.rank == root
        flat = array.reshape(-1)
        counts = [0] * self.size  # the root alone shows anything
        counts[root] = flat.size
        mine = flat[: counts[self.rank]]
        call = f"broadcast from rank {root} of {describe(array)}"
        for first, parts in self._exchange(call, mine, counts):
            if not is_root:
                flat[first : first + len(parts[root])] = parts[root]
        if not array.flags.c_contiguous and not is_root:
            array[...] = flat.reshape(array.shape)
        self._count("broadcast", array.nbytes * (self.size - 1) * is_root)
        return array

    def all_to_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        dtype, row = check_parcels(arrays, self.size)
        call = f"all_to_all of {dtype} rows {row}"
        # Every rank shows its arrays one after another, and reads its part of what the others show.
        rows = self._gather(call, np.array([len(a) for a in arrays]))  # (size, size): from i to j
        width = int(np.prod(row, dtype=int))  # elements in a row
        ends = np.cumsum(rows, axis=1) * width  # (size, size), of the parts that rank i shows
        out = [np.empty(rows[i, self.rank] * width, dtype) for i in range(self.size)]
        mine = np.concatenate([a.reshape(-1) for a in arrays])
        for first, parts in self._exchange(call, mine, ends[:, -1].tolist()):
            for i, part in enumerate(parts):
                stop = ends[i, self.rank]
                start = stop - out[i].size
                low = max(first, start)
                high = min(first + len(part), stop)
                if low < high:
                    out[i][low - start : high - start] = part[low - first : high - first]
        self._count("all_to_all", mine.nbytes - arrays[self.rank].nbytes)
        return [flat.reshape(n, *row) for flat, n in zip(out, rows[:, self.rank])]

    def send(self, array: np.ndarray, to: int) -> None:
        check_array("send", array)
        check_rank("send", to, self.size)
        if to == self.rank:
            self._count("send", 0)
            self._to_self.append(array.copy())
            return
        self._count("send", array.nbytes)
        memory, peer = self._memory, self._members[to]
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        call = (describe(array) + self._group).encode()
        what = f"to send {describe(array)} to worker {peer}"
        # An empty array takes a slot too, for its note.
        for first in range(0, max(data.size, 1), memory.slot):
            memory.wait(memory.room[memory.rank][peer].acquire, peer, what)
            at = memory.slot_of(memory.rank, peer, memory.sent[peer])  # a note, then the bytes
            chunk = data[first : first + memory.slot]
            memory.write_note(at, -1, call)
            memory.view(at + NOTE, chunk.size, np.uint8)[...] = chunk
            memory.sent[peer] += 1
            memory.filled[memory.rank][peer].release()

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        check_rank("recv", source, self.size)
        self._count("recv", 0)
        if source == self.rank:
            return take_own(self._to_self, like, self.rank)
        memory, peer = self._memory, self._members[source]
        out = np.empty(like.shape, like.dtype)
        data = out.reshape(-1).view(np.uint8)
        call = (describe(like) + self._group).encode()
        what = f"to receive {describe(like)}"
        for first in range(0, max(data.size, 1), memory.slot):
            memory.wait(memory.filled[peer][memory.rank].acquire, peer, what)
            at = memory.slot_of(peer, memory.rank, memory.received[peer])
            chunk = data[first : first + memory.slot]
            sent = memory.read_note(at)[1]
            if sent != call:
                raise ShapeError(
                    f"recv: rank {self.rank} expects {call.decode()} from rank {source}, "
                    f"which sent {sent.decode(errors='replace')}"
                )
            chunk[...] = memory.view(at + NOTE, chunk.size, np.uint8)
            memory.received[peer] += 1
            memory.room[peer][memory.rank].release()
        return out

    def split(self, color: int, key: int = 0) -> Communicator:
        mine = np.array([color is not None, color or 0, key], np.int64)
        table = self._gather("split", mine)  # (size, 3): joins a group, color, key
        self._count("split", 0)
        if color is None:
            return None
        group = [r for r in range(self.size) if table[r, 0] and table[r, 1] == color]
        group.sort(key=lambda r: (table[r, 2], r))
        return SharedMemory(self._memory, tuple(self._members[r] for r in group))

    def barrier(self) -> None:
        self._agree("barrier")
        self._meet()  # all have read the notes: they may be rewritten
        self._count("barrier", 0)

    def empty(self, shape: Shape, dtype: DType = np.float32) -> np.ndarray:
        return self._memory.empty(shape, dtype)

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("reduce_scatter_", flat)
        sent = self._reduce_share(f"reduce_scatter_ of {describe(flat)}", np.add, flat)
        self._count("reduce_scatter_", sent)
        start, stop = self.slice(len(flat))
        return flat[start:stop]

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("all_gather_", flat)
        sent = self._gather_shares(f"all_gather_ of {describe(flat)}", flat)
        self._count("all_gather_", sent)
        return flat
