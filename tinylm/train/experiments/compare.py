"""Fair comparisons of training runs: several seeds, and the same tokens read by all   (book section
2.3.6).

`report` and `EqualReading` refuse the mistakes that code can see; a `Claim` is a sentence with the
rule by which seeds judge it, written before the run. `together` and `weakest` are for claims of
several comparisons. Read next: generate/measure/long_context.py.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError


def report(scores: ArrayLike, single: bool = False) -> tuple[float, float, float]:
    """Mean, least and most of a score over seeds, and over prompts if the task has them.

    scores   (seeds,), or (seeds, prompts)
    single   allow one seed or one prompt
    raises   ConfigError for one of either: results depend on both, and a single number hides it
             (book section 2.3.6)
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ShapeError(
            f"report: scores have shape {scores.shape}; give (seeds,) or (seeds, prompts)"
        )
    for count, what in zip(scores.shape, ("seed", "prompt")):
        if count < 2 and not single:
            raise ConfigError(
                f"report: one {what} has no spread: measure several, or pass single=True"
            )
    return float(scores.mean()), float(scores.min()), float(scores.max())


def mean_and_sd(values: Sequence[float], form: str = ".3f") -> str:
    """ "0.612 +- 0.011": mean and standard deviation over seeds, for a cell of a table."""
    values = np.asarray(values, np.float64)
    return f"{values.mean():{form}} +- {values.std(ddof=1):{form}}"


def mean_and_range(values: Sequence[float], form: str = ".3f") -> str:
    """ "0.612 (0.600 .. 0.630)": mean, least and most over seeds, for a cell of a table."""
    values = np.asarray(values, np.float64)
    return f"{values.mean():{form}} ({values.min():{form}} .. {values.max():{form}})"


