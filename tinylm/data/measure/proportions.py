"""The share of correct answers, and the chance that one of k attempts is correct.

A share of n answers has a standard error of up to 0.5 / sqrt(n): 100 questions cannot tell 70 %
from 75 %. Wilson's interval (1927) keeps its level near 0 and 1, where the usual one, p - z s to
p + z s with s = sqrt(p (1 - p) / n), is empty. pass@k: Chen et al. 2021. Read next: calibration.py.
"""

from collections.abc import Iterable, Sequence
from math import comb, sqrt
from statistics import NormalDist

from tinylm.errors import ConfigError, DataError


def wilson_interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of all theta with |right / n - theta| <= z sqrt(theta (1 - theta) / n).

    right, count  correct answers, and all of them (n)
    level         the probability with which the interval holds the true share
    returns       (low, high), in 0 .. 1
    raises        DataError for counts that do not fit, ConfigError for a level outside (0, 1)
    """
    if not 0 <= right <= count or count == 0:
        raise DataError(
            f"wilson_interval: {right} of {count} answers are no share: needs 1 or more"
        )
    if not 0 < level < 1:
        raise ConfigError(f"wilson_interval: level {level} must lie between 0 and 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, shrink = right / count, z * z / count
    # The roots of (p - theta)^2 = z^2 theta (1 - theta) / n, a quadratic in theta.
    center = (p + shrink / 2) / (1 + shrink)
    half = z * sqrt(p * (1 - p) / count + shrink / (4 * count)) / (1 + shrink)
    # Rounding must not put p outside: of 0 right answers the lower end is 0.
    return max(0.0, min(p, center - half)), min(1.0, max(p, center + half))


def accuracy_interval(correct: Sequence[int], level: float = 0.95) -> tuple[float, float, float]:
    """(accuracy, low, high) of answers that are right or wrong, by Wilson's interval.

    correct  sequence of bool, at least one
    """
    right, count = sum(map(bool, correct)), len(correct)
    low, high = wilson_interval(right, count, level)
    return right / count, low, high


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that k of the samples, drawn without replacement, have a right one.

        pass@k = 1 - C(n - c, k) / C(n, k)

    With n >= k samples of a problem this is an unbiased estimate of 1 - (1 - p)^k, where p is the
    unknown chance of one sample (Chen et al. 2021).

    samples, right, k  n, c and k
    raises             DataError for counts that do not fit; ConfigError for k outside 1 .. n
    """
    if not 0 <= right <= samples:
        raise DataError(f"pass_at_k: {right} right ones of {samples} samples")
    if not 1 <= k <= samples:
        raise ConfigError(f"pass_at_k: k = {k} needs 1 to {samples} samples: draw more")
    return 1 - comb(samples - right, k) / comb(samples, k)


def mean_pass_at_k(counts: Iterable[tuple[int, int]], k: int) -> float:
    """The mean of pass@k over problems.

    counts  (samples, right) of each problem, at least one
    """
    counts = list(counts)
    if not counts:
        raise DataError("mean_pass_at_k: no problem is there")
    return sum(pass_at_k(samples, right, k) for samples, right in counts) / len(counts)
