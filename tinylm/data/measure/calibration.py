"""Calibration: of the answers given with confidence 0.8, are 80 % correct?   (Guo et al. 2017)

Answers are grouped by their confidence; the expected calibration error is the mean gap between
confidence and accuracy over the groups. Groups of equal width (the usual definition) may hold very
few answers, groups of equal size may not (Nixon et al. 2019). Read next: answers.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError


def _checked(confidence, correct, bins):
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(correct):
        raise DataError(
            f"calibration: confidences of shape {confidence.shape} for answers of shape "
            f"{correct.shape}: give one each, at least one"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise DataError("calibration: a confidence must be a probability, from 0 to 1")
    if bins < 1:
        raise ConfigError(f"calibration: {bins} bins: give 1 or more")
    return confidence, correct


def reliability(
    confidence: ArrayLike, correct: Sequence[bool], bins: int = 15
) -> list[tuple[int, float, float]]:
    """The groups of equal width ((i - 1)/M, i/M], of which 0 belongs to the first.

    confidence  (N,) probabilities that the answers are right;  correct  (N,) bool
    bins        M
    returns     list of (count, mean confidence, accuracy) of every group that is not empty
    raises      DataError for what is no probability, or not one for each answer
    """
    confidence, correct = _checked(confidence, correct, bins)
    edges = np.arange(1, bins) / bins
    group = np.searchsorted(edges, confidence, side="left")  # (N,), 0 .. M-1
    return [_row(confidence, correct, group == i) for i in range(bins) if (group == i).any()]


def adaptive_reliability(
    confidence: ArrayLike, correct: Sequence[int], bins: int = 15
) -> list[tuple[int, float, float]]:
    """As `reliability`, in groups of equal size (to one) by rank of the confidence."""
    confidence, correct = _checked(confidence, correct, bins)
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return [_row(confidence, correct, part) for part in parts]


def _row(confidence, correct, chosen):
    count = len(correct[chosen])
    return count, float(confidence[chosen].mean()), float(correct[chosen].mean())


def calibration_error(groups: Sequence[tuple[int, float, float]]) -> float:
    """sum of count |accuracy - confidence| / N over groups of `reliability`: 0 .. 1."""
    total = sum(count for count, _, _ in groups)
    return sum(count * abs(right - sure) for count, sure, right in groups) / total


def expected_calibration_error(
    confidence: Sequence[float], correct: Sequence[bool], bins: int = 15
) -> float:
    """The expected calibration error with groups of equal width   (Guo et al. 2017, 15 groups)."""
    return calibration_error(reliability(confidence, correct, bins))
