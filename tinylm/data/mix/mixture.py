"""Several sources in one stream: web, books, code; large and small languages.

Drawn in proportion to their sizes, small sources hardly count. With a temperature T the probability
of source i is

    p_i = n_i^(1/T) / sum_j n_j^(1/T)

so that T = 1 is proportional and T -> infinity uniform (Conneau et al. 2020, there alpha = 1/T;
book section 2.2.1). A small source with a larger weight is repeated more often: `epochs` computes
how often. Read next: read/shards.py.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError

BLOCK = 1024  # draws from one random stream


def mixture_weights(sizes: Sequence[float], temperature: float = 1.0) -> np.ndarray:
    """The probability of each source.

    sizes        (N,) positive numbers: tokens, bytes or documents
    temperature  T > 0; math.inf is uniform, below 1 the large sources gain
    returns      (N,) float64 that sum to 1
    raises       ConfigError for a size or temperature that is not positive
    """
    sizes = np.asarray(sizes, np.float64)
    if sizes.ndim != 1 or not len(sizes) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ConfigError(
            f"mixture: sizes are {sizes.tolist()}; every source needs a positive number"
        )
    if not temperature > 0:
        raise ConfigError(
            f"mixture: temperature is {temperature}; "
            "it must be positive (1: by size, inf: all alike)"
        )
    # n^(1/T) as exp(log(n) / T), the largest taken out so that a small T does not overflow.
    logs = np.zeros(len(sizes))
    if temperature != math.inf:
        logs = np.log(sizes) / temperature
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def epochs(sizes: Sequence[int], weights: Sequence[float], total: int) -> np.ndarray:
    """How often each source is read if `total` is drawn in all: total * p_i / n_i, (N,) float64."""
    return total * np.asarray(weights, np.float64) / np.asarray(sizes, np.float64)


class MixtureSampler:
    """The source of every draw as a pure function of its number.

    So workers need not communicate, and a run resumes from one integer.

    weights      (N,) positive numbers, in proportion to which sources are drawn at temperature 1
    temperature  see `mixture_weights`
    """

    def __init__(self, weights: Sequence[float], temperature: float = 1.0, seed: int = 0) -> None:
        self.weights, self.seed = mixture_weights(weights, temperature), int(seed)
        self._limits = np.cumsum(self.weights)[:-1]  # without the last, which is 1 up to rounding

    def sources(self, first: int, count: int) -> np.ndarray:
        """The sources of the draws first .. first+count-1. Returns (count,) int64 in 0 .. N - 1."""
        # Random numbers in blocks, each a stream of its own: any draw without those before.
        drawn = [np.empty(0)]
        for block in range(first // BLOCK, math.ceil((first + count) / BLOCK)):
            drawn.append(Random(self.seed, "mixture", block).uniform((BLOCK,), np.float64))
        start = first % BLOCK
        u = np.concatenate(drawn)[start : start + count]
        # Inverting the cumulative distribution: source i where u lies in its i-th interval.
        return np.searchsorted(self._limits, u, side="right")

    def mix(self, makers: Sequence[Callable], first: int = 0) -> Iterator[tuple[int, str]]:
        """Draw documents without end; a source starts over at its end.

        makers   list of N functions () -> iterable of documents
        first    draws to skip: the stream continues as if it had yielded them
        yields   (source, document)
        raises   ConfigError if a source that is drawn has no document
        """
        if len(makers) != len(self.weights):
            raise ConfigError(f"mixture: {len(makers)} sources for {len(self.weights)} weights")
        streams = [iter(()) for _ in makers]
        for block in itertools.count():
            sources = self.sources(BLOCK * block, BLOCK).tolist()
            for at, source in enumerate(sources, BLOCK * block):
                document = next(streams[source], None)
                if document is None:  # at its end, or not yet begun
                    streams[source] = iter(makers[source]())
                    document = next(streams[source], None)
                    if document is None:
                        raise ConfigError(
                            f"mixture: source {source} has no document: take it out of the mixture"
                        )
                if at >= first:
                    yield source, document