def slopes(x: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Slope of the least-squares line through each run, to be judged against a known exponent.

    x        (n,) where all runs were measured: for an exponent, logarithms of sizes
    runs     (seeds, n) what was measured there: for an exponent, logarithms again
    returns  (seeds,)
    """
    x, runs = np.asarray(x, np.float64), np.asarray(runs, np.float64)
    if runs.ndim != 2 or x.shape != runs.shape[1:] or len(x) < 2:
        raise ShapeError(f"slopes: x {x.shape}, runs {runs.shape}; give (n,) and (seeds, n), n > 1")
    # slope = sum (x - mean x) y / sum (x - mean x)^2; the mean of y cancels
    centered = x - x.mean()
    return runs @ centered / (centered @ centered)


class EqualReading:
    """A check that all models compared were trained on the same tokens, in the same order."""

    def __init__(self) -> None:
        self._digests = {}

    def read(self, name: str, seed: int, ids: np.ndarray) -> None:
        """Note a batch that `name` was trained on in the run of that seed."""
        digest, tokens = self._digests.get((name, seed), (hashlib.sha256(), 0))
        digest.update(np.ascontiguousarray(ids, np.int64).tobytes())
        self._digests[name, seed] = digest, tokens + ids.size

    def check(self) -> int:
        """Return the number of tokens that each has read, over all seeds together. Raises DataError
        naming two that did not read the same.
        """
        first = {}
        for (name, seed), (digest, tokens) in self._digests.items():
            found = first.setdefault(seed, (name, tokens, digest.hexdigest()))
            if found[1:] != (tokens, digest.hexdigest()):
                raise DataError(
                    f"compare: {name} read {tokens} tokens in the run of seed {seed}, "
                    f"not the {found[1]} of {found[0]}: train both on the same batches"
                )
        for name in {name for name, _ in self._digests}:
            if missing := [seed for seed in first if (name, seed) not in self._digests]:
                raise DataError(
                    f"compare: {name} has no run of seed {missing[0]}: train it from every seed"
                )
        return sum(tokens for _, tokens, _ in first.values())


# What --quick of a script prints first where two seeds and few steps can show nothing.
ONLY_RUNS = "quick: this only proves that the script runs; its figures show nothing"

# The four verdicts.
SHOWS, OPPOSITE = "shows", "shows the opposite"
TOO_SMALL, BY_DESIGN = "too small to tell", "cannot show by design"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim over seeds.

    word       one of SHOWS, OPPOSITE, TOO_SMALL, BY_DESIGN
    effect     mean gain of the claimed side, in the unit of the score
    low, high  its interval over seeds
    seeds      how many runs of the claimed side
    seen       the smallest mean gain that would have shown with this spread and this many seeds
    """

    word: str
    effect: float
    low: float
    high: float
    seeds: int
    seen: float

    def __str__(self) -> str:
        interval = f"{self.effect:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"
        found = f"{interval}, {self.seeds} seeds: {self.word}"
        if self.word == TOO_SMALL:
            return f"{found}; {self.seen:.2g} could have been seen"
        return found


@dataclass(frozen=True)
class Claim:
    """A sentence that measurements may bear out, and the rule by which they are judged.

    text     the sentence;  section  of the book
    larger   True if the claimed side is to have the larger score (accuracy), False the smaller
             (loss)
    least    the gain that matters, in the unit of the score: less than this is no support. Below
             zero it is a price that may be paid: "costs at most 0.02" has least -0.02
    level    of the interval over seeds
    limit    the best score there can be, if there is one: too near to it nothing can be gained
    floor    the score of a model that has learnt nothing: two sides there cannot be compared
    """

    text: str
    section: str = ""
    larger: bool = True
    least: float = 0.0
    level: float = 0.95
    limit: float | None = None
    floor: float | None = None

    def judge(self, claimed: ArrayLike, other: ArrayLike, paired: bool = True) -> Verdict:
        """The Verdict of scores of the claimed side and of the other, one a seed each.

        other   may be a number that needs no run: chance, the exponent of a law. A ratio is judged
                as the difference of logarithms
        paired  run i of both shares its seed and data: the interval is that of the differences.
                Otherwise that of two means with spreads of their own (Welch)
        raises  ShapeError if pairs do not match; ConfigError for a side with fewer than two seeds
        """
        a, b = (np.asarray(scores, np.float64) for scores in (claimed, other))
        if b.ndim == 0:
            b, paired = np.full(a.shape, b), True
        if a.ndim != 1 or b.ndim != 1 or (paired and a.shape != b.shape):
            raise ShapeError(
                f"judge: scores of shapes {a.shape} and {b.shape}; "
                "give one a seed, in pairs unless paired=False"
            )
        if min(len(a), len(b)) < 2:
            raise ConfigError(f"judge: {min(len(a), len(b))} seed has no spread: give two or more")
        sign = 1.0 if self.larger else -1.0
        # Both signs of score: a positive effect is a gain of the claimed side.
        effect = sign * (a.mean() - b.mean()) + 0.0  # not -0.0
        if paired:
            half = _half_width(sign * (a - b), None, self.level)
        else:
            half = _half_width(a, b, self.level)
        low, high = effect - half, effect + half
        return Verdict(
            self._word(low, high, sign * a.mean(), sign * b.mean()),
            effect,
            low,
            high,
            len(a),
            half + self.least,
        )

    def _word(self, low, high, claimed, other):
        # The means carry the sign of the claim: more is better.
        sign = 1.0 if self.larger else -1.0
        # Two sides that have learnt nothing: even "costs no more" would be empty.
        if self.floor is not None and max(claimed, other) <= sign * self.floor:
            return BY_DESIGN
        if low > self.least:
            return SHOWS
        # Harm: below no gain, and below the price that may be paid.
        if high < min(self.least, 0.0):
            return OPPOSITE
        # So near to the best score that a gain that matters has no room.
        if self.limit is not None and sign * self.limit - other <= self.least:
            return BY_DESIGN
        return TOO_SMALL

    def line(self, claimed: ArrayLike, other: ArrayLike, paired: bool = True) -> str:
        """The claim and its verdict as one line of a report."""
        section = ""
        if self.section:
            section = f" (section {self.section})"
        return f"{self.text}{section}: {self.judge(claimed, other, paired)}"


def together(claims: Sequence[Claim]) -> list[Claim]:
    """The same claims at a level at which all of their intervals hold at once   (Bonferroni).

    For "at least one of these helps": with m claims each may err with probability (1 - level) / m.
    """
    return [replace(claim, level=1 - (1 - claim.level) / len(claims)) for claim in claims]


def weakest(verdicts: Sequence[Verdict]) -> Verdict:
    """The Verdict of a claim that needs all of several comparisons: the one that supports it least.

    No correction is due: a claim that needs every comparison errs no more often than each does.
    """
    order = OPPOSITE, TOO_SMALL, BY_DESIGN, SHOWS
    return min(verdicts, key=lambda verdict: (order.index(verdict.word), verdict.low))


def _half_width(a, b, level):
    """Half the width of the interval of a mean, or of a difference of means with spreads of their
    own.
    """
    squares = [values.var(ddof=1) / len(values) for values in (a, b) if values is not None]
    error = math.sqrt(sum(squares))
    degrees = [len(values) - 1 for values in (a, b) if values is not None]
    # Welch and Satterthwaite's degrees of freedom, rounded down; those of one sample are n - 1.
    share = sum(square**2 / n for square, n in zip(squares, degrees))
    if len(squares) == 1 or not share:
        freedom = degrees[0]
    else:
        freedom = max(int(sum(squares) ** 2 / share), 1)
    return student_quantile(0.5 + level / 2, freedom) * error


def student_quantile(p: float, freedom: int) -> float:
    """The number below which Student's t with this many degrees of freedom lies with probability p,
    0.5 <= p < 1.
    """
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        if student_cdf(middle, freedom) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_cdf(t: float, freedom: int) -> float:
    """P(T <= t) of Student's t for t >= 0, whole degrees of freedom   (Abramowitz & Stegun 1964,
    26.7.3 and 26.7.4).
    """
    # With theta = atan(t / sqrt(n)), P(|T| <= t) is a sum in powers of cos(theta):
    # n odd:  2/pi (theta + sin theta (cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + ...)), to cos^(n-2)
    # n even: sin theta (1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + ...), to cos^(n-2)
    theta = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term, total = 1.0, 0.0
    if odd:
        term = math.cos(theta)
    for k in range(freedom // 2):
        total += term
        # the next factor: (2k+2)/(2k+3) for odd n, (2k+1)/(2k+2) for even
        term *= math.cos(theta) ** 2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    within = math.sin(theta) * total
    if odd:
        within = 2 / math.pi * (theta + within)
    return 0.5 + within / 2
