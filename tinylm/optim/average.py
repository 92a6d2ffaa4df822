"""A running mean of the weights, used in their place   (Polyak & Juditsky 1992; Izmailov et al.
2018).

The last weights of a training depend on its last few batches. Their mean over many steps does not,
and is closer to the bottom of the valley between whose walls the steps go back and forth. Training
itself does not notice it.

Read first: flat.py.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from tinylm.errors import ConfigError
from tinylm.optim.flat import FlatOptimizer

WARM_UP = 10  # steps, as in TensorFlow's ExponentialMovingAverage: the first weights are forgotten


class Averaged:
    """An optimizer that keeps a running mean of the weights it updates.

        mean <- d mean + (1 - d) theta      after step t, with d = min(decay, t / (t + 10))

    optimizer  of optim/; its step, bounds and state are used
    decay      in (0, 1): the mean reaches back about 1 / (1 - decay) steps
    raises     ConfigError for another decay

    mean       (n,), in the order of flat.data
    """

    def __init__(self, optimizer: FlatOptimizer, decay: float) -> None:
        if not 0 < decay < 1:
            raise ConfigError(f"average: a decay of {decay} is not between 0 and 1")
        self.optimizer = optimizer
        self.flat = optimizer.flat
        self.decay = decay
        self.mean = self.flat.data.copy()
        self.t = 0

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.optimizer.zero_grad()

    def bounds(self, workers: int) -> list[int] | None:
        """As of the optimizer."""
        return self.optimizer.bounds(workers)

    def step(
        self, lr: float | None = None, start: int = 0, stop: int | None = None, scale: float = 1.0
    ) -> None:
        """One step of the optimizer, and of the mean of the same elements."""
        self.optimizer.step(lr, start, stop, scale)
        self.t += 1
        d = min(self.decay, self.t / (self.t + WARM_UP))
        mean = self.mean[start:stop]
        mean *= d
        mean += (1 - d) * self.flat.data[start:stop]

    @contextlib.contextmanager
    def in_place(self, gather: Callable | None = None) -> Iterator[None]:
        """A context in which the model's weights are the mean.

        gather  function that completes an array (n,) of which each worker has a part, in place
        """
        if gather is not None:
            gather(self.mean)
        last = self.flat.data.copy()
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(last)

    def _put(self, weights):
        self.flat.data[...] = weights
        self.flat.version[0] += 1  # graphs that recorded the old values notice the change

    def state(self) -> dict[str, np.ndarray | int]:
        """The optimizer's state, and `last`, the weights (n,) it goes on from: in a checkpoint the
        model's are the mean.
        """
        return {**self.optimizer.state(), "averaged": self.t, "last": self.flat.data}

    def load_state(self, state: dict[str, np.ndarray | int]) -> None:
        """Restore a state(), after the model was given the mean."""
        self.optimizer.load_state(state)
        self.t = int(state["averaged"])
        self.mean[...] = self.flat.data
        self._put(np.asarray(state["last"], like=self.flat.data))
