"""Muon: momentum whose singular values are all made 1, for the matrices of hidden layers   (Jordan
2024).

A gradient of a matrix W (r, c) is dominated by a few directions: a few singular values are large,
and what the others say is lost beside them. With M = U S V^T the momentum, Muon moves W along its
polar factor U V^T, in which every direction counts the same. Of all matrices of spectral norm 1 it
is the one along which the loss falls fastest (Bernstein & Newhouse 2024). A singular value
decomposition is slow; a few products of matrices do (`newton_schulz`). Embeddings, vectors and
output tables are updated by AdamW: a row of a table is read alone, so there is no map to make
orthogonal.

Read first: adam.py. Read next: schedule.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm.errors import ConfigError
from tinylm.optim.adam import AdamW
from tinylm.optim.flat import FlatParameters

# Coefficients (a, b, c) of each iteration X <- a X + b (X X^T) X + c (X X^T)^2 X, the polynomials
# that come closest to 1 on all of [0.001, 1] after so many iterations (Amsel et al. 2025, Polar
# Express, algorithm 1); beyond the fourth they hold what is there.
POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.875, -1.25, 0.375),
)
# The same polynomial each time, with a steep slope at 0: singular values end in [0.7, 1.2] (Jordan
# 2024).
JORDAN = ((3.4445, -4.7750, 2.0315),) * 5
# Floating-point operations that take as long as AdamW's dozen on one element, which wait for memory
# (measured: 0.8 ns an element, 50 operations of a matrix product per ns).
ADAMW_COST = 40
# A float32 norm may be a little too small: the first polynomial is meant for values up to 1.
SAFETY = 1.01


def newton_schulz(
    matrices: np.ndarray, coefficients: Sequence[tuple[float, float, float]] = POLAR_EXPRESS
) -> np.ndarray:
    """The polar factors U V^T of matrices U S V^T, nearly.

    An odd polynomial p(X) = a X + b (X X^T) X + c (X X^T)^2 X changes the singular values alone:
    p(U S V^T) = U p(S) V^T. Iterated, it takes all of (0, 1] close to 1.

    matrices      (..., r, c), each with any scale; a matrix of zeros stays one
    coefficients  (a, b, c) of each iteration
    returns       (..., r, c)
    """
    X = matrices
    wide = X.shape[-2] <= X.shape[-1]
    if not wide:  # X X^T is the smaller product
        X = X.swapaxes(-1, -2)
    # By the largest entry first: the squares of 1e-24 are 0 in float32, and those of 1e20 infinite.
    # The momentum of an expert that no token reaches shrinks by mu in every step, and gets there.
    tiny = np.finfo(X.dtype).tiny
    X = X / np.maximum(abs(X).max(axis=(-2, -1), keepdims=True), tiny)
    # The Frobenius norm is no less than the largest singular value, so all are in [0, 1] now.
    norm = np.sqrt((X * X).sum(axis=(-2, -1), keepdims=True))
    X /= np.maximum(norm * SAFETY, tiny)
    for a, b, c in coefficients:
        A = X @ X.swapaxes(-1, -2)  # (..., m, m) with m = min(r, c)
        X = a * X + (b * A + c * (A @ A)) @ X
    return X if wide else X.swapaxes(-1, -2)


class Muon(AdamW):
    """Muon for some matrices, AdamW for all other parameters.

        M <- mu M + (1 - mu) g                             running mean of the gradient, as AdamW's
        O  = newton_schulz(mu M + (1 - mu) g)              with a look ahead (Nesterov)
        W <- (1 - rate weight_decay) W
        W <- W - rate 0.2 sqrt(max(r, c)) O                with rate = lr times matrix_rate

    O has a root mean square of 1/sqrt(max(r, c)), so an update has one of 0.2 rate, which is about
    AdamW's (Liu et al. 2025, section 2.2).

    parameters    FlatParameters, or a dict or list of Tensors
    matrices      names of the parameters (in a FlatParameters' names) that Muon updates; each has
                  two axes (r, c), or three, (n, r, c), for n matrices
    lr            learning rate of AdamW's parameters, per step; may be given to each step() instead
    matrix_rate   the rate of matrices is this times lr
    momentum      mu
    coefficients  of newton_schulz
    betas, eps    of AdamW
    weight_decay  of both, with the rate of each
    raises        ConfigError for a name that is no matrix of `parameters`

    An update may be of a slice that cuts no matrix: bounds().
    """

    step_if_finite = None  # AdamW's, whose kernel knows no matrices

    def __init__(
        self,
        parameters: FlatParameters,
        matrices: Sequence[str],
        lr: float = 1e-3,
        matrix_rate: float = 5.0,
        momentum: float = 0.95,
        coefficients: Sequence[tuple[float, float, float]] = POLAR_EXPRESS[:5],
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)
        self.matrix_rate, self.momentum = matrix_rate, momentum
        self.coefficients = coefficients
        flat, matrices = self.flat, set(matrices)
        shapes = {name: p.shape for name, p in zip(flat.names, flat.tensors)}
        wrong = sorted(name for name in matrices if len(shapes.get(name, ())) < 2)
        if wrong:
            raise ConfigError(
                f"Muon: {', '.join(wrong)}: not a matrix among the parameters that are trained"
            )
        # (start, stop, shape) of each matrix in the flat buffer, in its order.
        self.matrices = [
            (start, start + p.size, p.shape)
            for name, p, start in zip(flat.names, flat.tensors, flat.offsets)
            if name in matrices
        ]

    def bounds(self, workers: int) -> list[int]:
        """How workers share an update: (workers + 1) indices of the flat buffer, from 0 to n; none
        cuts a matrix, and the arithmetic of all parts is about the same.
        """
        n = len(self.flat)
        cuts, costs = [0], [0.0]  # where the buffer may be cut, and the arithmetic up to there
        at = 0
        for start, stop, shape in [*self.matrices, (n, n, (0, 0))]:
            for cut in np.linspace(at, start, 9)[1:].astype(int).tolist():  # AdamW's elements
                costs.append(costs[-1] + ADAMW_COST * (cut - cuts[-1]))
                cuts.append(cut)
            if stop > start:
                costs.append(costs[-1] + self._operations(shape))
                cuts.append(stop)
            at = stop
        wanted = np.linspace(0, costs[-1], workers + 1)
        found = [cuts[int(np.argmin(np.abs(np.array(costs) - cost)))] for cost in wanted]
        return [0, *found[1:-1], n]

    def _operations(self, shape):
        """Floating-point operations of newton_schulz on a matrix, or on several."""
        *several, r, c = shape
        small, large = sorted((r, c))
        one = 4 * small**2 * large + 2 * small**3  # X X^T, its square, and the product with X
        return math.prod(several) * len(self.coefficients) * one

    def update(self, lr: float, start: int, stop: int, scale: float) -> None:
        """One step of elements start .. stop-1, which must cut no matrix."""
        gradient = self.flat.collect()
        self.t += 1
        inside = [m for m in self.matrices if start < m[1] and m[0] < stop]
        at = start
        for low, high, _ in inside:
            if low < start or high > stop:
                raise ConfigError(
                    f"Muon: the update of {start} .. {stop} cuts the matrix at {low} .. {high}: "
                    "share the buffer by bounds()"
                )
            self._update_range(gradient, lr, at, low, scale)
            at = high
        self._update_range(gradient, lr, at, stop, scale)
        by_shape = {}
        for low, high, shape in inside:
            by_shape.setdefault(shape, []).append(slice(low, high))
        for shape, parts in by_shape.items():
            self._update_matrices(gradient, lr * self.matrix_rate, shape, parts, scale)

    def _update_matrices(self, gradient, rate, shape, parts, scale):
        """Muon's update of matrices of one shape; parts are their slices of the buffer."""
        theta, mu = self.flat.data, self.momentum
        ahead = np.empty_like(self.m, shape=(len(parts), *shape))
        for part, into in zip(parts, ahead):
            g, m = gradient[part], self.m[part]
            # M <- mu M + (1 - mu) g, then mu M + (1 - mu) g again
            m *= mu
            step = np.multiply(g, (1 - mu) * scale, dtype=m.dtype)
            m += step
            into.reshape(-1)[...] = m
            into *= mu
            into.reshape(-1)[...] += step
        # All of a shape in one call: each product is of a stack of matrices.
        directions = newton_schulz(ahead, self.coefficients)
        directions *= rate * 0.2 * math.sqrt(max(shape[-2:]))
        for part, direction in zip(parts, directions):
            w = theta[part]
            w *= 1 - rate * self.weight_decay
            np.subtract(w, direction.reshape(-1), out=w, casting="same_kind")
