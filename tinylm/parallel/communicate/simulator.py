"""A simulator: the ranks of a parallel program as threads of one process, with a virtual clock.

`simulate(program, 8, network=..)` calls program(comm) on 8 ranks, any number on any machine. Time
is what network.py says of each message, and what the program says of its own work by
`comm.elapse(seconds)`; it is the same in every run. Every message and every span of time is kept,
for pictures and counts. A program in which all ranks wait for each other ends with the list of what
each waits for, and one in which they call different collectives with what each has called.

A rank sends and receives at the same time, one message each way at a time, as over a full-duplex
link; ranks of a node share no more than that. A message leaves when the sender's port is free and
arrives a latency and its own length later, or later still if another is arriving. Read next:
rings.py, which builds collectives of such messages.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError, WorkerError
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
from tinylm.parallel.communicate.meeting import Meeting
from tinylm.parallel.communicate.network import Network
from tinylm.parallel.communicate.turns import Turns


@dataclass(frozen=True)
class Span:
    """A rank's time: rank, start and stop in virtual seconds, and what it did."""

    rank: int
    start: float
    stop: float
    what: str


@dataclass(frozen=True)
class Message:
    """A message between two ranks: bytes, and when it was sent, left and arrived."""

    source: int
    to: int
    nbytes: int
    sent: float
    left: float
    arrived: float


@dataclass
class Simulation:
    """What a simulated program did.

    results   of the ranks, in order
    clocks    seconds after which each rank had ended
    spans     list of Span: own work and collectives, in the order in which they ended
    messages  list of Message, in the order sent
    """

    results: list
    clocks: list
    spans: list = field(default_factory=list)
    messages: list = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """When the last rank had ended."""
        return max(self.clocks)

    def busy(self, rank: int, what: str = "") -> float:
        """Seconds that a rank spent on spans whose text begins with `what`."""
        spans = [s for s in self.spans if s.rank == rank and s.what.startswith(what)]
        return sum(span.stop - span.start for span in spans)


def simulate(
    function: Callable,
    size: int,
    *args: Any,
    network: Network | None = None,
    buffer: int | None = None,
    order: Random | None = None,
    patience: float = math.inf,
) -> Simulation:
    """Run function(communicator, *args) on `size` simulated ranks; returns a Simulation.

    network  Network; by default messages take no time
    buffer   bytes that wait unreceived for each pair of ranks, beyond which send waits for its
             receiver; 0: every send does. None: send never waits
    order    Random: which of the ranks goes on is drawn, instead of the one that can do so at the
             earliest; results must not depend on it, times do
    patience virtual seconds after which a rank that waits for others gives up: the run ends with
             a WorkerError that says who was missing
    raises   WorkerError, with .rank, .type and .message, from the first rank that fails;
             DeadlockError if all wait
    """
    if size < 1:
        raise ConfigError(f"simulate: {size} ranks, needs at least 1")
    if buffer is not None and buffer < 0:
        raise ConfigError(f"simulate: buffer {buffer} bytes, must be 0 or more; None is unlimited")
    world = _World(size, network or Network(), buffer, order, patience)

    def work(rank):
        comm = Simulated(world, rank, tuple(range(size)))
        world.results[rank] = function(comm, *args)

    world.turns.run(work)
    if world.turns.failure is not None:
        _raise(size, *world.turns.failure)
    return Simulation(world.results, world.turns.clocks, world.spans, world.messages)


def _raise(size, rank, error):
    if isinstance(error, (WorkerError, KeyboardInterrupt)):
        raise error
    kind, text = type(error).__name__, str(error)
    failure = WorkerError(f"rank {rank} of {size} failed: {kind}: {text}")
    failure.rank, failure.type, failure.message = rank, kind, text
    raise failure from error


class _World:
    """What the ranks of a simulation share."""

    def __init__(self, size, network, buffer, order, patience):
        self.network, self.buffer, self.patience = network, buffer, patience
        self.turns = Turns(size, order)
        self.results = [None] * size
        self.spans, self.messages = [], []
        self.queues = defaultdict(deque)  # (group, source, to) -> (array, time of arrival)
        self.waiting = defaultdict(int)  # bytes in the queues of a pair (source, to)
        self.receiving = set()  # (group, source, to) at whose end a rank waits
        self.meetings = {}  # (group, number) -> Meeting
        self.sums = defaultdict(float)  # group -> when the last of its sums beside the work is done
        # A rank has a port each way for its node and for the network beyond: when it is free.
        self.free = defaultdict(float)  # ("out" or "in", rank, Link) -> seconds

    def transport(self, source, to, nbytes):
        """Put a message of these ranks on its way; returns when it arrives."""
        link = self.network.link(source, to)
        now, length = self.turns.clocks[source], nbytes / link.bandwidth
        out, into = ("out", source, link), ("in", to, link)
        left = max(now, self.free[out])
        self.free[out] = left + length
        arrived = max(left + link.latency, self.free[into]) + length
        self.free[into] = arrived
        self.messages.append(Message(source, to, nbytes, now, left, arrived))
        return arrived


