"""The best response may be one that nobody has written down   (book section 2.1.4).

    SFT     pi(y | x) -> share of y among the demonstrations     E[r] <= the best demonstration
    RLHF    pi(y | x) -> pi_ref(y | x) exp(r(x, y) / beta) / Z   any y that the reference can write

To compare two responses is easier than to write a good one. Demonstrations teach what they hold;
labels of a model's own samples teach which of these are better, among them some that no
demonstration holds. Here both ends are exact, for responses that are listed. Read first:
annotators.py; ../exact/regularized.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.exact.expectations import expectation
from tinylm.align.exact.regularized import optimal_policy
from tinylm.align.rewards.pairwise import bradley_terry_scores
from tinylm.errors import ConfigError

if TYPE_CHECKING:
    from tinylm.align.feedback.annotators import SimulatedAnnotator


def demonstrated_policy(
    counts: np.ndarray, logref: np.ndarray | None = None, kept: float = 0.0
) -> np.ndarray:
    """log of the policy that demonstrations lead to: their shares, the optimum of SFT   (eq. 4.1)

    counts   (K,) how often each response was demonstrated
    logref   (K,) log-probabilities before tuning
    kept     share of the old policy that is still there, since tuning stops before its optimum;
             0: responses that were not demonstrated have probability 0
    returns  (K,)
    raises   ConfigError for a share without logref, or not from 0 to 1
    """
    counts = np.asarray(counts, np.float64)
    if not 0 <= kept <= 1 or (kept > 0 and logref is None):
        raise ConfigError(
            f"demonstrated_policy: kept={kept} is a share from 0 to 1 of logref, which must be "
            "given with it"
        )
    law = (1 - kept) * counts / counts.sum()
    if kept > 0:
        law = law + kept * np.exp(logref)
    with np.errstate(divide="ignore"):  # log 0: never written
        return np.log(law)


def learned_reward(
    annotator: "SimulatedAnnotator", prompt: str, responses: Sequence[str], logp: np.ndarray
) -> np.ndarray:
    """The reward that comparisons of a policy's own samples lead to, in the limit of many labels.

    annotator   has probability(prompt, a, b)
    logp        (K,) of the policy that samples both responses of a pair
    returns     (K,) scores with mean 0 over responses that are sampled; 0 for those that never are
    """
    law = np.exp(np.asarray(logp, np.float64))
    sampled = np.flatnonzero(law > 0)
    wins = np.zeros((len(sampled), len(sampled)))
    for i, a in enumerate(sampled):
        for j, b in enumerate(sampled):
            if i != j:
                # how often the pair comes up, times how often a is preferred
                share = annotator.probability(prompt, responses[a], responses[b])
                wins[i, j] = law[a] * law[b] * share
    scores = np.zeros(len(law))
    scores[sampled] = bradley_terry_scores(wins)
    return scores


def tuned_policy(logp: np.ndarray, scores: np.ndarray, beta: float) -> np.ndarray:
    """log pi* of the learned reward, with the demonstrated policy as the reference: (K,)."""
    return optimal_policy(logp, scores, beta)


def beyond(logp: np.ndarray, demonstrated: np.ndarray, gold: np.ndarray) -> dict[str, float | None]:
    """What a policy writes that no demonstration holds.

    logp          (K,);  demonstrated (K,) bool;  gold (K,) gold rewards, for measurement only
    returns       {"outside": its probability of other responses, "reward": E[gold], "reward
                  outside": E[gold | other response], None if it never writes one}
    """
    law, gold = np.exp(np.asarray(logp, np.float64)), np.asarray(gold, np.float64)
    other = ~np.asarray(demonstrated, bool)
    outside, reward_outside = float(law[other].sum()), None
    if outside > 0:
        reward_outside = float(law[other] @ gold[other] / outside)
    reward = float(expectation(np.asarray(logp, np.float64), gold))
    return {"outside": outside, "reward": reward, "reward outside": reward_outside}
