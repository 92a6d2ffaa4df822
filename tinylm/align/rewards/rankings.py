"""Losses of a ranking of N responses   (book section 4.4.1.1, eqs. 4.57 to 4.61).

    all pairs       - 1/(N(N-1)) sum over a above b of log sigma(r_a - r_b)          eq. 4.57
    Plackett-Luce   - log prod_k  e^{r_k} / (e^{r_k} + .. + e^{r_N})                 eqs. 4.58-4.61
    RankNet         cross-entropy of sigma(r_i - r_j) with a target for each pair    Burges 2005
    ListNet         cross-entropy of softmax(r) with a target over the list          Cao et al. 2007

In the first two, scores stand in the order of the ranking: (B, N), the best response first.
Plackett-Luce chooses the best of all, then the best of the rest, and so on; of two responses it is
Bradley-Terry. Each loss is a mean over rankings and minimized. Read first: pairwise.py. Read next:
pointwise.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.align.constant import constant
from tinylm.autograd import Tensor, log_softmax, logsumexp, softmax, softplus, where
from tinylm.backend import to_device
from tinylm.errors import ConfigError, DataError, ShapeError

# How a sum over the pairs of N responses becomes a mean: N(N-1) is the book's, C(N, 2), which is
# half of that and the number of pairs, InstructGPT's (Ouyang et al. 2022, eq. 1).
NORMALIZERS = {"N(N-1)": lambda n: n * (n - 1), "C(N,2)": lambda n: n * (n - 1) / 2}


def listwise_pairwise_loss(
    scores: Tensor, normalizer: str = "N(N-1)", counted: np.ndarray | None = None
) -> Tensor:
    """The pairwise losses of all pairs of a ranking   (book eq. 4.57)

    scores      (B, N) Tensor, the best response first, N >= 2
    normalizer  of NORMALIZERS
    counted     (B, N) bool, False for places that a shorter ranking leaves empty, at its end; None:
                all count. Each ranking is divided by its own number of responses
    returns     Tensor ()
    raises      ConfigError for another normalizer, ShapeError for other shapes, DataError for a
                ranking of fewer than 2 responses

    Check: tinylm gradcheck align.listwise_pairwise_loss
    """
    if normalizer not in NORMALIZERS:
        raise ConfigError(
            f"listwise_pairwise_loss: no normalizer {normalizer!r}; there are "
            f"{', '.join(NORMALIZERS)}"
        )
    counted = _counted("listwise_pairwise_loss", scores, counted)
    B, N = scores.shape
    d = scores[:, :, None] - scores[:, None, :]  # (B, N, N): r_a - r_b
    # Only a ranked above b. Over both orders of each pair the loss would be least at equal scores.
    above = ~np.tri(N, dtype=bool, like=scores.data)  # (N, N), without the diagonal
    pairs = above & counted[:, :, None] & counted[:, None, :]
    size = NORMALIZERS[normalizer](counted.sum(axis=1))  # (B,)
    weights = constant(pairs / size[:, None, None] / B, scores)
    return (softplus(-d) * weights).sum()


def selection_probabilities(scores: Tensor) -> Tensor:
    """Pr(y is selected of all) = e^{r_y} / sum of e^{r_y'}: (..., N) -> (..., N)   (eq. 4.58)."""
    return softmax(scores, axis=-1)


def plackett_luce_logprob(scores: Tensor, counted: np.ndarray | None = None) -> Tensor:
    """log Pr(y_1 > y_2 > .. > y_N), stage by stage: the k-th is selected from y_k .. y_N.

    scores   (B, N) Tensor in the order of the ranking;  counted as in listwise_pairwise_loss
    returns  (B,) Tensor   (book eqs. 4.59, 4.60; Plackett 1975)

    Check: tinylm gradcheck align.plackett_luce_logprob
    """
    counted = _counted("plackett_luce_logprob", scores, counted)
    N = scores.shape[1]
    # stage k (row) chooses among the candidates j >= k (column) that the ranking has
    left = np.tri(N, dtype=bool, like=scores.data).T & counted[:, None, :]  # (B, N, N)
    # an empty place chooses itself, with probability 1
    left = left | to_device(np.eye(N, dtype=bool), scores.device)
    candidates = where(left, scores[:, None, :], -np.inf)  # (B, N) -> (B, N, N)
    stages = scores - logsumexp(candidates, axis=-1)  # (B, N), each <= 0
    return stages.sum(axis=-1)


def plackett_luce_loss(scores: Tensor, counted: np.ndarray | None = None) -> Tensor:
    """Mean of -log Pr(ranking)   (book eq. 4.61). Arguments as in plackett_luce_logprob."""
    return -plackett_luce_logprob(scores, counted).mean()


def pair_targets(relevance: Sequence[list[int]]) -> np.ndarray:
    """Pr(i above j) as RankNet's target: 1, 0, or 1/2 for equal relevance: (B, N) -> (B, N, N)."""
    relevance = np.asarray(relevance)
    difference = relevance[:, :, None] - relevance[:, None, :]
    return (np.sign(difference) + 1) / 2


def ranknet_loss(scores: Tensor, targets: np.ndarray) -> Tensor:
    """Cross-entropy of sigma(r_i - r_j) and a target, the mean over pairs i < j   (Burges 2005)

    scores   (B, N) Tensor, in any order
    targets  (B, N, N) array, Pr(i above j), such as pair_targets(relevance); used above the
             diagonal only
    returns  Tensor ()
    raises   ShapeError for other shapes

    Check: tinylm gradcheck align.ranknet_loss
    """
    _counted("ranknet_loss", scores, None)
    B, N = scores.shape
    targets = constant(targets, scores)
    if targets.shape != (B, N, N):
        raise ShapeError(f"ranknet_loss: targets {targets.shape} must be ({B}, {N}, {N})")
    # each pair once, N(N-1)/2 of them
    i, j = (to_device(index, scores.device) for index in np.triu_indices(N, 1))
    d, p = scores[:, i] - scores[:, j], targets[:, i, j]
    return (softplus(d) - d * p).mean()  # as soft_pairwise_loss


def listnet_loss(scores: Tensor, targets: np.ndarray) -> Tensor:
    """-sum_j t_j log softmax(r)_j, the mean over lists: which response comes first   (Cao 2007)

    scores   (B, N) Tensor, in any order
    targets  (B, N) array, distributions over the list; Cao et al. take softmax(relevance). A target
             of one response alone is the first stage of Plackett-Luce
    returns  Tensor ()
    raises   ShapeError for other shapes, DataError if a row of targets does not sum to 1

    Check: tinylm gradcheck align.listnet_loss
    """
    targets = constant(targets, scores)
    if scores.ndim != 2 or targets.shape != scores.shape:
        raise ShapeError(
            f"listnet_loss: scores {scores.shape} and targets {targets.shape} must be (B, N)"
        )
    if (abs(targets.sum(axis=-1) - 1) > 1e-5).any():
        raise DataError("listnet_loss: targets are distributions: each row must sum to 1")
    # dL/dr = (softmax(r) - t) / B
    return -(log_softmax(scores, axis=-1) * targets).sum(axis=-1).mean()


def _counted(name, scores, counted):
    """`counted` with its default, (B, N) bool, checked."""
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise ShapeError(f"{name}: scores {scores.shape} must be (B, N) with N >= 2 responses")
    if counted is None:
        return np.ones_like(scores.data, dtype=bool)
    if counted.shape != scores.shape:
        raise ShapeError(f"{name}: counted {counted.shape} must be as the scores, {scores.shape}")
    if (counted.sum(axis=1) < 2).any():
        raise DataError(f"{name}: a ranking has fewer than 2 responses, so nothing is compared")
    return counted
