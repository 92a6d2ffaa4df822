"""How sure one may be of a fitted law: intervals for its numbers, and for a run that has not been
made.

Two ways. The delta method takes the law as straight near the fit: the covariance of theta is s^2
(J^T J)^-1, with s^2 the mean square of the residuals, and Student's t stands in for the unknown
spread. The bootstrap draws runs with replacement and fits again (Efron 1979): no straightness, but
it needs more runs than the law has numbers. A confidence interval is about the law; a prediction
interval is about one new run, and has the noise of a run in it. Both suppose that the law holds
where one extrapolates, which no interval can know. Read next: chinchilla.py.
"""

import functools
import math

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.train.scaling.fits import columns, descend


def covariance(fit):
    """(covariance of theta (P, P), variance of a run's log loss): s^2 (J^T J)^-1 and s^2 = sum r^2
    / (n - P).

    raises   ConfigError if the runs are no more than the numbers, so that nothing is left to tell
             the spread
    """
    n, P = len(fit.log_losses), len(fit.theta)
    if n <= P:
        raise ConfigError(
            f"covariance: {n} runs for {P} numbers leave nothing to estimate the spread from: add runs"
        )
    J = fit.law.log_loss(fit.theta[None], fit.logs)[1][0]
    s2 = float(np.sum(fit.residuals**2)) / (n - P)
    return s2 * np.linalg.pinv(J.T @ J), s2


def confidence(fit, level=0.95):
    """Delta-method intervals for the law's numbers: name in theta -> (low, high), logs undone where
    the name says log.
    """
    cov, _ = covariance(fit)
    width = t_quantile(0.5 + level / 2, len(fit.log_losses) - len(fit.theta)) * np.sqrt(
        np.diag(cov)
    )
    ends = {}
    for name, value, w in zip(fit.law.names, fit.theta, width):
        logged = name.startswith("log ")
        with np.errstate(over="ignore"):
            ends[name.removeprefix("log ")] = tuple(
                float(np.exp(v) if logged else v) for v in (value - w, value + w)
            )
    return ends


def prediction(fit, *sizes, level=0.95, runs=1):
    """Delta-method interval for new runs.

    sizes    one array (m,) or number for each size of the law
    runs     how many runs are averaged at each place; np.inf for the law itself: a confidence
             interval
    returns  (prediction, low, high), each (m,)
    """
    y, J = fit.log_loss(*sizes)
    cov, s2 = covariance(fit)
    spread = np.sqrt(np.einsum("np,pq,nq->n", J, cov, J) + s2 / runs)
    width = t_quantile(0.5 + level / 2, len(fit.log_losses) - len(fit.theta)) * spread
    return np.exp(y), np.exp(y - width), np.exp(y + width)


def bootstrap(fit, delta, resamples=200, seed=0, groups=None, steps=150):
    """Fits to runs drawn with replacement, all at once, each starting from the fit to all runs.

    delta    of Huber's loss, as the fit had it
    groups   (n,) what is drawn together, for example the models whose curves gave several runs
             each; None: every run by itself
    returns  theta (resamples, P)
    """
    names, members = np.unique(
        np.arange(len(fit.log_losses)) if groups is None else np.asarray(groups),
        return_inverse=True,
    )
    drawn = Random(seed, "bootstrap").integers(0, len(names), (resamples, len(names)))
    times = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])[
        :, members
    ]  # (resamples, n)
    theta = np.repeat(fit.theta[None], resamples, axis=0)
    return descend(
        fit.law, theta, fit.logs, fit.log_losses[None], delta, steps, times.astype(float), 1e-9
    )[0]


def bootstrap_prediction(fit, thetas, *sizes, level=0.95, seed=0):
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
    noise = fit.residuals[Random(seed, "residuals").integers(0, n, y.shape)] * math.sqrt(
        n / (n - P)
    )
    low, high = np.quantile(y + noise, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return fit(*sizes), np.exp(low), np.exp(high)


@functools.lru_cache
def t_quantile(p, dof):
    """The p-quantile of Student's t with `dof` degrees of freedom, by halving an interval of its
    distribution function.
    """
    low, high = 0.0, 1e4
    if p < 0.5:
        return -t_quantile(1 - p, dof)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, dof) < p else (low, middle)
    return (low + high) / 2


def _t_below(t, dof):
    """P(T < t) for t >= 0: with x = tan(a) sqrt(dof) the density becomes cos(a)^(dof-1), integrated
    by Gauss-Legendre.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    angle = math.atan(t / math.sqrt(dof))
    area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (dof - 1))
    return 0.5 + area * math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(
        math.pi
    )
