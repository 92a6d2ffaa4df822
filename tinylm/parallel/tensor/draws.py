"""Dropout where a rank computes a part of the array: it draws what the single process draws for the
whole, and keeps its part.

Ranks that hold the same activations so drop the same ones, ranks that hold different heads or
tokens drop what belongs to theirs, and the stream advances on all of them alike. Read next:
split.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.backend import Random, device_of, to_device


class PartOfDraws:
    """A stream of random numbers seen by a rank that has some entries along an axis.

    rng     tinylm.Random
    axis    along which arrays are cut
    total   entries of the whole there
    kept    integers, those of this rank; or a function that returns them
    """

    def __init__(
        self, rng: Random, axis: int, total: int | Callable, kept: np.ndarray | Callable
    ) -> None:
        self.rng, self.axis, self.total, self.kept = rng, axis, total, kept

    def bernoulli(self, p: float, shape: tuple[int, ...]) -> np.ndarray:
        """True with probability p: a bool array of `shape`, this rank's part of the whole draw."""
        whole = list(shape)
        whole[self.axis] = self.total() if callable(self.total) else self.total
        kept = self.kept() if callable(self.kept) else self.kept
        drawn = self.rng.bernoulli(p, tuple(whole))
        return np.take(drawn, to_device(kept, device_of(drawn)), axis=self.axis)
