"""A collective operation of the simulator while its ranks gather: who has come, when, with what.

Read next: simulator.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.errors import ShapeError, WorkerError


class Meeting:
    """The ranks of a group, `size` of them, at one of their collectives.

    group    text that names the group in errors; "" for all ranks
    calls    {rank: text of its call}
    stop     virtual time at which the operation is done; None until all have come
    """

    def __init__(self, size: int, group: str = "") -> None:
        self._size, self._group = size, group
        self.calls, self.stop = {}, None
        self._clocks, self._arrays, self._result = {}, {}, None

    def come(self, rank: int, call: str, clock: float, array: Any) -> None:
        """A rank is there, at a time, with a copy of an array or a list of arrays; or None."""
        self.calls[rank], self._clocks[rank], self._arrays[rank] = call, clock, _copied(array)

    @property
    def full(self) -> bool:
        """True if all have come."""
        return len(self.calls) == self._size

    def missing(self) -> str:
        """Text that names who has not come: "rank 1, rank 3"."""
        return _named(rank for rank in range(self._size) if rank not in self.calls)

    def complete(self, combine: Callable, begins: float, seconds: float) -> None:
        """All are there: the operation takes `seconds` from the last one's arrival, or `begins`.

        combine  (arrays in the order of ranks) -> result; None: none
        """
        self.stop = max(begins, *self._clocks.values()) + seconds
        if combine is not None and len(set(self.calls.values())) == 1:
            self._result = combine([self._arrays[rank] for rank in range(self._size)])
        self._arrays.clear()

    def check_patience(self, rank: int, clock: float, patience: float) -> None:
        """Raise WorkerError if others came more than `patience` after a rank began to wait."""
        late = [other for other, came in self._clocks.items() if came > clock + patience]
        if late:
            raise WorkerError(
                f"rank {rank} of {self._size} has waited {patience:g} s in {self.calls[rank]}"
                f"{self._group}; missing: {_named(sorted(late))}"
            )

    def result(self) -> np.ndarray | list:
        """What combine() has returned.

        raises  ShapeError if the ranks have called different things
        """
        if len(set(self.calls.values())) > 1:
            listed = [f"rank {r} calls {self.calls[r]}{self._group}" for r in range(self._size)]
            raise ShapeError(f"the ranks disagree: {'; '.join(listed)}")
        return self._result


def _named(ranks):
    return ", ".join(f"rank {rank}" for rank in ranks)


def _copied(array):
    if isinstance(array, list):
        return [one.copy() for one in array]
    if array is None:
        return None
    return array.copy()
