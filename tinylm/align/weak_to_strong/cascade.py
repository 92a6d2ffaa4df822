"""A cascade: the small model answers first, the large one where that is not good enough   (book
section 4.2.5, Fig. 4.5e).

    cost = c_small + Pr(deferred) c_large

What is good enough is a criterion fixed before: here the confidence of the small model is at least
a threshold. A low threshold is cheap, a high one accurate; `curve` is all that lies between. Read
first: ensembles.py, where all models answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Cascaded:
    """Answers of a cascade.

    answers   list of n
    deferred  (n,) bool, True where the large model answered
    cost      of all n together
    """

    answers: list
    deferred: np.ndarray
    cost: float


class Cascade:
    """Two models and the criterion of passing on.

    small      function: list of inputs -> (answers, confidences (n,))
    large      function: list of inputs -> answers
    threshold  least confidence of a small model's answer: 0 keeps all, above 1 none
    costs      (c_small, c_large) of one input
    """

    def __init__(
        self,
        small: Callable,
        large: Callable,
        threshold: float,
        costs: tuple[float, ...] = (1.0, 10.0),
    ) -> None:
        self.small, self.large, self.threshold = small, large, threshold
        self.costs = check_costs(costs)

    def predict(self, inputs: str) -> Cascaded:
        """Answer inputs; the large model sees only what is deferred. Returns Cascaded."""
        inputs = list(inputs)
        answers, confidences = self.small(inputs)
        answers, confidences = list(answers), np.asarray(confidences, np.float64)
        if not len(answers) == len(confidences) == len(inputs):
            raise ShapeError(
                f"Cascade: {len(answers)} answers and {len(confidences)} confidences of the small "
                f"model for {len(inputs)} inputs"
            )
        deferred = confidences < self.threshold
        at = np.flatnonzero(deferred).tolist()
        passed_on = []
        if at:
            passed_on = list(self.large([inputs[i] for i in at]))
        if len(passed_on) != len(at):
            raise ShapeError(
                f"Cascade: {len(passed_on)} answers of the large model for {len(at)} inputs: it "
                "must give one each"
            )
        for i, answer in zip(at, passed_on):
            answers[i] = answer
        small, large = self.costs
        return Cascaded(answers, deferred, small * len(inputs) + large * len(at))


def expected_cost(costs: tuple[int, ...], deferred: float) -> float:
    """c_small + Pr(deferred) c_large, of one input.

    deferred  the share that is passed on, 0 .. 1
    raises    ConfigError for another share, or a negative cost
    """
    small, large = check_costs(costs)
    if not 0 <= deferred <= 1:
        raise ConfigError(f"expected_cost: a share of {deferred} is deferred; it is from 0 to 1")
    return small + deferred * large


def check_costs(costs: tuple[float, ...]) -> tuple[float, float]:
    """The two costs, if they are 0 or more; else ConfigError."""
    small, large = costs
    if min(small, large) < 0:
        raise ConfigError(f"cascade: costs {small} and {large} must be 0 or more")
    return small, large


def curve(
    confidences: Sequence[float],
    small_right: Sequence[bool],
    large_right: Sequence[bool],
    costs: tuple[float, ...] = (1.0, 10.0),
) -> list:
    """Accuracy and cost of every cascade of two models: list of (threshold, accuracy, cost).

    confidences  (n,) of the small model
    small_right, large_right  (n,) bool, whether each model's answer is right
    costs        (c_small, c_large)
    returns      for thresholds 0, every confidence but the smallest, and inf: the cost rises
    raises       ShapeError for unequal numbers
    """
    confidences = np.asarray(confidences, np.float64)
    small_right, large_right = np.asarray(small_right, bool), np.asarray(large_right, bool)
    if not confidences.shape == small_right.shape == large_right.shape:
        raise ShapeError(
            f"curve: confidences {confidences.shape}, answers {small_right.shape} and "
            f"{large_right.shape}; need (n,) three times"
        )
    points = []
    for threshold in [0.0, *np.unique(confidences)[1:].tolist(), np.inf]:
        deferred = confidences < threshold
        right = np.where(deferred, large_right, small_right)
        cost = expected_cost(costs, float(deferred.mean()))
        points.append((threshold, float(right.mean()), cost))
    return points
