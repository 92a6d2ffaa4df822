"""More is not always better: the test error of least squares that rises, peaks and falls again
(book section 2.2.4).

Fit n examples with the first p of d features, by least squares, and by the solution of least norm
when p > n. As p comes near n the fit has just enough freedom to pass through the noise of every
example, and pays for it between them; with more features there are many such fits, and the one of
least norm is tame (Belkin et al. 2019; for networks Nakkiran et al. 2020). For Gaussian features
the expected error has a formula for every p (Breiman & Freedman 1983; Belkin, Hsu & Xu 2020), with
which the measured peak can be compared.
"""

import numpy as np

from tinylm.backend import Random


def expected_risk(n: int, p: int, weights: np.ndarray, noise: float) -> float:
    """Mean squared error on new examples, its own noise included, over draws of n examples with
    Gaussian features.

    n        examples;  p  features used, the first of the d
    weights  (d,) of the truth y = x . weights + noise;  noise  standard deviation
    returns  float; inf for n - 1 <= p <= n + 1, where the mean does not exist
    """
    used = float(np.sum(weights[:p] ** 2))
    left = float(np.sum(weights[p:] ** 2)) + noise**2
    # Features that are left out are noise to the fit. Below n: variance left * p/(n-p-1). Above:
    # the least-norm solution sees only the n directions of the examples, n/p of `used`.
    if p < n - 1:
        return left * (1 + p / (n - p - 1))
    if p > n + 1:
        return used * (1 - n / p) + left * (1 + n / (p - n - 1))
    return np.inf


def measured_risk(
    n: int, p: int, weights: np.ndarray, noise: float, seed: int, tests: int = 400
) -> float:
    """The mean squared error of one least-norm fit to n drawn examples, on `tests` new ones.

    Arguments are those of expected_risk(), which is its mean over many seeds.
    """
    rng = Random(seed, "double descent", n, p)
    d = len(weights)
    x = np.asarray(rng.normal((n + tests, d), np.float64))  # n to fit, the others to test
    y = x @ weights + noise * np.asarray(rng.normal((n + tests,), np.float64))
    # lstsq gives the solution of least norm where there are many, p > n.
    found = np.linalg.lstsq(x[:n, :p], y[:n], rcond=None)[0]
    return float(np.mean((x[n:, :p] @ found - y[n:]) ** 2))
