"""Spans of tokens: their lengths and their places   (book section 1.2.3.1; SpanBERT, BART, T5).

Lengths are geometric (SpanBERT), Poisson (BART) or a random partition (T5). Places are drawn
uniformly among all ways to lay the spans with a token left between any two. Everything is a
function of uniform numbers that the caller draws, so that each row is corrupted on its own. Read
next: denoising/sentinels.py; denoising/noise.py.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.masked.choose import budget


def geometric_lengths(draws: np.ndarray, p: float = 0.2, longest: int = 10) -> np.ndarray:
    """Lengths 1 .. longest with Pr(l) proportional to p (1 - p)^(l - 1); mean 3.797 for the
    defaults   (Joshi et al. 2020)

    draws  uniform numbers in [0, 1), any shape;  returns integers of that shape
    """
    weights = (1 - p) ** np.arange(longest)
    # Inverse of the cumulative distribution F: the l with F(l - 1) <= u < F(l).
    return 1 + np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), draws, side="right")


def poisson_lengths(draws: np.ndarray, mean: float = 3.0) -> np.ndarray:
    """Lengths 0, 1, ... with Pr(l) = mean^l e^-mean / l!   (Lewis et al. 2020).

    draws    (...) uniform numbers in [0, 1);  mean above 0
    returns  (...) integers
    """
    # Ten standard deviations above the mean: what lies beyond has probability below 1e-16. In
    # logarithms, since mean^l and l! overflow for means of some 50.
    most = int(mean + 10 * mean**0.5) + 10
    logs = [n * math.log(mean) - mean - math.lgamma(n + 1) for n in range(most)]
    return np.searchsorted(np.cumsum(np.exp(logs))[:-1], draws, side="right")


def fill(lengths: np.ndarray, total: int) -> np.ndarray:
    """The first k lengths that together cover `total` tokens, the last of them shortened: (k,)."""
    if total == 0:
        return np.array(lengths[:0])
    sums = np.cumsum(lengths)
    covered = int(sums[-1]) if len(sums) else 0
    if covered < total:
        raise ConfigError(
            f"fill: lengths that sum to {covered} do not cover {total} tokens: draw more"
        )
    k = int(np.searchsorted(sums, total)) + 1  # the least k with sums[k - 1] >= total
    kept = np.array(lengths[:k])
    kept[-1] -= sums[k - 1] - total
    return kept


def partition(total: int, parts: int, draws: np.ndarray) -> np.ndarray:
    """`total` tokens cut into `parts` lengths of at least 1, all ways equally likely.

    T5's spans (Raffel et al. 2020).

    draws  total - 1 or more uniform numbers;  returns (parts,) integers
    """
    # parts - 1 of the total - 1 gaps between tokens are cut.
    cuts = np.sort(np.argsort(draws[: total - 1])[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def place_spans(lengths: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
    """The starts of spans of these lengths in a row of `size` tokens, all ways equally likely.

    lengths  (k,) integers, 0 allowed: such a span lies before the token at its start
    draws    size + 1 or more uniform numbers
    returns  starts (k,), ascending: start + length of one is below the start of the next
    raises   ConfigError if the spans do not fit with a token between them
    """
    lengths = np.asarray(lengths, np.int64)
    kept = size - int(lengths.sum())
    if len(lengths) > kept + 1:
        raise ConfigError(
            f"place_spans: {len(lengths)} spans of {lengths.sum()} tokens in {size} leave {kept}, "
            "too few to lie between them: make the spans fewer and longer"
        )
    # The kept tokens leave kept + 1 slots, before, between and behind them; every span takes a slot
    # of its own. Left of span i lie slots[i] kept tokens and the spans before it.
    slots = np.sort(np.argsort(draws[: kept + 1])[: len(lengths)])
    return slots + np.cumsum(lengths) - lengths


def positions(starts: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
    """The tokens in spans: bool (size,)."""
    # +1 where a span starts, -1 behind its end; the running sum counts the spans around a token.
    change = np.zeros(size + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, np.asarray(starts) + lengths, -1)
    return np.cumsum(change[:size]) > 0


def geometric_spans(
    size: int, rate: float, draws: np.ndarray, p: float = 0.2, longest: int = 10
) -> tuple[np.ndarray, ...]:
    """Spans with geometric lengths over `rate` of a row.

    draws    (2, size + 1) uniform numbers;  returns starts (k,), lengths (k,)
    """
    return _laid(geometric_lengths(draws[0], p, longest), size, rate, draws[1])


def poisson_spans(
    size: int, rate: float, draws: np.ndarray, mean: float = 3.0
) -> tuple[np.ndarray, ...]:
    """Spans with Poisson lengths over `rate` of a row, some of length 0; as geometric_spans."""
    return _laid(poisson_lengths(draws[0], mean), size, rate, draws[1])


def _laid(lengths, size, rate, draws):
    """As many of the lengths as cover `rate` of a row, and their starts."""
    total = int(budget(np.ones(size, bool), rate))
    if lengths.sum() < total:  # almost never: the row is short and its draws are small
        lengths = np.append(lengths, total)
    lengths, room = fill(lengths, total), size - total + 1
    if len(lengths) > room:  # a high rate: the spans that do not fit join the last
        lengths = np.append(lengths[: room - 1], lengths[room - 1 :].sum())
    return place_spans(lengths, size, draws), lengths


def partition_spans(
    size: int, rate: float, draws: np.ndarray, mean: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """T5's spans: `rate` of the row in about rate * size / mean spans, lengths a random partition.

    draws    (2, size + 1) uniform numbers;  returns starts (k,), lengths (k,)
    """
    total = int(budget(np.ones(size, bool), rate))
    if total == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    k = max(int(round(total / mean)), 1)
    k = min(k, total, size - total + 1)  # no span is empty, and a token lies between any two
    lengths = partition(total, k, draws[0])
    return place_spans(lengths, size, draws[1]), lengths


@dataclass(frozen=True)
class GeometricSpans:
    """A chooser of spans with geometric lengths, for masked LM   (SpanBERT; Joshi et al. 2020)."""

    p: float = 0.2
    longest: int = 10

    def __call__(
        self, ids: np.ndarray, eligible: np.ndarray, rng: Random, rate: float = 0.15
    ) -> np.ndarray:
        B, T = ids.shape
        draws = rng.uniform((B, 2, T + 1), np.float64)
        chosen = np.zeros((B, T), bool)
        if rate == 0:
            return chosen
        for row in range(B):
            # Spans are laid over the n eligible tokens as if these stood alone.
            at = np.flatnonzero(eligible[row])
            n = len(at)
            if n:
                spans = geometric_spans(n, rate, draws[row, :, : n + 1], self.p, self.longest)
                chosen[row, at[positions(*spans, size=n)]] = True
        return chosen
