"""Failures: how often to write a checkpoint, and what share of the time is progress.

With a mean time M between failures of the whole job and C seconds for a checkpoint, an interval tau
of work loses C / tau to checkpoints and about tau / 2 M to work done again; the sum is least at
sqrt(2 C M)   (Young 1974). Failures that come at random in time give the exact expectation, and
Daly's interval nearly minimizes it   (Daly 2006). Book section 2.2.3: the more nodes, the likelier
that one crashes. Read next: efficiency.py.
"""

import numpy as np

from tinylm.backend import ArrayLike

# The Llama 3 Herd of Models (2024), table 5: 419 unexpected
# interruptions in 54 days on 16,384 GPUs.
GPU_HOURS_PER_FAILURE = 54 * 24 * 16384 / 419


def job_seconds_between_failures(
    gpus: int, gpu_hours_per_failure: float = GPU_HOURS_PER_FAILURE
) -> float:
    """M: mean seconds between failures of a job that any of its GPUs ends."""
    return 3600 * gpu_hours_per_failure / gpus


def failure_probability(p: float, nodes: int) -> float:
    """Of at least one of n nodes, each with probability p: 1 - (1 - p)^n."""
    return -np.expm1(nodes * np.log1p(-np.asarray(p, float)))


def young_interval(checkpoint: float, between: float) -> float:
    """sqrt(2 C M): seconds of work between two checkpoints   (Young 1974)."""
    return np.sqrt(2 * checkpoint * between)


def daly_interval(checkpoint: float, between: float) -> np.ndarray:
    """Seconds of work between two checkpoints, to a higher order   (Daly 2006, eq. 37).

    sqrt(2 C M) (1 + sqrt(C / 2 M) / 3 + C / 18 M) - C if C < 2 M, else M.
    """
    C, M = checkpoint, between
    x = np.sqrt(C / (2 * M))
    higher = np.sqrt(2 * C * M) * (1 + x / 3 + x * x / 9) - C
    return np.where(C < 2 * M, higher, M)


def expected_seconds(
    work: float, interval: ArrayLike, checkpoint: float, restart: float, between: float
) -> np.ndarray | float:
    """Expected seconds for `work` seconds of progress   (Daly 2006, eq. 20).

    Each piece of tau + C seconds is begun again until it passes without a failure. Failures are a
    Poisson process, also during a restart of R seconds, so a piece takes
    M e^(R / M) (e^((tau + C) / M) - 1).
    """
    M = between
    with np.errstate(over="ignore"):  # infinite where failures come faster than pieces end
        piece = M * np.exp(restart / M) * np.expm1((interval + checkpoint) / M)
    return work / interval * piece


def goodput(
    interval: float, checkpoint: float, restart: float, between: float
) -> float | np.ndarray:
    """Share of the time that is progress: work over expected seconds, from 0 to 1."""
    return 1 / expected_seconds(1.0, interval, checkpoint, restart, between)
