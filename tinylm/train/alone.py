"""The communicator of a single process, and a text sent to all processes.

Several processes bring their own communicator (parallel/communicate/). Read next: step.py.
"""

from typing import Protocol

import numpy as np


class Workers(Protocol):
    """What the trainer needs of a communicator."""

    rank: int
    size: int

    def slice(self, n: int) -> tuple[int, int]:
        """This worker's share of n numbers: (start, stop)."""

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        """The sum (or another operation) of all workers' arrays."""

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        """The array of worker `root`."""

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        """Sums of all workers' arrays, in place: those of this worker's slice."""

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        """All workers' slices, in place."""


class Alone:
    """The communicator of a single process: its own sums are those of all workers."""

    rank, size = 0, 1

    def slice(self, n: int) -> tuple[int, int]:
        return 0, n

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        return array

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        return array

    def reduce_scatter_(self, flat: np.ndarray) -> np.ndarray:
        return flat

    def all_gather_(self, flat: np.ndarray) -> np.ndarray:
        return flat


ALONE = Alone()


def broadcast_text(comm: Workers, text: str, root: int = 0) -> str:
    """The text that rank `root` holds, on every rank; what the others pass is ignored."""
    data = np.frombuffer(text.encode(), np.uint8)
    size = int(comm.broadcast(np.array([len(data)]), root)[0])  # the others need its length first
    if size == 0:
        return ""
    buffer = np.zeros(size, np.uint8)
    if comm.rank == root:
        buffer[:] = data
    return bytes(comm.broadcast(buffer, root)).decode()
