"""The memory and the semaphores that the workers of one launch share.

One anonymous mapping and a set of semaphores are made before the workers are forked, so nothing has
a name and nothing is left behind however the processes end. Address space is reserved; pages are
allocated only when touched. A semaphore also orders memory: what was written before its release is
visible after its acquire, on every processor. Polling a flag in shared memory would not guarantee
that on ARM. Read next: `shared.py`.
"""

import itertools
import math
import mmap
import multiprocessing
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.backend import DType
from tinylm.errors import ConfigError, WorkerError
from tinylm.machine import cores
from tinylm.parallel.plan.shapes import Shape

NOTE = 256  # bytes: offset of an array in the window (8), length of the text (2), the text
SLOTS = 4  # parts of a channel, so that a long message is written and read at the same time
SPIN = 2e-3  # seconds of trying before a waiter sleeps: about what waking up can cost
PAGE = 4096
SLEEP = 0.5  # seconds between looks at whether the peer has returned
PATIENCE = 3600.0  # seconds: rank 0 may validate or save for long while the others wait
give_way = getattr(os, "sched_yield", lambda: None)


class WorkerMemory:
    """The memory of `size` workers. Made by the parent; `enter` makes it the view of one worker.

    size       workers
    capacity   bytes of each worker's window, where `empty` arrays live
    mailbox    bytes of each worker's mailbox, through which all other arrays pass, chunk by chunk
    patience   seconds after which a worker that waits for others gives up

    Layout, all offsets in bytes: flags | notes | mailboxes | channels (one for each ordered pair) |
    windows.
    """

    def __init__(self, size: int, capacity: int, mailbox: int, patience: float = PATIENCE) -> None:
        mailbox = whole_pages(max(mailbox, PAGE))
        capacity = whole_pages(max(capacity, PAGE))
        self.size = size
        self.patience = patience
        self.capacity = capacity
        self.mailbox = mailbox
        self.slot = mailbox // SLOTS
        # Where each region begins: a byte flag per worker at 0, then as in the docstring.
        self.notes = whole_pages(size)
        self.mail = self.notes + whole_pages(size * NOTE)
        self.channels = self.mail + size * mailbox
        self.windows = self.channels + whole_pages(size * size * SLOTS * (NOTE + self.slot))
        self.buffer = reserve(self.windows + size * capacity)
        # With "fork" the semaphores are unlinked as soon as they exist: no name is left behind.
        context = multiprocessing.get_context("fork")

        def pairs(value):
            """A semaphore for each ordered pair of workers, as [source][to]; None to itself."""
            table = [[None] * size for _ in range(size)]
            for source, to in itertools.permutations(range(size), 2):
                table[source][to] = context.Semaphore(value)
            return table

        self.arrived = pairs(0)  # source has come to a meeting
        self.room = pairs(SLOTS)  # free slots of the channel
        self.filled = pairs(0)  # slots that are written and not yet read
        self.spin = 0.0
        if size <= cores():  # with fewer cores a spinning worker only delays the others
            self.spin = SPIN
        self.rank = None

    def enter(self, rank: int) -> "WorkerMemory":
        """Become worker `rank`: its window is empty, its channels are unused. Returns self."""
        self.rank = rank
        self.used = 0  # bytes of the window
        self.sent = [0] * self.size  # slots so far, for each peer
        self.received = [0] * self.size
        start = np.ndarray(1, np.uint8, self.buffer, self.windows + rank * self.capacity)
        self.base = start.__array_interface__["data"][0]
        return self

    def leave(self) -> None:
        """Set the flag that this worker has returned: a peer must not wait for it forever."""
        self.buffer[self.rank] = 1

    def wait(
        self, acquire: Callable, peer: int, what: str | None = None, others: tuple = ()
    ) -> None:
        """Acquire a semaphore that worker `peer` releases: try for about 2 ms, then sleep.

        what     of what is waited for; None: the call in this worker's note
        others   list of (acquire, peer), waited for in this order: those after this one are looked
                 at when patience ends, to say which are missing too

        Between tries the core is offered to other processes: with two cores kept busy by other
        programs as well, two workers met 65,000 times a second this way and 250 times without.

        raises   WorkerError if the peer has returned and will not release it, or when patience ends
        """
        if acquire(False):
            return
        if self.spin:
            deadline = time.perf_counter() + self.spin
            while time.perf_counter() < deadline:
                for _ in range(20):
                    if acquire(False):
                        return
                give_way()  # the peer may be waiting for this very core
        returned, waited = False, 0.0
        while not acquire(True, SLEEP):
            waited += SLEEP  # not by the clock: all workers may have been stopped for a while
            if waited >= self.patience:
                self._give_up(peer, what, others)
            if returned:  # already half a second ago: its last release would have arrived
                raise WorkerError(
                    f"worker {self.rank} waits for worker {peer}, "
                    "which has returned from its function; "
                    "every worker must make the same collective calls"
                )
            returned = bool(self.buffer[peer])

    def _give_up(self, peer, what, others):
        missing, reached = [peer], False
        for acquire, other in others:
            if reached and not acquire(False):
                missing.append(other)
            reached = reached or other == peer
        if what is None:
            call = self.read_note(self.note_of(self.rank))[1]
            what = f"in {call.decode(errors='replace')}"
        raise WorkerError(
            f"worker {self.rank} of {self.size} has waited {self.patience:g} s {what}; "
            f"missing: {', '.join(f'worker {other}' for other in missing)}"
        )

    def view(self, offset: int, count: int, dtype: DType) -> np.ndarray:
        """(count,) array of `dtype` over the shared bytes from `offset`."""
        return np.ndarray((count,), dtype, self.buffer, offset)

    def write_note(self, at: int, offset: int, text: str) -> None:
        """Write a note: a window offset (-1: none) and up to 246 bytes of text."""
        text = text[: NOTE - 10]
        struct.pack_into("<qH", self.buffer, at, offset, len(text))
        self.buffer[at + 10 : at + 10 + len(text)] = text

    def read_note(self, at: int) -> tuple[int, str]:
        """The (offset, text) of a note."""
        offset, length = struct.unpack_from("<qH", self.buffer, at)
        return offset, self.buffer[at + 10 : at + 10 + length]

    def note_of(self, worker: int) -> int:
        return self.notes + worker * NOTE

    def mailbox_of(self, worker: int) -> int:
        return self.mail + worker * self.mailbox

    def window_of(self, worker: int) -> int:
        return self.windows + worker * self.capacity

    def slot_of(self, source: int, to: int, index: int) -> int:
        """Offset of the slot of message part `index` in the channel from `source` to `to`."""
        channel = source * self.size + to
        number = channel * SLOTS + index % SLOTS
        return self.channels + number * (NOTE + self.slot)

    def offset_of(self, array: np.ndarray) -> int:
        """The offset of a contiguous array in this worker's window; -1 if it lies elsewhere."""
        offset = array.__array_interface__["data"][0] - self.base
        if 0 <= offset and offset + array.nbytes <= self.capacity:
            return offset
        return -1

    def empty(self, shape: Shape, dtype: DType) -> np.ndarray:
        """A new array in this worker's window, its first byte on a cache line; never freed."""
        if isinstance(shape, (int, np.integer)):
            shape = (shape,)
        shape = tuple(shape)
        dtype = np.dtype(dtype)
        count = math.prod(shape)
        nbytes = -(-count * dtype.itemsize // 64) * 64  # rounded up to cache lines
        if self.used + nbytes > self.capacity:
            raise ConfigError(
                f"empty: {dtype} {shape} needs {nbytes:,} bytes, but {self.used:,} of worker "
                f"{self.rank}'s {self.capacity:,} are in use; give launch a larger capacity"
            )
        array = self.view(self.window_of(self.rank) + self.used, count, dtype).reshape(shape)
        self.used += nbytes
        return array


def whole_pages(nbytes: int) -> int:
    """`nbytes` rounded up to a multiple of the page size."""
    return -(-nbytes // PAGE) * PAGE


def reserve(nbytes: int) -> Any:
    """`nbytes` of zeroed anonymous shared memory: address space without pages."""
    # The flag by its value in the system's headers where Python has no name for it.
    by_system = {"linux": 0x4000, "darwin": 0x40}
    noreserve = getattr(mmap, "MAP_NORESERVE", by_system.get(sys.platform, 0))
    try:
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | noreserve)
    except (OSError, OverflowError, ValueError) as error:
        raise ConfigError(
            f"launch: cannot reserve {nbytes:,} bytes of shared address space ({error}); "
            "give launch a smaller capacity, or raise the limit (ulimit -v)"
        ) from None
