"""Spans: how long they are, and where they lie   (book section 1.2.3.1; SpanBERT, BART, T5).

Lengths are geometric (SpanBERT), Poisson (BART) or a random partition (T5). Places are drawn
uniformly among all ways to lay the spans with a token left between any two. Everything is a
function of uniform numbers that the caller draws, so that each row is corrupted on its own. Read
next: denoising/sentinels.py; denoising/noise.py.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.pretrain.masked.choose import budget


def geometric_lengths(draws, p=0.2, longest=10):
    """Lengths 1 .. longest with Pr(l) proportional to p (1 - p)^(l - 1); mean 3.797 for the
    defaults   (Joshi et al. 2020)

    draws  uniform numbers in [0, 1), any shape;  returns integers of that shape
    """
    weights = (1 - p) ** np.arange(longest)
    return 1 + np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), draws, side="right")


def poisson_lengths(draws, mean=3.0):
    """Lengths 0, 1, ... with Pr(l) = mean^l e^-mean / l!   (Lewis et al. 2020). Arguments as in
    geometric_lengths.
    """
    weights = np.array(
        [
            mean**n * math.exp(-mean) / math.factorial(n)
            for n in range(int(mean + 10 * mean**0.5) + 10)
        ]
    )
    return np.searchsorted(np.cumsum(weights)[:-1], draws, side="right")


def fill(lengths, total):
    """The first of these lengths that together cover `total` tokens, the last of them shortened.
    Returns (k,).
    """
    sums = np.cumsum(lengths)
    k = int(np.searchsorted(sums, total)) + 1
    if total and (not len(sums) or sums[-1] < total):
        raise ConfigError(
            f"fill: lengths that sum to {sums[-1] if len(sums) else 0} do not cover {total} tokens: draw more"
        )
    kept = np.array(lengths[: k if total else 0])
    if len(kept):
        kept[-1] -= sums[k - 1] - total
    return kept


def partition(total, parts, draws):
    """`total` tokens cut into `parts` lengths of at least 1, every way as likely   (Raffel et al.
    2020).

    draws  total - 1 or more uniform numbers;  returns (parts,) integers
    """
    cuts = np.sort(np.argsort(draws[: total - 1])[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def place(lengths, size, draws):
    """Where spans of these lengths begin, in a row of `size` tokens.

    lengths  (k,) integers, 0 allowed: such a span lies before the token at its start
    draws    size + 1 or more uniform numbers
    returns  starts (k,), ascending: start + length of one is below the start of the next
    raises   ConfigError if the spans do not fit with a token between them
    """
    lengths = np.asarray(lengths, np.int64)
    kept = size - int(lengths.sum())
    if len(lengths) > kept + 1:
        raise ConfigError(
            f"place: {len(lengths)} spans of {lengths.sum()} tokens in {size} leave {kept}, "
            "too few to lie between them: make the spans fewer and longer"
        )
    slots = np.sort(
        np.argsort(draws[: kept + 1])[: len(lengths)]
    )  # kept tokens to the left of each span
    return slots + np.cumsum(lengths) - lengths


def positions(starts, lengths, size):
    """The tokens in spans: bool (size,)."""
    covered = np.zeros(size + 1, np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, np.asarray(starts) + lengths, -1)
    return np.cumsum(covered[:size]) > 0


def geometric_spans(size, rate, draws, p=0.2, longest=10):
    """Spans with geometric lengths over `rate` of a row.

    draws    (2, size + 1) uniform numbers;  returns starts (k,), lengths (k,)
    """
    return _laid(geometric_lengths(draws[0], p, longest), size, rate, draws[1])


def poisson_spans(size, rate, draws, mean=3.0):
    """Spans with Poisson lengths over `rate` of a row, and those of length 0 among them. As
    geometric_spans.
    """
    return _laid(poisson_lengths(draws[0], mean), size, rate, draws[1])


def _laid(lengths, size, rate, draws):
    total = int(budget(np.ones(size, bool), rate))
    if lengths.sum() < total:  # almost never: the row is short and its draws are small
        lengths = np.append(lengths, total)
    lengths, room = fill(lengths, total), size - total + 1
    if len(lengths) > room:  # a high rate: the spans that do not fit join the last
        lengths = np.append(lengths[: room - 1], lengths[room - 1 :].sum())
    return place(lengths, size, draws), lengths


def partition_spans(size, rate, draws, mean=3.0):
    """T5's spans: `rate` of the row in about rate * size / mean spans, lengths a random partition.

    draws    (2, size + 1) uniform numbers;  returns starts (k,), lengths (k,)
    """
    total = int(budget(np.ones(size, bool), rate))
    if total == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    k = min(max(int(round(total / mean)), 1), total, size - total + 1)
    lengths = partition(total, k, draws[0])
    return place(lengths, size, draws[1]), lengths


@dataclass(frozen=True)
class GeometricSpans:
    """A chooser of spans with geometric lengths, for masked LM   (SpanBERT; Joshi et al. 2020)."""

    p: float = 0.2
    longest: int = 10

    def __call__(self, ids, eligible, rng, rate=0.15):
        B, T = ids.shape
        draws, chosen = rng.uniform((B, 2, T + 1), np.float64), np.zeros((B, T), bool)
        for row in range(B):
            at = np.flatnonzero(eligible[row])
            if len(at) and rate > 0:
                spans = geometric_spans(
                    len(at), rate, draws[row, :, : len(at) + 1], self.p, self.longest
                )
                chosen[row, at[positions(*spans, len(at))]] = True
        return chosen
