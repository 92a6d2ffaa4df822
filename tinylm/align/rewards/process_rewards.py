"""Rewards of solutions: by their answer, or by their steps   (book section 4.4.4, eqs. 4.83, 4.84).

    outcome   +1 if the final answer is right, else -1
    count     sum over k of [step k is correct]                          eq. 4.83
    log       sum over k of log Pr(correct | x, steps 1 .. k)            eq. 4.84

The count grows with every step, the sum of logs falls with every step: of two solutions without an
error, one prefers the longer and the other the shorter. Mean and minimum depend on no length; the
minimum is the chance of the weakest step. Read next: step_labels.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.evaluation.judge import is_right


def outcome_reward(answer: str, item: Item, right: float = 1.0, wrong: float = -1.0) -> float:
    """The reward of a final answer, whatever the steps before it   (Uesato et al. 2022)

    answer   str, or None: no answer was reached, which is wrong
    item     Item with its gold answer; DataError if it has none
    """
    if item.answer is None:
        raise DataError(f"outcome_reward: {item.question!r:.60} has no gold answer")
    if is_right(answer, item):
        return right
    return wrong


def count_correct(probabilities: np.ndarray, correct: int = 0) -> int:
    """The number of steps whose most probable label is "correct"   (book eq. 4.83)

    probabilities  (S, C) of the labels of each step
    correct        column of the label "correct"; it must be more probable than any other
    """
    probabilities = _steps(probabilities)
    others = np.delete(probabilities, correct, axis=1)
    return int((probabilities[:, correct] > others.max(axis=1)).sum())


def log_correct(p: ArrayLike) -> float:
    """sum over steps of log Pr(correct): the log-probability that all are   (book eq. 4.84)

    p   (S,) probabilities, above 0
    """
    return float(np.log(_steps(p, 1)).sum())


def mean_correct(p: Sequence[float]) -> float:
    """The mean probability of a step to be correct: (S,) -> float."""
    return float(_steps(p, 1).mean())


def mean_log_correct(p: Sequence[float]) -> float:
    """log of the geometric mean: eq. 4.84 divided by the number of steps, so without its bias."""
    return log_correct(p) / len(p)


def least_correct(p: Sequence[float]) -> float:
    """The probability of the weakest step: (S,) -> float   (Lightman et al. 2024, appendix F)."""
    return float(_steps(p, 1).min())


# Rewards of the probabilities (S,) that each step is correct
FROM_PROBABILITIES = {
    "log": log_correct,
    "mean": mean_correct,
    "mean log": mean_log_correct,
    "least": least_correct,
}


def convincing_wrong(scores: Sequence[float], right: Sequence[bool], count: int) -> np.ndarray:
    """Solutions to annotate: those with a wrong answer that the model believes in most   (book
    section 4.4.4; Lightman et al. 2024)

    An obvious error teaches little. A solution that the process reward model scores high and whose
    answer is wrong holds a step that it takes for correct and that is not.

    scores   (n,) of a process reward;  right (n,) bool, whether the final answer is right
    count    how many to annotate
    returns  (k,) indices, the highest score first; k is less than count if fewer are wrong
    """
    scores, wrong = np.asarray(scores, np.float64), ~np.asarray(right, bool)
    order = np.argsort(-scores, kind="stable")
    return order[wrong[order]][:count]


def _steps(values, ndim=2):
    values = np.asarray(values, np.float64)
    if values.ndim != ndim or not len(values):
        raise DataError(
            f"a process reward is of an array with {ndim} axes and one step at least, not of "
            f"{values.shape}"
        )
    return values
