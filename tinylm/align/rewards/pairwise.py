"""Losses of two scores: which of two responses is better   (book section 4.3.2, eqs. 4.35 to 4.38).

    Pr(a > b | x) = e^{r_a} / (e^{r_a} + e^{r_b}) = sigma(r_a - r_b)      Bradley & Terry 1952
    L = - mean over pairs of log sigma(r_chosen - r_rejected)

Scores are real numbers (B,), one for each response, already computed by a reward model or listed in
a table. Only their difference is determined by the data: r + c(x) has the same loss, whatever the
constant of a prompt. All losses here are means over pairs and minimized. TRL's RewardTrainer has
the first with its margin and its center_rewards_coefficient. Read next: rankings.py for more than
two responses, reward_model.py for what computes the scores.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.align.constant import constant
from tinylm.autograd import Array, Tensor, log_softmax, sigmoid, softplus, stack
from tinylm.backend import ArrayLike, to_cpu, to_device
from tinylm.errors import ConfigError, DataError, ShapeError


def preference_probability(a: str, b: str) -> Tensor:
    """Pr(a > b) = sigma(r_a - r_b) of two Tensors of scores, any shape   (book eq. 4.35)."""
    return sigmoid(a - b)


def pairwise_loss(
    chosen: Tensor, rejected: Tensor, margin: float = 0.0, center: float = 0.0
) -> Tensor:
    """mean of -log sigma(r_c - r_r - m)  +  center * mean of (r_c + r_r)^2   (book eqs. 4.36, 4.63)

    chosen    (B,) Tensor, scores of the preferred responses;  rejected (B,), of the others
    margin    number or (B,) array m >= 0: how much better the chosen one is known to be (Touvron et
              al. 2023b)
    center    lambda of the regularizer (Eisenstein et al. 2023): of all constants that leave the
              first term as it is, it prefers the one with r_c + r_r = 0
    returns   Tensor ()
    raises    ShapeError for scores of different shapes, or of no pair

    Check: tinylm gradcheck align.pairwise_loss
    """
    _check_pairs("pairwise_loss", chosen, rejected)
    d = chosen - rejected - constant(margin, chosen)  # (B,)
    # -log sigma(d) = log(1 + e^{-d}) = softplus(-d), finite for every d.
    # dL/dr_c = -(1 - sigma(d)) / B,   dL/dr_r = +(1 - sigma(d)) / B
    loss = softplus(-d).mean()
    if center:
        loss = loss + center * center_penalty(chosen, rejected)
    return loss


def center_penalty(a: str, b: str) -> Tensor:
    """mean of (r_a + r_b)^2, the regularizer of book eq. 4.63 without its lambda."""
    total = a + b
    return (total * total).mean()


def soft_pairwise_loss(a: Tensor, b: Tensor, probability: ArrayLike) -> Tensor:
    """mean of -[p log sigma(d) + (1 - p) log sigma(-d)], d = r_a - r_b   (book section 4.4.3)

    a, b         (B,) Tensors of scores
    probability  number or (B,) array p in [0, 1]: that a is preferred, by a judge that is not sure
                 (Lee et al. 2023), or by annotators of whom a share p prefers a. p = 1 is
                 pairwise_loss(a, b); 1 - eps of label smoothing is the loss of labels that are
                 wrong with probability eps. The minimum is at d = log(p / (1 - p))
    returns      Tensor ()
    raises       DataError for p outside [0, 1]; ShapeError as pairwise_loss

    Check: tinylm gradcheck align.soft_pairwise_loss
    """
    _check_pairs("soft_pairwise_loss", a, b)
    p = constant(probability, a)
    if (p < 0).any() or (p > 1).any():
        raise DataError(
            f"soft_pairwise_loss: a probability lies between 0 and 1, not at {float(p.max())} or "
            f"{float(p.min())}"
        )
    d = a - b
    # softplus(-d) = softplus(d) - d:  p softplus(-d) + (1 - p) softplus(d) = softplus(d) - p d,
    # so dL/dr_a = (sigma(d) - p) / B.
    return (softplus(d) - d * p).mean()


def pairwise_loss_with_ties(
    a: Tensor, b: Tensor, outcome: Sequence[int], tie: float = 1.0
) -> Tensor:
    """Bradley-Terry with a third outcome, "both are as good"   (Davidson 1970)

        Pr(a > b) : Pr(tie) : Pr(b > a)  =  e^{r_a} : nu e^{(r_a + r_b) / 2} : e^{r_b}

    a, b      (B,) Tensors of scores
    outcome   (B,) integers: +1 a is better, -1 b is better, 0 they are as good
    tie       nu > 0, how frequent ties are between equal responses: Pr(tie) = nu / (2 + nu) there.
              A limit of 0 is pairwise_loss
    returns   Tensor ()
    raises    ConfigError for nu <= 0, DataError for another outcome, ShapeError as pairwise_loss

    Check: tinylm gradcheck align.pairwise_loss_with_ties
    """
    _check_pairs("pairwise_loss_with_ties", a, b)
    if tie <= 0:
        raise ConfigError(
            f"pairwise_loss_with_ties: tie must be above 0, not {tie}; without ties use "
            "pairwise_loss"
        )
    if hasattr(outcome, "astype"):  # an array, of any device
        outcome = to_cpu(outcome)
    outcome = np.asarray(outcome)
    if not np.isin(outcome, (-1, 0, 1)).all():
        raise DataError(f"pairwise_loss_with_ties: outcomes are -1, 0 or +1, not {outcome}")
    half = (a - b) / 2
    # Divided by e^{(r_a + r_b) / 2}, the three weights are e^{d/2}, nu, e^{-d/2}.
    level = half * 0.0 + float(np.log(tie))
    logp = log_softmax(stack([-half, level, half], axis=-1), axis=-1)  # (B, 3)
    rows, columns = (to_device(x, a.device) for x in (np.arange(len(outcome)), outcome + 1))
    return -logp[rows, columns].mean()


def preference_accuracy(chosen: Array, rejected: Array) -> float:
    """The share of pairs whose chosen response has the higher score; equal scores count half.

    chosen, rejected  (B,) arrays or Tensors
    """
    chosen, rejected = _array(chosen), _array(rejected)
    return float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected)))


def bradley_terry_scores(
    wins: np.ndarray, steps: int = 10000, tolerance: float = 1e-12
) -> np.ndarray:
    """The most likely scores of K responses, given how often each was preferred to each.

    Maximizes sum over i, j of wins[i, j] log sigma(r_i - r_j) by the iteration of Zermelo (Hunter
    2004), which raises the likelihood in every step:

        e^{r_i} <- (wins of i) / sum over j of n_ij / (e^{r_i} + e^{r_j}),    n_ij comparisons

    wins      (K, K) counts or weights: wins[i, j], how often i was preferred to j
    returns   (K,) array with mean 0: scores are known up to a constant only
    raises    DataError where no finite scores are the best: some responses were never preferred to
              any of the others
    """
    wins = np.array(wins, np.float64)
    np.fill_diagonal(wins, 0.0)
    _check_connected(wins)
    compared = wins + wins.T  # n_ij
    worth = np.ones(len(wins))  # e^r
    for _ in range(steps):
        old = worth
        worth = wins.sum(axis=1) / (compared / (worth[:, None] + worth)).sum(axis=1)
        worth = worth / np.exp(np.log(worth).mean())
        if np.abs(np.log(worth / old)).max() < tolerance:
            break
    return np.log(worth)


def _check_connected(wins):
    # The maximum is finite exactly if from every response a chain of "was preferred to" leads to
    # every other (Ford 1957); K - 1 products of the reachability matrix find all chains.
    reaches = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins)):
        reaches = reaches @ reaches
    if not reaches.all():
        i, j = np.argwhere(~reaches)[0]
        raise DataError(
            f"bradley_terry_scores: nothing leads from response {i} to response {j} by being "
            "preferred, so their difference has no finite best value: add comparisons"
        )


def _array(scores):
    if isinstance(scores, Tensor):
        scores = scores.data
    return np.asarray(to_cpu(scores))


def _check_pairs(name, a, b):
    if a.shape != b.shape or a.ndim != 1 or not a.shape[0]:
        raise ShapeError(
            f"{name}: scores have shapes {a.shape} and {b.shape}; both must be (B,) with B >= 1"
        )
