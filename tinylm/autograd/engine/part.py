"""The cotangent of a slice, without the zeros around it.

With y = x[:, t] for every t of a sequence, each dL/dx is zero outside of its own t. Written out and
added up, T steps cost T times the whole of x; put where they belong, they cost x once. Read next:
backward.py, which adds them up.
"""

from typing import Any

import numpy as np

from tinylm.autograd.engine.tensor import Array, Tensor


class Part(Tensor):
    """`values` at `index` of an array of `whole_shape`, zeros elsewhere. Not recorded.

    `data` is that array, made when it is asked for; backward.py does without.
    """

    __slots__ = ("values", "index", "whole_shape")

    def __init__(self, values: np.ndarray, index: Any, whole_shape: tuple[int, ...]) -> None:
        self.values, self.index, self.whole_shape = values, index, whole_shape
        self.requires_grad, self.name, self.slot = False, None, None
        self._grad, self._node, self._version = None, None, [0]

    @property
    def data(self) -> np.ndarray:
        """The whole array, newly made."""
        out = np.zeros_like(self.values, shape=self.whole_shape)
        out[self.index] = self.values
        return out


def _interval(part):
    """(axis, start, stop) of a Part that is cut along one axis alone; None for any other."""
    index = part.index if isinstance(part.index, tuple) else (part.index,)
    if any([i is None or i is Ellipsis for i in index]):
        return None
    cut = [axis for axis, i in enumerate(index) if i != slice(None)]
    if len(cut) != 1:
        return None
    axis = cut[0]
    i, n = index[axis], part.whole_shape[axis]
    if not isinstance(i, slice):
        return axis, i % n, i % n + 1
    start, stop, step = i.indices(n)
    if step != 1 or stop <= start:
        return None
    return axis, start, stop


class Gathered:
    """A cotangent that parts are added into: an array that nothing else refers to.

    Most often the parts are those of a split, or the steps of a sequence, and none overlaps
    another. So it remembers along which axis and between which borders something was written: what
    lies outside is zero, and a part there is written, which takes half as long as adding.
    """

    __slots__ = ("array", "axis", "start", "stop")

    def __init__(self, array: np.ndarray, part: Tensor | None = None) -> None:
        """array   the sum so far; of a first Part: overwritten by it, with zeros around it."""
        self.array, self.axis = array, None
        if part is None:
            return
        found = _interval(part)
        if found is None:
            array[...] = 0
        else:
            self.axis, self.start, self.stop = found
            before = (slice(None),) * self.axis
            array[(*before, slice(0, self.start))] = 0
            array[(*before, slice(self.stop, None))] = 0
        array[part.index] = part.values

    def add(self, g: Array) -> None:
        """Add an array or a Part in place."""
        if not isinstance(g, Part):
            self.array += g
            self.axis = None
            return
        found = None
        if self.axis is not None:
            found = _interval(g)
        if found is None or found[0] != self.axis:
            self.array[g.index] += g.values
            self.axis = None
            return
        _, start, stop = found
        if stop <= self.start or start >= self.stop:
            self.array[g.index] = g.values
        else:
            self.array[g.index] += g.values
        self.start, self.stop = min(start, self.start), max(stop, self.stop)
