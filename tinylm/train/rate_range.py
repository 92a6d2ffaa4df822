"""The learning-rate range test: a short training whose rate rises exponentially   (Smith 2017).

While the rate is far too small the loss does not move; then it falls; where the rate is too large
it rises again and the training diverges. One such run of a hundred steps shows the span in which a
rate can lie, at the price of no run. Read first: trainer.py. Read next: cli/learn/lr_range.py,
which draws it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from tinylm.train.trainer import Trainer


SMOOTH = 0.9  # weight of the past in the running mean of the losses
DIVERGED = 1.5  # the test ends when that mean is so many times the first loss
FALLEN = 0.7  # of the fall, at the rate that is suggested
START = 20  # the loss before learning is the mean of the first 1/20 of the steps


@dataclass(frozen=True)
class RangeTest:
    """What a range test has found.

    rates      (n,) of the steps that were done, rising
    losses     (n,) before each step, of its own batch
    smooth     (n,) their running mean, each weighted by 0.9^age, corrected for the beginning
    ended      why it ended before its last rate, or ""
    lowest     the rate at the lowest point of `smooth`: a larger one teaches no more
    suggested  the first rate at which seven tenths of the fall are done. Between it and the lowest
               point the loss hardly moves, and its lowest point is mostly noise; where the loss
               falls fastest, the rule of others, is noise as well where batches are small. None if
               the loss has hardly fallen
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    ended: str
    lowest: float
    suggested: float | None


def range_test(
    trainer: "Trainer",
    low: float,
    high: float,
    steps: int,
    after_step: Callable = lambda step, rate, loss: None,
) -> RangeTest:
    """Train with rates that rise from `low` to `high`, by the same factor in every step.

    trainer     at its first step; its schedule is replaced, and its weights are of no use after it
    steps       at least 2
    after_step  called with (steps done, rate, smoothed loss)
    returns     RangeTest; the test ends early where the training has diverged
    raises      ConfigError for a range that does not rise; TrainingError if not even the first
                steps are finite
    """
    if not 0 < low < high or steps < 2:
        raise ConfigError(
            f"range test: rates from {low:g} to {high:g} in {steps} steps: the first must be above "
            "0 and below the last, and two steps are the least"
        )
    rates = low * (high / low) ** (np.arange(steps) / (steps - 1))  # (steps,)
    trainer.learning_rate = lambda step: float(rates[step])
    losses, smooth, ended = [], [], ""
    for step, rate in enumerate(rates):
        try:
            losses.append(trainer.advance().loss)
        except TrainingError as error:
            if step < 2:
                raise
            ended = f"at a rate of {rate:.2g} the loss was no longer finite ({error})"
            break
        smooth.append(running_mean(losses))
        after_step(step + 1, rate, smooth[-1])
        if smooth[-1] > DIVERGED * losses[0]:
            ended = f"at a rate of {rate:.2g} the loss was {DIVERGED:g} times the first"
            break
    done = np.array(losses), np.array(smooth)
    return RangeTest(rates[: len(losses)], *done, ended, *suggestion(rates, done[1]))


def running_mean(losses: list) -> float:
    """The mean of the losses so far, each weighted by SMOOTH^age."""
    weights = SMOOTH ** np.arange(len(losses))[::-1]
    return float(weights @ np.array(losses) / weights.sum())


def suggestion(rates: np.ndarray, smooth: np.ndarray) -> tuple[float, float | None]:
    """(the rate at the lowest smoothed loss, the first rate at which 0.7 of the fall are done).

    The second is None where the loss fell by less than a hundredth, so that no rate of the range
    has taught anything.
    """
    best, first = int(np.argmin(smooth)), smooth[len(smooth) // START]
    if smooth[best] > 0.99 * first:
        return float(rates[best]), None
    reached = smooth <= first - FALLEN * (first - smooth[best])
    return float(rates[best]), float(rates[int(np.argmax(reached))])
