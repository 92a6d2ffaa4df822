"""The uncertainty of a fitted law: intervals for its numbers, and for a run that has not been made.

Two ways. The delta method treats the law as linear near the fit: the covariance of theta is
s^2 (J^T J)^-1, with s^2 the mean square of the residuals, and Student's t accounts for the
unknown spread. The bootstrap draws runs with replacement and fits again (Efron 1979): it needs no
linearity, but more runs than the law has numbers. A confidence interval is about the law; a
prediction interval is about one new run, and includes the noise of a run. Both assume that the law
holds where one extrapolates, which no interval can show. Read next: chinchilla.py.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.train.scaling.fits import Fit, columns, descend


def covariance(fit: Fit) -> tuple[np.ndarray, float]:
    """(covariance of theta (P, P), variance of a run's log loss): s^2 (J^T J)^-1 and s^2 = sum r^2
    / (n - P).

    raises   ConfigError if there are no more runs than numbers: no residual is left to estimate
             the spread from
    """
    n, P = len(fit.log_losses), len(fit.theta)
    if n <= P:
        raise ConfigError(
            f"covariance: {n} runs for {P} numbers leave nothing to estimate the spread from: "
            "add runs"
        )
    J = fit.law.log_loss(fit.theta[None], fit.logs)[1][0]  # (n, P)
    s2 = float(np.sum(fit.residuals**2)) / (n - P)
    return s2 * np.linalg.pinv(J.T @ J), s2


def confidence(fit: Fit, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Delta-method intervals for the law's numbers.

    returns  {name: (low, high)}; of a number that theta holds as a logarithm the number itself
    """
    cov, _ = covariance(fit)  # (P, P)
    freedom = len(fit.log_losses) - len(fit.theta)
    width = t_quantile(0.5 + level / 2, freedom) * np.sqrt(np.diag(cov))  # (P,)
    intervals = {}
    for name, value, w in zip(fit.law.names, fit.theta, width):
        ends = np.array([value - w, value + w])
        if name.startswith("log "):
            name = name.removeprefix("log ")
            with np.errstate(over="ignore"):
                ends = np.exp(ends)
        intervals[name] = (float(ends[0]), float(ends[1]))
    return intervals


def prediction(
    fit: Fit, *sizes: float, level: float = 0.95, runs: float = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delta-method interval for new runs.

    sizes    one array (m,) or number for each size of the law
    runs     how many runs are averaged at each place; np.inf for the law itself: a confidence
             interval
    returns  (prediction, low, high), each (m,)
    """
    y, J = fit.log_loss(*sizes)  # (m,), (m, P)
    cov, s2 = covariance(fit)
    # The variance of the law at each place, J cov J^T, and that of a mean of runs.
    spread = np.sqrt(np.einsum("np,pq,nq->n", J, cov, J) + s2 / runs)
    freedom = len(fit.log_losses) - len(fit.theta)
    width = t_quantile(0.5 + level / 2, freedom) * spread
    return np.exp(y), np.exp(y - width), np.exp(y + width)


def bootstrap(
    fit: Fit,
    delta: float,
    resamples: int = 200,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
    steps: int = 150,
) -> np.ndarray:
    """Fits to runs drawn with replacement, all at once, each starting from the fit to all runs.

    delta    of Huber's loss, as in the fit
    groups   (n,) labels of runs that are drawn together, for example the model whose curve gave
             several runs; None: every run by itself
    returns  theta (resamples, P)
    """
    if groups is None:
        groups = np.arange(len(fit.log_losses))
    names, members = np.unique(np.asarray(groups), return_inverse=True)  # (n,): group of each run
    drawn = Random(seed, "bootstrap").integers(0, len(names), (resamples, len(names)))
    times = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    times = times[:, members].astype(float)  # (resamples, groups) -> (resamples, n)
    theta = np.repeat(fit.theta[None], resamples, axis=0)
    y = fit.log_losses[None]
    return descend(fit.law, theta, fit.logs, y, delta, steps, times, 1e-9)[0]


def bootstrap_prediction(
    fit: Fit, thetas: np.ndarray, *sizes: float, level: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Percentile interval for one new run: resampled laws plus a residual drawn for each, widened
    by sqrt(n / (n - P)).

    thetas   (R, P) of bootstrap()
    returns  (prediction, low, high), each (m,)
    """
    n, P = len(fit.log_losses), len(fit.theta)
    if n <= P:
        raise ConfigError(
            f"bootstrap_prediction: {n} runs for {P} numbers leave no residual to draw: add runs"
        )
    y = fit.law.log_loss(thetas, columns(*sizes))[0]  # (R, m)
    which = Random(seed, "residuals").integers(0, n, y.shape)
    # Residuals of a fit are too small: sum r^2 is (n - P) / n of what the true errors' is.
    noise = fit.residuals[which] * math.sqrt(n / (n - P))
    low, high = np.quantile(y + noise, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return fit(*sizes), np.exp(low), np.exp(high)


@functools.lru_cache
def t_quantile(p: float, dof: int) -> float:
    """The p-quantile of Student's t with `dof` degrees of freedom, by bisection."""
    if p < 0.5:
        return -t_quantile(1 - p, dof)  # the distribution is symmetric
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        if _t_below(middle, dof) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_below(t, dof):
    """P(T < t) for t >= 0, by Gauss-Legendre integration of the density."""
    # With x = tan(a) sqrt(dof) the density becomes cos(a)^(dof-1) Gamma((dof+1)/2) / (sqrt(pi)
    # Gamma(dof/2)), from a = 0 to atan(t / sqrt(dof)).
    nodes, weights = np.polynomial.legendre.leggauss(64)  # on [-1, 1]
    angle = math.atan(t / math.sqrt(dof))
    area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (dof - 1))
    constant = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2))
    return 0.5 + area * constant / math.sqrt(math.pi)