class Simulated(Communicator):
    """The communicator of a simulated rank. Made by `simulate`; `split` makes those of groups.

    Collectives take the time of their formula in network.py; those of rings.py, made of messages,
    take what their messages take.
    """

    def __init__(
        self, world: _World, rank: int, members: tuple[int, ...], key: tuple[int, ...] = ()
    ) -> None:
        super().__init__(members.index(rank), len(members))
        self._world, self._me, self._members = world, rank, members
        self._key = key  # tells groups of the same ranks apart
        self._met = 0  # collectives so far
        self._group = ""
        if len(members) != len(world.results):
            self._group = f" in the group of ranks {members}"

    @property
    def clock(self) -> float:
        """Virtual seconds since the start, of this rank."""
        return self._world.turns.clocks[self._me]

    def elapse(self, seconds: float, what: str = "work") -> None:
        """Let virtual time pass: the rank computes for so many seconds."""
        if not seconds >= 0:
            raise ConfigError(f"elapse: {seconds} seconds, must be 0 or more")
        self._advance(self.clock + seconds, what)

    def _advance(self, stop, what):
        start, clocks = self.clock, self._world.turns.clocks
        clocks[self._me] = max(start, stop)
        if stop > start:
            self._world.spans.append(Span(self._me, start, stop, what))

    def _meet(self, kind, call, array=None, nbytes=0, combine=None):
        """Wait for all ranks of the group; returns combine([array of each rank]), shared by all.

        kind, nbytes  of Network.collective
        call          text that must be the same on all ranks
        """
        return self._leave(self._come(kind, call, array, nbytes, combine))

    def _come(self, kind, call, array, nbytes, combine):
        """The Meeting for this rank's next collective, told that it has come and with what."""
        world, key = self._world, (self._key, self._members, self._met)
        self._met += 1
        meeting = world.meetings.setdefault(key, Meeting(self.size, self._group))
        meeting.come(self.rank, call, self.clock, array)
        if meeting.full:
            del world.meetings[key]
            seconds = world.network.collective(kind, nbytes, self._members)
            # Sums beside the work share the links: each begins when the one before is done.
            begins = world.sums[key[:2]]
            meeting.complete(combine, begins, seconds)
            if call.startswith("iall_reduce"):
                world.sums[key[:2]] = meeting.stop
        return meeting

    def _leave(self, meeting):
        """Wait until all have come and the operation is done; returns its result."""

        def waits():
            call = f"in {meeting.calls[self.rank]}{self._group}"
            return call if meeting.full else f"{call} (missing: {meeting.missing()})"

        self._world.turns.wait(self._me, waits, lambda: meeting.stop)
        meeting.check_patience(self.rank, self.clock, self._world.patience)
        self._advance(meeting.stop, meeting.calls[self.rank])
        return meeting.result()

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        ufunc = operation(op)
        check_array("all_reduce", array)
        call = f"all_reduce {op} of {describe(array)}"
        total = self._meet("all_reduce", call, array, array.nbytes, lambda a: fold(ufunc, a))
        array[...] = total
        self._count("all_reduce", array.nbytes * 2 * (self.size - 1) // self.size)
        return array

    def iall_reduce(self, array: np.ndarray, op: str = "sum") -> Callable:
        ufunc = operation(op)
        check_array("all_reduce", array)
        call = f"iall_reduce {op} of {describe(array)}"
        meeting = self._come("all_reduce", call, array, array.nbytes, lambda a: fold(ufunc, a))
        self._count("all_reduce", array.nbytes * 2 * (self.size - 1) // self.size)

        def wait():
            array[...] = self._leave(meeting)
            return array

        return wait

    def all_gather(self, array: np.ndarray) -> np.ndarray:
        check_array("all_gather", array)
        call = f"all_gather of {describe(array)}"
        parts = self._meet("all_gather", call, array, array.nbytes, list)
        self._count("all_gather", array.nbytes * (self.size - 1))
        return np.concatenate([part.reshape(part.shape or 1) for part in parts])

    def reduce_scatter(self, array: np.ndarray) -> np.ndarray:
        rows = check_rows(array, self.size)
        call = f"reduce_scatter of {describe(array)}"
        total = self._meet("reduce_scatter", call, array, array.nbytes, lambda a: fold(np.add, a))
        self._count("reduce_scatter", array.nbytes * (self.size - 1) // self.size)
        return total[self.rank * rows : (self.rank + 1) * rows].copy()

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        check_array("broadcast", array)
        check_rank("broadcast", root, self.size)
        call = f"broadcast from rank {root} of {describe(array)}"
        array[...] = self._meet("broadcast", call, array, array.nbytes, lambda a: a[root])
        self._count("broadcast", array.nbytes * (self.size - 1) * (self.rank == root))
        return array

    def all_to_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        dtype, row = check_parcels(arrays, self.size)
        call = f"all_to_all of {dtype} rows {row}"
        sent = sum(a.nbytes for r, a in enumerate(arrays) if r != self.rank)
        # The rank with most to send decides how long it takes.
        most = self._meet("split", f"{call}: bytes", np.array(sent), 0, max)
        sets = self._meet("all_to_all", call, list(arrays), int(most), list)
        self._count("all_to_all", sent)
        return [parcels[self.rank].copy() for parcels in sets]

    def send(self, array: np.ndarray, to: int, waits: bool = True) -> None:
        check_array("send", array)
        check_rank("send", to, self.size)
        if to == self.rank:
            self._count("send", 0)
            self._to_self.append(array.copy())
            return
        world, peer = self._world, self._members[to]
        key = self._key, self._me, peer
        text = lambda: f"to send {describe(array)} to rank {to}{self._group}"  # noqa: E731
        room = self._can_send if waits else lambda *_: self.clock
        world.turns.wait(self._me, text, lambda: room(key, array.nbytes))
        arrived = world.transport(self._me, peer, array.nbytes)
        world.queues[key].append((array.copy(), arrived))
        world.waiting[key[1:]] += array.nbytes
        self._count("send", array.nbytes)

    def isend(self, array: np.ndarray, to: int) -> None:
        # Here a message is on its way at once, and needs no thread that waits for its receiver.
        self.send(array, to, waits=False)

    def sendrecv(self, array: np.ndarray, to: int, like: np.ndarray, source: int) -> np.ndarray:
        # Both ways at once: the clock does not stand still between the two.
        check_rank("sendrecv", source, self.size)
        expects = self._key, self._members[source], self._me
        self._world.receiving.add(expects)
        self.send(array, to)
        return self.recv(like, source)

    def _can_send(self, key, nbytes):
        """Now, if there is room or the receiver waits for this message; else None."""
        world = self._world
        room = world.buffer is None or world.waiting[key[1:]] + nbytes <= world.buffer
        if room or (key in world.receiving and not world.queues[key]):
            return self.clock
        return None

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        check_rank("recv", source, self.size)
        self._count("recv", 0)
        if source == self.rank:
            return take_own(self._to_self, like, self.rank)
        world, peer = self._world, self._members[source]
        key = self._key, peer, self._me
        world.receiving.add(key)
        waits = lambda: f"to receive {describe(like)} from rank {source}{self._group}"  # noqa: E731
        queue = world.queues[key]
        world.turns.wait(self._me, waits, lambda: max(self.clock, queue[0][1]) if queue else None)
        world.receiving.discard(key)
        array, arrived = queue.popleft()
        world.waiting[key[1:]] -= array.nbytes
        if describe(array) != describe(like):
            raise ShapeError(
                f"recv: rank {self.rank} expects {describe(like)}{self._group} from rank {source}, "
                f"which sent {describe(array)}"
            )
        if arrived - self.clock > world.patience:
            raise WorkerError(
                f"rank {self.rank} of {self.size} has waited {world.patience:g} s {waits()}"
            )
        self._advance(arrived, f"recv from {source}")
        return array

    def split(self, color: int | None, key: int = 0) -> Communicator | None:
        mine = np.array([color is not None, color or 0, key], np.int64)
        table = np.array(self._meet("split", "split", mine, mine.nbytes, list))
        self._count("split", 0)
        made = self._met  # the same on all ranks: collectives are called in one order
        if color is None:
            return None
        group = [r for r in range(self.size) if table[r, 0] and table[r, 1] == color]
        group.sort(key=lambda r: (table[r, 2], r))
        members = tuple(self._members[r] for r in group)
        return Simulated(self._world, self._me, members, (*self._key, made, color))

    def barrier(self) -> None:
        self._meet("barrier", "barrier")
        self._count("barrier", 0)

    def empty(self, shape: tuple[int, ...], dtype: DType = np.float32) -> np.ndarray:
        return np.empty(shape, dtype)

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("reduce_scatter_", flat)
        call = f"reduce_scatter_ of {describe(flat)}"
        total = self._meet("reduce_scatter", call, flat, flat.nbytes, lambda a: fold(np.add, a))
        start, stop = self.slice(len(flat))
        flat[start:stop] = total[start:stop]
        self._count("reduce_scatter_", flat.nbytes - (stop - start) * flat.itemsize)
        return flat[start:stop]

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        check_flat("all_gather_", flat)
        largest = share(len(flat), 0, self.size)[1] * flat.itemsize
        call = f"all_gather_ of {describe(flat)}"
        flats = self._meet("all_gather", call, flat, largest, list)
        for rank, other in enumerate(flats):
            start, stop = share(len(flat), rank, self.size)
            flat[start:stop] = other[start:stop]
        start, stop = self.slice(len(flat))
        self._count("all_gather_", (stop - start) * flat.itemsize * (self.size - 1))
        return flat


def fold(ufunc: Callable, arrays: Sequence[np.ndarray]) -> np.ndarray | float:
    """arrays[0] + arrays[1] + .. in that order, with `ufunc` for +."""
    total = arrays[0]
    for array in arrays[1:]:
        total = ufunc(total, array)
    return total
