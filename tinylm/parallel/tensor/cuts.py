"""How a parameter is cut among the ranks of a group, and put together again.

A cut is taken from the whole array and never from a share, so a checkpoint holds whole arrays, and
any layout reads what any other has written. Read next: layers.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import device_of, to_device
from tinylm.nn.promised import Promised
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows


@dataclass(frozen=True)
class Whole:
    """Every rank has the whole array.

    summed  False: each computes the whole gradient of it, from the same activations. True: each
            computes the part of its own heads or tokens, and the parts must be added
    """

    summed: bool = False

    def take(self, array: np.ndarray, rank: int, size: int) -> np.ndarray:
        """The array that a rank holds."""
        return array

    def join(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The whole, out of those of all ranks."""
        return arrays[0]


@dataclass(frozen=True)
class Along:
    """Cut along an axis, into shares as equal as they can be."""

    axis: int
    summed = False

    def take(self, array: np.ndarray, rank: int, size: int) -> np.ndarray:
        start, stop = share_rows(array.shape[self.axis], rank, size)
        return array[(slice(None),) * self.axis + (slice(start, stop),)]

    def join(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays, axis=self.axis)


@dataclass(frozen=True)
class ByHead:
    """Cut along an axis that holds heads, each with the keys and values that it reads.

    axis    of H K entries, or with `packed` of (H + 2 G) K: queries, keys, values side by side
    heads   H;  kv_heads  G, which divides H. A rank gets whole groups: of G shares as equal as they
            can be, and of the H / G query heads of each
    """

    axis: int
    heads: int
    kv_heads: int
    packed: bool
    summed = False

    def columns(self, rank: int, size: int, width: int) -> np.ndarray:
        """The entries along the axis that a rank holds: integers, where a head has `width`."""
        H, G = self.heads, self.kv_heads
        first, last = share_rows(G, rank, size)
        per_group = H // G
        ranges = [(first * per_group, last * per_group)]  # of heads
        if self.packed:
            ranges += [(H + first, H + last), (H + G + first, H + G + last)]
        return np.concatenate([np.arange(a * width, b * width) for a, b in ranges])

    def _width(self, length):
        parts = self.heads + 2 * self.kv_heads if self.packed else self.heads
        return length // parts

    def take(self, array: np.ndarray, rank: int, size: int) -> np.ndarray:
        width = self._width(array.shape[self.axis])
        return taken(array, self.columns(rank, size, width), self.axis)

    def join(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        size, length = len(arrays), sum(array.shape[self.axis] for array in arrays)
        width = self._width(length)
        order = np.concatenate([self.columns(rank, size, width) for rank in range(size)])
        return taken(np.concatenate(arrays, axis=self.axis), np.argsort(order), self.axis)


def taken(array: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """The entries of an array of any device at integer places along an axis."""
    return np.take(array, to_device(places, device_of(array)), axis=axis)


def shared_heads(kv_heads: int, heads: int, rank: int, size: int) -> tuple[int, int]:
    """(query heads, key-value heads) of a rank, counts."""
    first, last = share_rows(kv_heads, rank, size)
    return (last - first) * (heads // kv_heads), last - first


def share_of(parameter: Tensor, cut: Any, comm: Communicator) -> Tensor:
    """This rank's share of a parameter, as a parameter; a promise of it if that is one."""
    data, place = parameter.data, (comm.rank, comm.size)
    found = cut.take(data, *place)
    if isinstance(data, Promised):
        found = np.broadcast_to(np.zeros((), data.dtype), found.shape).view(Promised)
        found.draw = lambda: cut.take(data.draw(), *place).copy()  # the whole is freed
    else:
        found = found.copy()
    share = Tensor(np.zeros((), data.dtype), requires_grad=True)
    share.data = found
    if hasattr(parameter, "decays"):
        share.decays = parameter.decays
    return share
