"""How often the choice among n given paths is right   (book section 3.2.4).

    best of n     the path with the greatest score
    vote          the answer with the greatest weight; a verifier's scores may be the weights

Of paths of equal score, and of answers of equal weight, one is drawn: what is returned is the exact
expectation of that draw, so no order of the paths can help. A random score gives the share of right
paths, a perfect one "any is right". Read first: prompt/ensemble/combine.py, where ties are settled
by the order of text.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ShapeError
from tinylm.prompt.evaluation.judge import answer_key


def best_is_right(scores: Sequence[int], right: Sequence[list[int]]) -> np.ndarray:
    """Probability that the path with the greatest score is right: (..., n) twice -> (...)."""
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    if scores.shape != right.shape:
        raise ShapeError(f"best_is_right: {scores.shape} scores for {right.shape} paths")
    best = scores == scores.max(axis=-1, keepdims=True)
    return (best * right).sum(axis=-1) / best.sum(axis=-1)


def vote_is_right(
    answers: Sequence[str],
    right: Sequence[int],
    weights: Sequence[int] | None = None,
    key: Callable = answer_key,
) -> Any:
    """Probability that the answer with the greatest weight is right: float.

    answers  list of n str, or None for a path without an answer, which has no vote
    right    (n,) whether each is right; equal answers are equally right
    weights  (n,) 0 or more; None: 1 each
    returns  0 if there is no vote
    """
    if weights is None:
        weights = np.ones(len(answers))
    if not len(answers) == len(right) == len(weights):
        raise ShapeError(
            f"vote_is_right: {len(answers)} answers, {len(right)} labels, {len(weights)} weights"
        )
    total, truth = {}, {}
    for answer, label, weight in zip(answers, right, weights):
        if answer is None:
            continue
        camp = key(answer)
        total[camp] = total.get(camp, 0.0) + float(weight)
        truth[camp] = float(label)
    if not total:
        return 0.0
    # Sums of the same weights in another order differ in the last bits: they are ties.
    most = max(total.values()) * (1 - 1e-12)
    ahead = [camp for camp in total if total[camp] >= most]
    return float(np.mean([truth[camp] for camp in ahead]))
