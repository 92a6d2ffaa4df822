"""Estimating a law from runs: Huber's loss on log losses, from many starts at once   (book section
2.2.4; Hoffmann et al. 2022).

Errors of a loss are relative, so laws are compared in logs; one diverged run must not bend the law,
so large residuals count linearly (Huber). In logs the sum of power terms is a logsumexp: with
theta = (a, b, e) and so on,

    log(A N^-alpha + B D^-beta + E) = logsumexp(log A - alpha log N, log B - beta log D, log E).

The objective has many local minima, so a grid of starts descends together: every step is one batch
of small linear systems. The step is Levenberg-Marquardt's on weighted squares that lie above
Huber's loss and touch it at the present residual, weight min(1, delta/|r|). A step that does not
lower the loss is undone and damped more, so no start ever gets worse. Derivatives are written by
hand here and compared with tinylm.autograd in the tests. Read next: intervals.py.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError

DELTA = 1e-3  # Hoffmann et al. 2022: relative errors above a thousandth count linearly


@dataclass(frozen=True)
class Law:
    """A law in the form that is fitted: P numbers theta, k sizes, in logarithms.

    names      of the numbers in theta
    log_loss   (theta (S, P), logs (n, k)) -> (log losses (S, n), their derivatives (S, n, P)); logs
               are of the sizes
    starts     (logs (n, k), log losses (n,)) -> (S, P): starting points
    read       theta (P,) -> dict of the law's own numbers
    """

    names: tuple
    log_loss: object
    starts: object
    read: object


@dataclass(frozen=True)
class Fit:
    """A law with its numbers. Calling it with sizes (n,), one array for each column, gives losses
    (n,).

    theta       (P,)
    logs        (n, k) of the sizes, and log_losses (n,) that it was fitted to
    objective   mean of Huber's loss there
    """

    law: Law
    theta: np.ndarray
    logs: np.ndarray
    log_losses: np.ndarray
    objective: float

    def __call__(self, *sizes: ArrayLike) -> np.ndarray:
        return np.exp(self.log_loss(*sizes)[0])

    def log_loss(self, *sizes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(log losses (n,), derivatives by theta (n, P)) at sizes, each (n,)."""
        y, J = self.law.log_loss(self.theta[None], columns(*sizes))
        return y[0], J[0]

    @property
    def residuals(self) -> np.ndarray:
        """log(measured / fitted), (n,)."""
        return self.log_losses - self.law.log_loss(self.theta[None], self.logs)[0][0]

    @property
    def numbers(self) -> dict[str, Any]:
        """The law's own numbers by name."""
        return self.law.read(self.theta)


def columns(*sizes: ArrayLike) -> np.ndarray:
    """Logs of sizes side by side: k times (n,) or numbers -> (n, k).

    raises   ShapeError if they differ in length or are not positive
    """
    arrays = [np.atleast_1d(np.asarray(s, float)) for s in sizes]
    try:
        x = np.stack(np.broadcast_arrays(*arrays), axis=-1)
    except ValueError:
        shapes = [np.shape(s) for s in sizes]
        raise ShapeError(
            f"columns: sizes have shapes {shapes}: give one number for each run"
        ) from None
    if x.ndim != 2 or not np.all(x > 0):
        raise ShapeError(
            f"columns: sizes must be positive numbers in a row, got shape {x.shape[:-1]}, "
            f"smallest {x.min()}"
        )
    return np.log(x)


def huber(r: np.ndarray, delta: float) -> np.ndarray:
    """r^2 / 2 up to delta, then delta (|r| - delta/2): continuous with its slope   (Huber 1964)"""
    size = np.abs(r)
    return np.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))


def fit_law(
    law: Law,
    sizes: ArrayLike,
    losses: np.ndarray,
    delta: float = DELTA,
    starts: np.ndarray | None = None,
    steps: int = 300,
    keep: int = 8,
) -> Fit:
    """Estimate a law.

    law      Law
    sizes    a tuple of one array (n,) for each size of the law; of a single size the array
    losses   (n,) in nats, positive
    delta    where Huber's loss turns linear, in log units; np.inf for least squares
    starts   (S, P); the law's own grid if None. All take some steps by least squares, the best
             `keep` go on by Huber's loss
    returns  Fit
    raises   ShapeError; ConfigError if there are fewer runs than numbers to estimate
    """
    if not isinstance(sizes, tuple):
        sizes = (sizes,)
    logs = columns(*sizes)  # (n, k)
    losses = np.asarray(losses, float)
    if losses.shape != logs.shape[:1] or not np.all(losses > 0):
        raise ShapeError(
            f"fit_law: {losses.shape} losses for {len(logs)} runs: give one positive loss for each"
        )
    if len(losses) < len(law.names):
        raise ConfigError(
            f"fit_law: {len(losses)} runs cannot determine {len(law.names)} numbers "
            f"({', '.join(law.names)}): add runs"
        )
    y = np.log(losses)
    if starts is None:
        starts = law.starts(logs, y)
    theta = np.atleast_2d(np.asarray(starts, float))  # (S, P)
    # Least squares is smooth and comes near quickly; Huber's loss then drops the outliers' pull.
    theta, cost = descend(law, theta, logs, y[None], np.inf, 20)
    theta = theta[np.argsort(cost, kind="stable")[:keep]]
    theta, cost = descend(law, theta, logs, y[None], delta, steps)
    best = int(np.argmin(cost))
    return Fit(law, theta[best], logs, y, float(cost[best]))


