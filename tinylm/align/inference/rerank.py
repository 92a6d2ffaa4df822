"""Best-of-n as re-ranking: a list of one model, ordered by a sum of many scores   (book section
4.4.5; Och and Ney 2002).

    score(x, y) = sum over m of weight_m score_m(x, y)

The language model's log-probability is one score, a reward another, length a third: a log-linear
model over the list. prompt/ensemble/combine.py has two more ways to choose: votes, whose weights
may be rewards, and the greatest overlap. Read next: errors.py.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.align.inference.best_of_n import Candidate
from tinylm.errors import ShapeError
from tinylm.prompt.ensemble.combine import Ballot, vote
from tinylm.prompt.ensemble.outputs import rerank as in_order


def log_linear(scorers: Sequence[Callable], weights: Sequence[float]) -> Callable:
    """A function of a candidate: the weighted sum of its scores.

    scorers  list of functions: candidate -> number;  weights  a number for each; a scorer of
             weight 0 is not called
    raises   ShapeError for another number of weights
    """
    if len(scorers) != len(weights):
        raise ShapeError(f"log_linear: {len(weights)} weights for {len(scorers)} scorers")

    def score(candidate):
        pairs = zip(scorers, weights)
        return sum(weight * scorer(candidate) for scorer, weight in pairs if weight)

    return score


def rerank(
    candidates: Sequence[Candidate], scorers: Sequence[Callable], weights: Sequence[float]
) -> list[tuple[float, Candidate]]:
    """Candidates in the order of a weighted sum of scores: list of (score, candidate), best first.

    candidates  list;  scorers, weights  as in log_linear
    returns     equal scores keep the order of the list
    raises      DataError for a score that is nan
    """
    return in_order(candidates, log_linear(scorers, weights))


def reward_vote(values: Sequence[str], rewards: Sequence[float], beta: float = 1.0) -> Ballot:
    """The answer with the greatest weight, each response weighing exp(reward / beta): Ballot.

    values   list of the answers that responses reach, None for none;  rewards (n,)
    beta     infinite: a plain vote; near 0: best-of-n

    Of samples of the reference, a response of weight exp(r / beta) counts as often as it would
    among samples of pi* = ref exp(r / beta) / Z: this is a vote of the optimal policy, estimated by
    importance sampling   (Li et al. 2023, "verifier-weighted voting", with exp as the weight).
    """
    logs = np.asarray(rewards, float) / beta
    return vote(values, np.exp(logs - logs.max(initial=-np.inf)))  # the best weighs 1
