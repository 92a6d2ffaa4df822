"""When more workers help, in closed form   (book section 2.2.3).

Ideally n workers have n times the throughput. Collectives cost something with every worker, so
there is a number beyond which a step gets slower; and all wait for the slowest. The simple laws
here need no machine; step.py has the detailed ones. Read next: search.py.
"""

import numpy as np

from tinylm.backend import ArrayLike


def efficiency(alone: float, together: float, workers: int) -> float:
    """T_1 / (n T_n): 1 where n workers have n times the throughput of one."""
    return alone / (workers * together)


def ring_seconds(workers: ArrayLike, size: int, latency: float, rate: int) -> np.ndarray | float:
    """Seconds of a ring all-reduce: 2 (n - 1) messages of size / n bytes one after the other.

    latency  seconds of a message before its first byte (alpha);  rate in bytes a second (1 / beta)
    """
    n = np.asarray(workers, float)
    return 2 * (n - 1) * (latency + size / (n * rate))


def data_parallel_seconds(
    workers: ArrayLike, work: float, size: int, latency: float, rate: int
) -> np.ndarray | float:
    """Seconds of a step of a fixed batch: work / n, then a ring all-reduce of the gradients.

    work  seconds of the batch on one worker;  size  bytes of the gradients
    """
    return work / np.asarray(workers, float) + ring_seconds(workers, size, latency, rate)


def most_useful_workers(work: int, size: int, latency: float, rate: int) -> float:
    """The number of workers at which a step is shortest, at least 1.

    It is sqrt((work - 2 size / rate) / (2 latency)): T(n) = work / n + 2 (n - 1) latency +
    2 (1 - 1 / n) size / rate has the derivative -(work - 2 size / rate) / n^2 + 2 latency. Where
    the gradients take longer than half the work, no second worker pays.
    """
    gain = work - 2 * size / rate
    return float(np.sqrt(np.maximum(gain / (2 * latency), 1)))


def break_even_work(workers: int, size: int, latency: float, rate: int) -> float:
    """Seconds of work on one worker at which n workers are as fast as one: below, they are slower.

    work = work / n + ring(n), so work = ring(n) n / (n - 1) = 2 (n latency + size / rate).
    """
    return 2 * (workers * latency + size / rate)


def harmonic(n: int) -> float:
    """H_n = 1 + 1/2 + ... + 1/n."""
    return float(np.sum(1 / np.arange(1, n + 1)))


def straggler_seconds(workers: int, least: int, mean_delay: int) -> float:
    """Expected seconds until the last of n workers is done, each late by an exponential delay.

    A step is as long as its slowest worker: the maximum of n exponential delays has the mean
    H_n mean, which grows as log n.
    """
    return least + harmonic(workers) * mean_delay
