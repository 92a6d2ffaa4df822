"""Adam and AdamW on one flat buffer, in place   (Kingma & Ba 2015; Loshchilov & Hutter 2019).

Read next: schedule.py for the learning rate over time.
"""

import math

import numpy as np

from tinylm.errors import TrainingError
from tinylm.optim.flat import flatten, wide_zeros

# Elements updated at a time: five slices of this many float32 stay in a core's second-level cache,
# so that the dozen passes below cost one trip to memory instead of twelve.
BLOCK = 1 << 15


class AdamW:
    """Adam with weight decay decoupled from the gradient.

    parameters    FlatParameters, or a dict or list of Tensors
    lr            learning rate, per step; may be given to each step() instead
    betas         decay of the running mean of g and of g**2
    eps           added to the root of the running mean of g**2
    weight_decay  per step and unit lr; applies to matrices of maps and embeddings
                  (optim.flat.decays), not to the rest
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
        self.flat = flatten(parameters)
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.m, self.v = wide_zeros(self.flat), wide_zeros(self.flat)
        self.t = 0

    def zero_grad(self):
        """Forget all gradients."""
        self.flat.zero_grad()

    def step(self, lr=None, start=0, stop=None, scale=1.0):
        """One update of elements start .. stop-1 of the flat buffer (all of them, unless workers
        share the update).

        lr     learning rate of this step
        scale  factor on the gradient, where clipping costs nothing
        """
        if lr is None:
            lr = self.lr
        if stop is None:
            stop = len(self.flat)
        flat = self.flat
        gradient = flat.collect()
        self._check_squares(gradient[start:stop], scale)
        self.t += 1
        flat.version[0] += 1
        scratch = np.empty_like(self.m, shape=(min(BLOCK, stop - start),))
        for low in range(start, stop, BLOCK):
            high = min(low + BLOCK, stop)
            for part in flat.decayed(low, high):
                flat.data[part] *= 1 - lr * self.weight_decay
            self._update(
                *(x[low:high] for x in (flat.data, gradient, self.m, self.v)),
                scratch[: high - low],
                lr,
                scale,
            )

    def _update(self, theta, g, m, v, s, lr, scale):
        # m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g^2,  theta <- theta - lr (m/c1) / (sqrt(v/c2) +
        # eps) with c_i = 1 - b_i^t. Both corrections fold into constants: (m/c1) / (sqrt(v/c2) +
        # eps) = (sqrt(c2)/c1) m / (sqrt(v) + eps sqrt(c2)). float16 parameters are updated in
        # float32, where the moments are; g is scaled before it is squared.
        b1, b2 = self.betas
        c1, c2 = 1 - b1**self.t, math.sqrt(1 - b2**self.t)
        m *= b1
        np.multiply(g, (1 - b1) * scale, out=s, dtype=s.dtype)
        m += s
        v *= b2
        np.multiply(g, math.sqrt(1 - b2) * scale, out=s, dtype=s.dtype)
        s *= s
        v += s
        np.sqrt(v, out=s)
        s += self.eps * c2
        np.divide(m, s, out=s)
        s *= lr * c2 / c1
        np.subtract(theta, s, out=theta, casting="same_kind")

    def _check_squares(self, g, scale):
        """Raise TrainingError for a gradient too large to be squared: an infinite moment freezes
        its weight.
        """
        largest = float(np.finfo(self.v.dtype).max)
        with np.errstate(over="ignore"):
            if (
                float(np.dot(g, g)) * scale**2 < largest
            ):  # the usual case, one pass over the gradient
                return
        peak = float(np.max(np.abs(g))) * abs(scale)
        if math.isfinite(peak) and peak > math.sqrt(largest):
            raise TrainingError(
                f"AdamW: a gradient of {peak:.1e} has a square beyond {self.v.dtype}: clip the "
                "gradients (clip_grad_norm), or lower the loss scale"
            )

    def state(self):
        """What a checkpoint must hold: {"t": steps taken, "m": (n,), "v": (n,)}."""
        return {"t": self.t, "m": self.m, "v": self.v}

    def load_state(self, state):
        """Take over a state() of the same parameters."""
        self.t = int(state["t"])
        self.m[...], self.v[...] = state["m"], state["v"]


def Adam(parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Adam as first published: AdamW without weight decay   (Kingma & Ba 2015, algorithm 1)."""
    return AdamW(parameters, lr, betas, eps, weight_decay=0.0)
