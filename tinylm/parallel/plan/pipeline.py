"""Pipelines: how long a schedule takes, and how much of it is idle.

With p stages and m micro-batches of forward plus backward time u, 1F1B and GPipe take
(m + p - 1) u, of which (p - 1) / (m + p - 1) is idle   (book section 2.2.3). Interleaving gives
each rank v smaller parts, and filling and draining take 1 / v of the time   (Narayanan et al.
2021). Stages are unequal in fact, since the last has the output layer: the slowest sets the pace.
Read next: step.py.
"""

import numpy as np

from tinylm.backend import ArrayLike


def schedule_seconds(
    slowest: ArrayLike, all_stages: ArrayLike, micro_batches: ArrayLike, chunks: ArrayLike = 1
) -> np.ndarray | float:
    """Seconds of a pipeline from its stages' times for one micro-batch, forward and backward.

    slowest      of the stages;  all_stages: their sum
    returns      m slowest + (all_stages - slowest) / v; for equal stages (m + (p - 1) / v) u
    """
    return micro_batches * slowest + (all_stages - slowest) / chunks


def bubble(stages: int, micro_batches: int, chunks: int = 1) -> float:
    """Idle share of equal stages: (p - 1) / (v m + p - 1)."""
    fill = np.asarray(stages) - 1
    return fill / (np.asarray(chunks) * micro_batches + fill)
