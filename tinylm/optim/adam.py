"""Adam and AdamW on one flat buffer, in place   (Kingma & Ba 2015; Loshchilov & Hutter 2019).

Read next: schedule.py for the learning rate over time.
"""

import math

import numpy as np

from tinylm.autograd.device import updates
from tinylm.autograd.device.launch import can_launch
from tinylm.errors import TrainingError
from tinylm.optim.flat import FlatOptimizer, Parameters, clip_factor, wide_zeros

# Elements updated at a time: five slices of this many float32 (640 KB) stay in a core's level-2
# cache, so that the dozen operations below read memory once instead of twelve times.
BLOCK = 1 << 15


class AdamW(FlatOptimizer):
    """Adam with weight decay decoupled from the gradient.

        m <- b1 m + (1 - b1) g                      running mean of the gradient
        v <- b2 v + (1 - b2) g^2                    running mean of its square
        theta <- (1 - lr weight_decay) theta
        theta <- theta - lr m' / (sqrt(v') + eps)   with m' = m / (1 - b1^t), v' = v / (1 - b2^t)

    The corrections by 1 - b^t remove the bias towards the zeros from which m and v start.

    parameters    FlatParameters, or a dict or list of Tensors
    lr            learning rate, per step; may be given to each step() instead
    betas         decay of the running mean of g and of g**2
    eps           added to the root of the running mean of g**2
    weight_decay  lambda: each step multiplies a weight by 1 - lr lambda; applies to matrices of
                  maps and embeddings (optim.flat.decays), not to the rest
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.betas = betas
        self.eps = eps
        self.m = wide_zeros(self.flat)  # (n,)
        self.v = wide_zeros(self.flat)  # (n,)
        self.t = 0  # steps so far

    def update(self, lr: float, start: int, stop: int, scale: float) -> None:
        """One step of elements start .. stop-1, in blocks; the arithmetic is in _update_block."""
        gradient = self.flat.collect()
        self.t += 1
        self._update_range(gradient, lr, start, stop, scale)

    def _update_range(self, gradient, lr, start, stop, scale):
        """The update of elements start .. stop-1 in step t."""
        flat = self.flat
        if can_launch(flat.data[start:stop], gradient, self.m):
            self._launch(lr, start, stop, scale)
            return
        block = BLOCK if type(self.m) is np.ndarray else stop - start  # a GPU has no such cache
        scratch = np.empty_like(self.m, shape=(min(block, stop - start),))
        for low in range(start, stop, max(block, 1)):
            high = min(low + block, stop)
            for part in flat.decayed(low, high):
                flat.data[part] *= 1 - lr * self.weight_decay
            self._update_block(
                flat.data[low:high],
                gradient[low:high],
                self.m[low:high],
                self.v[low:high],
                scratch[: high - low],
                lr,
                scale,
            )

    def _update_block(self, theta, g, m, v, s, lr, scale):
        """One update in place, without weight decay; s is scratch space of the same length."""
        # With c1 = 1 - b1^t and c2 = sqrt(1 - b2^t), both corrections fold into constants:
        #   (m / c1) / (sqrt(v) / c2 + eps) = (c2 / c1) m / (sqrt(v) + eps c2).
        # float16 parameters are updated in float32, the dtype of m, v and s; g is scaled before it
        # is squared.
        b1, b2 = self.betas
        c1 = 1 - b1**self.t
        c2 = math.sqrt(1 - b2**self.t)
        # m <- b1 m + (1 - b1) g
        m *= b1
        np.multiply(g, (1 - b1) * scale, out=s, dtype=s.dtype)
        m += s
        # v <- b2 v + (1 - b2) g^2
        v *= b2
        np.multiply(g, math.sqrt(1 - b2) * scale, out=s, dtype=s.dtype)
        s *= s
        v += s
        # theta <- theta - lr (c2 / c1) m / (sqrt(v) + eps c2)
        np.sqrt(v, out=s)
        s += self.eps * c2
        np.divide(m, s, out=s)
        s *= lr * c2 / c1
        np.subtract(theta, s, out=theta, casting="same_kind")

    def _launch(self, lr, start, stop, scale, found=None, clip=0.0):
        """_update_block() and the decay before it for all elements, by one kernel on a GPU."""
        b1, b2 = self.betas
        c1 = 1 - b1**self.t
        c2 = math.sqrt(1 - b2**self.t)
        rates = 1 - lr * self.weight_decay, b1, b2, self.eps * c2, lr * c2 / c1
        flat = self.flat
        arrays = [x[start:stop] for x in (flat.data, flat.collect(), self.m, self.v)]
        updates.adamw(*arrays, flat.decay_bounds(), start, rates, scale, found, clip)

    def step_if_finite(
        self, lr: float, loss: np.ndarray, factor: float, clip: float
    ) -> tuple[float, float, bool] | None:
        """One step of all elements on a GPU, unless loss or gradient is not finite: the device
        decides, and the host waits for it once, when all is done.

        loss     0-d array of the gradient's dtype
        factor   on the loss, on the gradient and so on its norm
        clip     largest norm; 0: any
        returns  (loss, norm, updated) with the factor in them; None where there is no kernel
        raises   as step()
        """
        flat = self.flat
        gradient = flat.collect()
        if not can_launch(flat.data, gradient, self.m, loss):
            return None
        found = updates.squares(gradient, loss)
        self.t += 1
        self._launch(lr, 0, len(flat), factor, found, clip)
        flat.version[0] += 1
        loss, norm, updated = updates.read(found, factor)
        if not updated:
            self.t -= 1
            if math.isfinite(loss) and math.isfinite(norm):  # a square might overflow
                self.step(lr, scale=factor * clip_factor(norm, clip or math.inf))
                updated = True
        return loss, norm, updated

    def check(self, start: int, stop: int, scale: float) -> None:
        """Raise TrainingError if the square of a gradient overflows.

        v would become infinite and stay so, and its weight would never change again.
        """
        g = self.flat.collect()[start:stop]
        largest = float(np.finfo(self.v.dtype).max)
        # If even the sum of all squares is small enough, each is: one pass in the usual case.
        with np.errstate(over="ignore"):
            total = float(np.dot(g, g)) * scale**2
        if total < largest:
            return
        peak = float(np.max(np.abs(g))) * abs(scale)
        if math.isfinite(peak) and peak > math.sqrt(largest):
            raise TrainingError(
                f"AdamW: a gradient of {peak:.1e} has a square beyond {self.v.dtype}: clip the "
                "gradients (clip_grad_norm), or lower the loss scale"
            )

    def state(self) -> dict[str, np.ndarray | int]:
        """The state for a checkpoint: {"t": steps taken, "m": (n,), "v": (n,)}."""
        return {"t": self.t, "m": self.m, "v": self.v}

    def load_state(self, state: dict[str, np.ndarray | int]) -> None:
        """Restore a state() of the same parameters."""
        self.t = int(state["t"])
        self.m[...] = state["m"]
        self.v[...] = state["v"]


def Adam(
    parameters: Parameters,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> AdamW:
    """Adam as first published: AdamW without weight decay   (Kingma & Ba 2015, algorithm 1)."""
    return AdamW(parameters, lr, betas, eps, weight_decay=0.0)
