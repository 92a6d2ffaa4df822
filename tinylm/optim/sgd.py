"""Gradient descent, plain and with momentum   (book eq. 2.32). Read next: adam.py."""

import numpy as np

from tinylm.optim.flat import flatten, wide, wide_zeros


class SGD:
    """theta <- theta - lr * (g + weight_decay * theta)   (book eq. 2.32)

    parameters    FlatParameters, or a dict or list of Tensors
    weight_decay  applies to matrices of maps and embeddings only (optim.flat.decays)
    """

    def __init__(self, parameters, lr=0.1, weight_decay=0.0):
        self.flat, self.lr, self.weight_decay = flatten(parameters), lr, weight_decay

    def zero_grad(self):
        """Forget all gradients."""
        self.flat.zero_grad()

    def step(self, lr=None, start=0, stop=None, scale=1.0):
        """One update of elements start .. stop-1 of the flat buffer, with the gradient times
        `scale`.
        """
        if lr is None:
            lr = self.lr
        if stop is None:
            stop = len(self.flat)
        flat = self.flat
        gradient = flat.collect()
        for part in flat.decayed(start, stop):
            flat.data[part] *= 1 - lr * self.weight_decay
        change = (lr * scale) * wide(gradient[start:stop])
        np.subtract(flat.data[start:stop], change, out=flat.data[start:stop], casting="same_kind")
        flat.version[0] += 1

    def state(self):
        """What a checkpoint must hold: nothing, for this rule."""
        return {}

    def load_state(self, state):
        """Take over a state() of the same parameters."""


class Momentum:
    """u <- momentum * u + g;   theta <- theta - lr * u   (Polyak 1964, in the form of Sutskever et
    al. 2013)

    parameters    FlatParameters, or a dict or list of Tensors
    nesterov      step along g + momentum * u instead: the gradient looked up ahead
    weight_decay  as in SGD, as part of the gradient
    """

    def __init__(self, parameters, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0):
        self.flat, self.lr, self.momentum = flatten(parameters), lr, momentum
        self.nesterov, self.weight_decay = nesterov, weight_decay
        self.velocity = wide_zeros(self.flat)

    def zero_grad(self):
        """Forget all gradients."""
        self.flat.zero_grad()

    def step(self, lr=None, start=0, stop=None, scale=1.0):
        """One update of elements start .. stop-1 of the flat buffer, with the gradient times
        `scale`.
        """
        if lr is None:
            lr = self.lr
        if stop is None:
            stop = len(self.flat)
        flat = self.flat
        g = wide(flat.collect()[start:stop]) * scale
        for part in flat.decayed(start, stop):
            g[part.start - start : part.stop - start] += self.weight_decay * wide(flat.data[part])
        u = self.velocity[start:stop]
        u *= self.momentum
        u += g
        change = lr * (g + self.momentum * u if self.nesterov else u)
        np.subtract(flat.data[start:stop], change, out=flat.data[start:stop], casting="same_kind")
        flat.version[0] += 1

    def state(self):
        """What a checkpoint must hold: {"velocity": (n,) array}."""
        return {"velocity": self.velocity}

    def load_state(self, state):
        """Take over a state() of the same parameters."""
        self.velocity[...] = state["velocity"]
