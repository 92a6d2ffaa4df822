"""The memory and the semaphores that the workers of one launch have in common.

One anonymous mapping and a set of semaphores are made before the workers are forked, so nothing has
a name and nothing is left behind however the processes end. Address space is reserved, pages are
only taken when touched. A semaphore hands over memory as well as a turn: what was written before
its release is seen after its acquire, on every processor; a flag polled in shared memory would not
promise that on ARM. Read next: `shared.py`.
"""

import math
import mmap
import multiprocessing
import os
import struct
import sys
import time

import numpy as np

from tinylm.errors import ConfigError, WorkerError
from tinylm.machine import cores

NOTE = 256  # bytes: where in the window an array lies (8), length of the text (2), the text
SLOTS = 4  # parts of a channel, so that a long message is written and read at the same time
SPIN = 2e-3  # seconds of trying before a waiter sleeps: about the time a sleeper's wake-up can cost
PAGE = 4096
give_way = getattr(os, "sched_yield", lambda: None)


class Memory:
    """What `size` workers share. Made by the parent; `enter` makes it a worker's own view.

    size       workers
    capacity   bytes of each worker's window, where `empty` arrays live
    mailbox    bytes of each worker's mailbox, through which all other arrays pass, chunk by chunk

    Layout, all offsets in bytes: flags | notes | mailboxes | channels (one for each ordered pair) |
    windows.
    """

    def __init__(self, size, capacity, mailbox):
        mailbox = -(-max(mailbox, PAGE) // PAGE) * PAGE
        capacity = -(-max(capacity, PAGE) // PAGE) * PAGE
        self.size = size
        self.capacity = capacity
        self.mailbox = mailbox
        self.slot = mailbox // SLOTS
        self.notes = -(-size // PAGE) * PAGE
        self.mail = self.notes + -(-size * NOTE // PAGE) * PAGE
        self.channels = self.mail + size * mailbox
        self.windows = self.channels + -(-size * size * SLOTS * (NOTE + self.slot) // PAGE) * PAGE
        self.buffer = reserve(self.windows + size * capacity)
        context = multiprocessing.get_context(
            "fork"
        )  # its semaphores are unlinked as soon as they exist

        def pairs(value):
            return [
                [context.Semaphore(value) if a != b else None for b in range(size)]
                for a in range(size)
            ]

        self.arrived, self.room, self.filled = pairs(0), pairs(SLOTS), pairs(0)  # [from][to]
        self.spin = (
            SPIN if size <= cores() else 0.0
        )  # with fewer cores than workers a spinner only delays
        self.rank = None

    def enter(self, rank):
        """Become worker `rank`: its window is empty, its channels are unused. Returns self."""
        self.rank, self.used = rank, 0
        self.sent, self.received = [0] * self.size, [0] * self.size  # slots so far, for each peer
        start = np.ndarray(1, np.uint8, self.buffer, self.windows + rank * self.capacity)
        self.base = start.__array_interface__["data"][0]
        return self

    def leave(self):
        """Say that this worker has returned, so that a peer that waits for it can say so instead of
        waiting forever.
        """
        self.buffer[self.rank] = 1

    def wait(self, acquire, peer):
        """Take a turn that worker `peer` gives: try for about 2 ms, then sleep until it comes.

        Between tries the core is offered to others: with two cores kept busy by other programs as
        well, two workers met 65,000 times a second this way and 250 times without.

        raises  WorkerError if the peer has returned and will not come
        """
        if acquire(False):
            return
        if self.spin:
            deadline = time.perf_counter() + self.spin
            while time.perf_counter() < deadline:
                for _ in range(20):
                    if acquire(False):
                        return
                give_way()  # perhaps the peer itself waits for this very core
        returned = False
        while not acquire(True, 0.5):
            if returned:  # seen half a second ago: what it gave has long arrived
                raise WorkerError(
                    f"worker {self.rank} waits for worker {peer}, which has returned from its function; "
                    "every worker must make the same collective calls"
                )
            returned = bool(self.buffer[peer])

    def view(self, offset, count, dtype):
        """(count,) array of `dtype` over the shared bytes from `offset`."""
        return np.ndarray((count,), dtype, self.buffer, offset)

    def write_note(self, at, offset, text):
        """Leave a note: a window offset (-1: none) and up to 246 bytes of text."""
        text = text[: NOTE - 10]
        struct.pack_into("<qH", self.buffer, at, offset, len(text))
        self.buffer[at + 10 : at + 10 + len(text)] = text

    def read_note(self, at):
        """The (offset, text) of a note."""
        offset, length = struct.unpack_from("<qH", self.buffer, at)
        return offset, self.buffer[at + 10 : at + 10 + length]

    def note_of(self, worker):
        return self.notes + worker * NOTE

    def mailbox_of(self, worker):
        return self.mail + worker * self.mailbox

    def window_of(self, worker):
        return self.windows + worker * self.capacity

    def slot_of(self, source, to, index):
        return self.channels + ((source * self.size + to) * SLOTS + index % SLOTS) * (
            NOTE + self.slot
        )

    def offset_of(self, array):
        """Where a contiguous array begins in this worker's window, or -1 if it does not lie there."""
        offset = array.__array_interface__["data"][0] - self.base
        if 0 <= offset and offset + array.nbytes <= self.capacity:
            return offset
        return -1

    def empty(self, shape, dtype):
        """A new array in this worker's window, its first byte on a cache line; never freed."""
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        count = math.prod(shape)
        nbytes = -(-count * dtype.itemsize // 64) * 64
        if self.used + nbytes > self.capacity:
            raise ConfigError(
                f"empty: {dtype} {shape} needs {nbytes:,} bytes, but {self.used:,} of worker "
                f"{self.rank}'s {self.capacity:,} are in use; give launch a larger capacity"
            )
        array = self.view(self.window_of(self.rank) + self.used, count, dtype).reshape(shape)
        self.used += nbytes
        return array


def reserve(nbytes):
    """`nbytes` of zeroed anonymous shared memory, reserved but not taken."""
    noreserve = getattr(
        mmap, "MAP_NORESERVE", {"linux": 0x4000, "darwin": 0x40}.get(sys.platform, 0)
    )
    try:
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | noreserve)
    except (OSError, OverflowError, ValueError) as error:
        raise ConfigError(
            f"launch: cannot reserve {nbytes:,} bytes of shared address space ({error}); "
            "give launch a smaller capacity, or raise the limit (ulimit -v)"
        ) from None
