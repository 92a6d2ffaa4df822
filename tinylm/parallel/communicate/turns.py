"""Threads that take turns: of the ranks that can go on, the one that can do so at the earliest.

One thread runs at a time and hands on only where it waits, so a program of many ranks is as
deterministic as one of a single rank, and what they do to each other happens in the order of their
clocks. If none can go on, each is told what all wait for. Read next: simulator.py.
"""

import threading
from collections.abc import Callable

from tinylm.backend import Random
from tinylm.errors import DeadlockError


class Stopped(BaseException):
    """Raised in the ranks that still run when another one has failed."""


class Turns:
    """The threads of `size` ranks.

    clocks   (size,) list: virtual seconds of each rank
    order    Random, or None. With one, which rank goes on is drawn: a program whose result then
             changes depends on the order of its messages. Clocks mean little then
    failure  (rank, exception) of the first rank that failed, or None
    """

    def __init__(self, size: int, order: Random | None = None) -> None:
        self.clocks = [0.0] * size
        self.order = order
        self.failure = None
        self._batons = [threading.Semaphore(0) for _ in range(size)]
        self._waits = [None] * size  # (what for, function: the time at which it can go on, or None)
        self._done = [False] * size

    def run(self, work: Callable) -> None:
        """Call work(rank) in a thread of each rank; return when all have ended."""
        threads = [
            threading.Thread(target=self._thread, args=(work, rank), daemon=True)
            for rank in range(len(self.clocks))
        ]
        for thread in threads:
            thread.start()
        self._hand_on()
        for thread in threads:
            thread.join()

    def wait(self, rank: int, what: str | Callable, when: Callable) -> None:
        """Return when no other rank can go on earlier than this one; they run meanwhile.

        what     function: what is waited for, for the message of a deadlock
        when     function: the virtual time at which the rank can go on; None as long as it cannot
        raises   Stopped if another rank has failed, or none can go on: `failure` says why
        """
        self._waits[rank] = what, when
        self._hand_on()
        self._batons[rank].acquire()
        self._waits[rank] = None
        if self.failure is not None:
            raise Stopped

    def _thread(self, work, rank):
        self._batons[rank].acquire()
        try:
            if self.failure is None:
                work(rank)
        except Stopped:
            pass
        except BaseException as error:
            self.failure = self.failure or (rank, error)
        self._done[rank] = True
        self._hand_on()

    def _hand_on(self):
        """Wake the rank that is next; all have ended if none is."""
        left = [rank for rank, done in enumerate(self._done) if not done]
        if not left:
            return
        if self.failure is not None:
            self._batons[left[0]].release()
            return
        times = [(self._time(rank), rank) for rank in left]
        ready = sorted(pair for pair in times if pair[0] is not None)
        if not ready:
            self.failure = left[0], DeadlockError(self._who_waits())
            ready = [(0.0, left[0])]
        chosen = 0
        if self.order is not None:
            chosen = int(self.order.integers(0, len(ready)))
        self._batons[ready[chosen][1]].release()

    def _time(self, rank):
        """When a rank can go on, by the clocks; None if it cannot."""
        if self._waits[rank] is None:  # it has not begun
            return self.clocks[rank]
        return self._waits[rank][1]()

    def _who_waits(self):
        lines = []
        for rank, done in enumerate(self._done):
            state = "has ended"
            if not done:
                state = f"waits {self._waits[rank][0]()}"
            lines.append(f"rank {rank} {state}")
        return f"no rank can go on: {'; '.join(lines)}"
