"""Gradient descent, plain and with momentum   (book eq. 2.32).

All parameters lie in one buffer (flat.py), so an update is a few operations on long arrays instead
of a loop over tensors. Read next: adam.py.
"""

import numpy as np

from tinylm.autograd.device import updates
from tinylm.autograd.device.launch import can_launch
from tinylm.optim.flat import FlatOptimizer, Parameters, wide, wide_zeros


def _launch(rule, lr, start, stop, scale, found=None, clip=0.0):
    """update() of a rule below by one kernel on a GPU: True, or False where there is none."""
    flat, u = rule.flat, rule.velocity
    theta, g = flat.data[start:stop], flat.collect()[start:stop]
    if u is not None:
        u = u[start:stop]
    if not can_launch(theta, g, u):
        return False
    rates = lr, rule.momentum, rule.weight_decay
    ranges = flat.decay_bounds()
    updates.descend(theta, g, u, ranges, start, rates, rule.nesterov, scale, found, clip)
    return True


def _step_if_finite(rule, lr, loss, factor, clip):
    """As AdamW.step_if_finite, for a rule below."""
    flat = rule.flat
    gradient = flat.collect()
    if not can_launch(flat.data, gradient, rule.velocity, loss):
        return None
    found = updates.squares(gradient, loss)
    _launch(rule, lr, 0, len(flat), factor, found, clip)
    flat.version[0] += 1
    return updates.read(found, factor)


class SGD(FlatOptimizer):
    """theta <- theta - lr * (g + weight_decay * theta)   (book eq. 2.32).

    parameters    FlatParameters, or a dict or list of Tensors
    weight_decay  applies to matrices of maps and embeddings only (optim.flat.decays)
    """

    momentum, nesterov, velocity = 0.0, False, None  # as the kernel reads them
    step_if_finite = _step_if_finite

    def __init__(self, parameters: Parameters, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr, weight_decay)

    def update(self, lr: float, start: int, stop: int, scale: float) -> None:
        """theta <- theta - lr (g + weight_decay theta) on elements start .. stop-1."""
        if _launch(self, lr, start, stop, scale):
            return
        flat = self.flat
        gradient = flat.collect()[start:stop]
        theta = flat.data[start:stop]  # a view, updated in place
        # theta - lr (g + wd theta) = (1 - lr wd) theta - lr g
        for part in flat.decayed(start, stop):
            flat.data[part] *= 1 - lr * self.weight_decay
        change = (lr * scale) * wide(gradient)
        np.subtract(theta, change, out=theta, casting="same_kind")

    def state(self) -> dict[str, np.ndarray | int]:
        """The state for a checkpoint: empty, for this rule."""
        return {}

    def load_state(self, state: dict[str, np.ndarray | int]) -> None:
        """Restore a state() of the same parameters."""


class Momentum(FlatOptimizer):
    """u <- momentum * u + g;   theta <- theta - lr * u   (Polyak 1964; Sutskever et al. 2013).

    parameters    FlatParameters, or a dict or list of Tensors
    nesterov      step along g + momentum * u instead: the direction that u will have after the next
                  step, if the gradient stays the same
    weight_decay  as in SGD, as part of the gradient: g + weight_decay * theta
    """

    step_if_finite = _step_if_finite

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = momentum
        self.nesterov = nesterov
        self.velocity = wide_zeros(self.flat)  # u, (n,)

    def update(self, lr: float, start: int, stop: int, scale: float) -> None:
        """u and theta of elements start .. stop-1."""
        if _launch(self, lr, start, stop, scale):
            return
        flat = self.flat
        theta = flat.data[start:stop]  # views, updated in place
        u = self.velocity[start:stop]
        # g + wd theta, where weight decay applies
        g = wide(flat.collect()[start:stop]) * scale
        for part in flat.decayed(start, stop):
            g[part.start - start : part.stop - start] += self.weight_decay * wide(flat.data[part])
        # u <- momentum u + g
        u *= self.momentum
        u += g
        # theta <- theta - lr u
        if self.nesterov:
            change = lr * (g + self.momentum * u)
        else:
            change = lr * u
        np.subtract(theta, change, out=theta, casting="same_kind")

    def state(self) -> dict[str, np.ndarray | int]:
        """The state for a checkpoint: {"velocity": (n,) array}."""
        return {"velocity": self.velocity}

    def load_state(self, state: dict[str, np.ndarray | int]) -> None:
        """Restore a state() of the same parameters."""
        self.velocity[...] = state["velocity"]
