"""The cotangent of a slice, without the zeros around it.

With y = x[:, t] for every t of a sequence, each dL/dx is zero outside of its own t. Written out and
added up, T steps cost T times the whole of x; put where they belong, they cost x once. Read next:
backward.py, which adds them up.
"""

import numpy as np

from tinylm.autograd.engine.tensor import Tensor


class Part(Tensor):
    """`values` at `index` of an array of `whole_shape`, zeros elsewhere. Not recorded.

    `data` is that array, made when it is asked for; backward.py does without.
    """

    __slots__ = ("values", "index", "whole_shape")

    def __init__(self, values, index, whole_shape):
        self.values, self.index, self.whole_shape = values, index, whole_shape
        self.requires_grad, self.name, self.slot = False, None, None
        self._grad, self._node, self._version = None, None, [0]

    @property
    def data(self):
        """The whole array, newly made."""
        out = np.zeros_like(self.values, shape=self.whole_shape)
        out[self.index] = self.values
        return out


class Gathered:
    """A cotangent that parts are added into: an array that nothing else refers to."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    def add(self, g):
        """Add an array or a Part in place."""
        if isinstance(g, Part):
            self.array[g.index] += g.values
        else:
            self.array += g
