"""Voters that err together, voters that are not equally good, and where answers differ   (book
section 3.2.4).

The laws of a vote are those of independent voters (self_consistency.py). For K voters whose errors
have the mean variance v and correlate by rho the mean of the errors has the variance

    v (1 + (K - 1) rho) / K                  -> v rho: more voters do not help beyond that

Voters of different accuracy p should not have equal weights: for independent ones log p / (1 - p)
is the best (Nitzan and Paroush 1982). And the answers of a grid differ between models, prompts and
samples; an analysis of variance splits this spread. Read next: grid.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import DataError, ShapeError


def error_correlation(wrong: Sequence[list[int]]) -> float:
    """How much the errors of K voters go together: float, at most 1; 0 if they are independent.

        rho = mean over pairs i != j of cov(w_i, w_j)  /  mean over i of var(w_i)

    wrong    (K, N) 1 where voter k answers question n wrongly, else 0; K and N at least 2
    returns  nan if no voter is right for some questions and wrong for others
    raises   ShapeError for other shapes
    """
    wrong = np.asarray(wrong, np.float64)
    if wrong.ndim != 2 or min(wrong.shape) < 2:
        raise ShapeError(
            f"error_correlation: errors have shape {wrong.shape}; give two voters or more, and two "
            "questions or more, as (K, N)"
        )
    K = len(wrong)
    covariances = np.cov(wrong, bias=True)  # (K, K)
    variances = np.trace(covariances)
    if variances == 0:
        return float("nan")
    # sum over pairs / (K (K - 1)), over the sum of variances / K
    return float((covariances.sum() - variances) / (K - 1) / variances)


def log_odds(accuracies: Sequence[float], answers: int = 2) -> np.ndarray:
    """The weights of independent voters of known accuracy: (K,)   (Nitzan and Paroush 1982)

        w_k = log p_k (m - 1) / (1 - p_k)

    accuracies  (K,) between 0 and 1, both excluded
    answers     m possible answers, of which a wrong voter gives each wrong one equally often
    returns     0 for a voter that guesses, p = 1/m, and for one that is worse: `vote` has no
                negative weights
    raises      DataError for an accuracy of 0 or 1, whose weight would not be finite
    """
    p = np.asarray(accuracies, np.float64)
    if not ((p > 0) & (p < 1)).all():
        raise DataError(
            f"log_odds: the accuracies {p.tolist()} must lie between 0 and 1; estimate them as "
            "(right + 1) / (count + 2)"
        )
    # Pr(votes | y is right) = prod over k of p_k, or (1 - p_k) / (m - 1): the sum of these weights
    # of the voters for y is its logarithm, up to a term that all y share.
    return np.maximum(np.log(p * (answers - 1) / (1 - p)), 0.0)


@dataclass(frozen=True)
class Spread:
    """Variances of a right answer (1) or a wrong one (0) about the mean of its question.

    models   between models, whatever the prompt;  prompts  between prompts, whatever the model
    both     what only a model with a certain prompt does
    samples  between samples of one model and prompt
    """

    models: float
    prompts: float
    both: float
    samples: float

    def of_mean(self, M: int, K: int, S: int) -> float:
        """The variance of the mean of M models, K prompts and S samples of each."""
        return self.models / M + self.prompts / K + self.both / (M * K) + self.samples / (M * K * S)


def spread(right: np.ndarray) -> Spread:
    """The Spread of a grid, without bias, as the mean over questions.

    right    (N, M, K, S) right answers of N questions, as 0 and 1; M, K and S at least 2
    returns  a variance may come out below 0 if it is near to it: the estimate is no square
    raises   ShapeError for an axis that is too short to have a variance
    """
    right = np.asarray(right, np.float64)
    if right.ndim != 4 or min(right.shape[1:]) < 2 or not len(right):
        raise ShapeError(
            f"spread: answers have shape {right.shape}; they are (questions, models, prompts, "
            "samples), with two or more of the last three"
        )
    _, M, K, S = right.shape
    cells = right.mean(axis=3)  # (N, M, K)
    rows, columns = cells.mean(axis=2), cells.mean(axis=1)  # (N, M), (N, K)
    # Interaction of m and k: what is left of a cell without its row and its column.
    left = cells - rows[:, :, None] - columns[:, None] + cells.mean(axis=(1, 2), keepdims=True)
    # Mean squares: sums of squares over degrees of freedom, in the unit of one answer.
    samples = right.var(axis=3, ddof=1).mean()
    both = S * (left**2).sum(axis=(1, 2)).mean() / ((M - 1) * (K - 1))
    models = K * S * rows.var(axis=1, ddof=1).mean()
    prompts = M * S * columns.var(axis=1, ddof=1).mean()
    # E[both] = samples + S s_mk, E[models] = E[both] + K S s_m, E[prompts] = E[both] + M S s_k
    parts = (models - both) / (K * S), (prompts - both) / (M * S), (both - samples) / S, samples
    return Spread(*map(float, parts))
