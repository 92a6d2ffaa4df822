"""Several sources in one stream: web, books, code; English and the languages of which there is
little.

Drawn in proportion to their sizes, small sources hardly count. With a temperature T the chance of
source i is

    p_i = n_i^(1/T) / sum_j n_j^(1/T),

T = 1 being proportional and T -> infinity uniform (Conneau et al. 2020, who write alpha = 1/T; book
section 2.2.1). What a small source gains in weight it pays in repetition: `epochs` says how often
each is read. Read next: read/shards.py.
"""

import itertools
import math

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def mixture_weights(sizes, temperature=1.0):
    """The chance of each source.

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
            f"mixture: temperature is {temperature}; it must be positive (1: by size, inf: all alike)"
        )
    logs = np.log(sizes) / temperature if temperature != math.inf else np.zeros(len(sizes))
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def epochs(sizes, weights, total):
    """How often each source is read through when `total` is drawn from all: total * p_i / n_i.
    Returns (N,) float64.
    """
    return total * np.asarray(weights, np.float64) / np.asarray(sizes, np.float64)


class MixtureSampler:
    """Which source comes next, as a function of the position: any worker knows it, and a run
    resumes from one integer.

    weights      (N,) positive numbers, in proportion to which sources are drawn at temperature 1
    temperature  see `mixture_weights`
    """

    def __init__(self, weights, temperature=1.0, seed=0):
        self.weights, self.seed = mixture_weights(weights, temperature), int(seed)
        self._limits = np.cumsum(self.weights)[:-1]  # the last limit is 1

    def sources(self, first, count):
        """The sources of the draws first .. first+count-1. Returns (count,) int64 in 0 .. N - 1."""
        drawn = []
        for block in range(first // 1024, (first + count - 1) // 1024 + 1):
            drawn.append(Random(self.seed, "mixture", block).uniform((1024,), np.float64))
        start = first - first // 1024 * 1024
        u = np.concatenate(drawn)[start : start + count] if drawn else np.empty(0)
        return np.searchsorted(self._limits, u, side="right")

    def mix(self, makers, first=0):
        """Draw documents without end, each source beginning anew when it is through.

        makers   list of N functions () -> iterable of documents
        first    draws to pass over: the stream goes on as if it had yielded them
        yields   (source, document)
        raises   ConfigError if a source that is drawn has no document
        """
        if len(makers) != len(self.weights):
            raise ConfigError(f"mixture: {len(makers)} sources for {len(self.weights)} weights")
        streams = [iter(()) for _ in makers]
        for block in itertools.count():
            for at, source in enumerate(self.sources(1024 * block, 1024).tolist(), 1024 * block):
                document = next(streams[source], None)
                if document is None:
                    streams[source] = iter(makers[source]())
                    document = next(streams[source], None)
                    if document is None:
                        raise ConfigError(
                            f"mixture: source {source} has no document: take it out of the mixture"
                        )
                if at >= first:
                    yield source, document