def descend(
    law: Law,
    theta: np.ndarray,
    logs: np.ndarray,
    y: np.ndarray,
    delta: float = DELTA,
    steps: int = 300,
    weights: np.ndarray | None = None,
    tolerance: float = 1e-12,
) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg-Marquardt from every start at once.

    theta    (S, P)
    logs     (n, k)
    y        (S, n) or (1, n) log losses: each start may have data of its own
    weights  (S, n) how often each run counts, or None for once each
    returns  (theta (S, P), mean Huber loss (S,)), none worse than at its start
    """
    theta = theta.copy()
    y = np.broadcast_to(y, (len(theta), len(logs)))
    counts = weights
    if counts is None:
        counts = np.ones_like(y)
    total = counts.sum(-1)

    def cost_of(r, going):
        cost = np.sum(counts[going] * huber(r, delta), axis=-1) / total[going]
        return np.where(np.isfinite(cost), cost, np.inf)

    with np.errstate(all="ignore"):
        going = np.arange(len(theta))  # the starts that still move
        fitted, J = law.log_loss(theta, logs)
        r = y - fitted
        cost, damping = cost_of(r, going), np.full(len(theta), 1e-3)
        final = cost.copy()
        for _ in range(steps):
            w = counts[going] * np.minimum(1, delta / np.maximum(np.abs(r), 1e-300))  # (s, n)
            tried = theta[going] + _damped_step(J, r, w, damping)  # for the s of S that still move
            fitted, J_new = law.log_loss(tried, logs)
            r_new = y[going] - fitted
            cost_new = cost_of(r_new, going)
            # Accepted where the loss falls, with less damping next time; undone elsewhere.
            better = cost_new < cost
            theta[going[better]] = tried[better]
            gain = np.where(better, cost - cost_new, 0)
            r = np.where(better[:, None], r_new, r)
            J = np.where(better[:, None, None], J_new, J)
            cost = np.where(better, cost_new, cost)
            damping = np.where(better, np.maximum(damping / 5, 1e-12), damping * 4)
            final[going] = cost
            # Done: nothing was gained by a step, or no step however short gains anything.
            moving = ~((gain <= tolerance * cost) & (better | (damping > 1e8)) | (cost < 1e-30))
            if not moving.any():
                break
            going = going[moving]
            r = r[moving]
            J = J[moving]
            cost = cost[moving]
            damping = damping[moving]
    return theta, final


def _damped_step(J, r, w, damping):
    """The step with (J^T W J + damping * diag) step = J^T W r, (s, P), for each of s starts.

    J (s, n, P), residuals r and weights w (s, n), damping (s,); a run without a finite residual
    does not count.
    """
    w = np.where(np.isfinite(r), w, 0)
    JW = (np.nan_to_num(J) * w[..., None]).swapaxes(1, 2)  # (s, n, P) -> (s, P, n)
    H = JW @ np.nan_to_num(J)  # (s, P, P)
    gradient = JW @ np.nan_to_num(r)[..., None]  # (s, P, 1)
    # The small terms keep the system solvable where a number has no influence.
    trace = np.trace(H, axis1=1, axis2=2)[:, None]
    diagonal = np.einsum("spp->sp", H) + 1e-12 * trace + 1e-300  # (s, P)
    damped = damping[:, None, None] * diagonal[:, :, None] * np.eye(J.shape[-1])
    return np.linalg.solve(H + damped, gradient)[..., 0]


def sum_of_powers(*terms: int | None) -> Law:
    """The law log L = logsumexp over t of (log A_t - alpha_t log x_t): eqs. (2.36) to (2.39).

    terms    the column of sizes of each term, None for a constant: (0,) is (2.36), (0, None) is
             (2.37), (0, 1, None) is (2.38) and (2.39)
    returns  Law; its numbers are A, alpha for each column (B, beta for the second, ...) and E for
             the constant
    """
    letters = [("A", "alpha"), ("B", "beta"), ("C", "gamma")]
    names, places = [], []  # places: where the numbers of each term begin in theta
    for t in terms:
        places.append(len(names))
        if t is None:
            names.append("log E")
        else:
            names += [f"log {letters[t][0]}", letters[t][1]]
    names = tuple(names)

    def log_loss(theta, logs):
        parts = np.empty((len(terms), len(theta), len(logs)))  # (terms, S, n)
        for part, t, p in zip(parts, terms, places):
            part[...] = theta[:, p, None]
            if t is not None:
                part -= theta[:, p + 1, None] * logs[:, t]
        top = parts.max(0)
        share = np.exp(parts - top)
        whole = share.sum(0)
        share /= whole  # d logsumexp / d part: this term's share of the loss
        J = np.empty((*top.shape, len(names)))
        for s, t, p in zip(share, terms, places):
            J[..., p] = s
            if t is not None:
                J[..., p + 1] = -s * logs[:, t]
        return top + np.log(whole), J

    def starts(logs, y):
        # Each term starts as some share of the loss at the middle of the data, with some slope.
        middle, level = logs.mean(0), np.median(y)
        at = [level + np.log(share) for share in (0.03, 0.3, 0.9)]
        constants = [(a,) for a in at]
        choices = []
        for t in terms:
            powers = constants
            if t is not None:
                slopes = itertools.product(at, (0.05, 0.2, 0.5, 1.0))
                powers = [(a + slope * middle[t], slope) for a, slope in slopes]
            choices.append(powers)
        return np.array([sum(each, ()) for each in itertools.product(*choices)])

    def read(theta):
        numbers = {}
        for name, value in zip(names, theta):
            if name.startswith("log "):
                name, value = name.removeprefix("log "), np.exp(value)
            numbers[name] = float(value)
        return numbers

    return Law(names, log_loss, starts, read)


POWER = sum_of_powers(0)  # A N^-alpha
OFFSET = sum_of_powers(0, None)  # A N^-alpha + E
JOINT = sum_of_powers(0, 1, None)  # A N^-alpha + B D^-beta + E
