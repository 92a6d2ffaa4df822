"""How many samples does it take? Sample efficiency from a learning curve   (book section 4.2.3).

Fine-tuning on instructions needs few samples beside pre-training. The number at which a curve of
accuracies reaches a level compares two ways to choose them, where the accuracies themselves depend
on how many were bought. Between two points of the curve the logarithm of the number is
interpolated. Read first: quality.py, clusters.py, influence.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.errors import DataError


def samples_to_reach(counts: Sequence[int], accuracies: Sequence[float], level: float) -> float:
    """The number of samples at which the accuracy first reaches `level`: float, inf if it does not.

    counts      (n,) numbers of samples, rising, above 0
    accuracies  (n,) measured with them
    raises      DataError for unequal numbers, none, or counts that do not rise
    """
    counts, accuracies = np.asarray(counts, np.float64), np.asarray(accuracies, np.float64)
    if not len(counts) or counts.shape != accuracies.shape:
        raise DataError(f"samples_to_reach: {counts.shape} counts, {accuracies.shape} accuracies")
    if counts[0] <= 0 or not (np.diff(counts) > 0).all():
        raise DataError(f"samples_to_reach: counts {counts.tolist()} must be above 0 and rise")
    reached = np.flatnonzero(accuracies >= level)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    if i == 0:
        return float(counts[0])
    # From the last point below to the first above, in a straight line over log n.
    share = (level - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
    return float(counts[i - 1] * (counts[i] / counts[i - 1]) ** share)
