"""What to watch while preferences are learnt: accuracy, margins, and the chosen answers themselves.

A loss of differences says nothing about levels: it may fall while the chosen answers become less
probable, only less so than the rejected ones   (Pal et al. 2024). Read next: losses.py.
"""

import numpy as np

from tinylm.align.preference.dpo import implicit_reward
from tinylm.autograd.engine.tensor import array_of


def implicit_accuracy(
    reward_chosen: np.ndarray, reward_rejected: np.ndarray, rounding: float = 0.0
) -> float:
    """The share of pairs whose chosen answer has the greater reward, a tie counting as one half.

    rounding  rewards that differ by no more than this are a tie: before the first update policy and
              reference agree, and which of the two is greater is noise
    """
    difference = array_of(reward_chosen) - array_of(reward_rejected)
    tied = np.abs(difference) <= rounding
    return float(np.mean(np.where(tied, 0.5, difference > 0)))


def preference_metrics(
    chosen: np.ndarray,
    rejected: np.ndarray,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> dict[str, float]:
    """Numbers of a batch of pairs: {name: float}.

    arguments  as in dpo(), sums or means as the loss has them; ref_.. are 0 where it has none
    returns    reward_chosen, reward_rejected, margin: means of implicit rewards and their
               difference, in units of beta;  accuracy: of implicit_accuracy;  logp_chosen,
               logp_rejected: means under the policy;  largest_ratio: max |log pi / ref| of all
               answers, 0 before the first update
    """
    chosen, rejected = array_of(chosen), array_of(rejected)
    good = implicit_reward(chosen, ref_chosen, beta)
    bad = implicit_reward(rejected, ref_rejected, beta)
    # Units of the last place: sums of T numbers are known to about sqrt(T) of them.
    size = max(float(np.abs(side).max(initial=0.0)) for side in (chosen, rejected))
    rounding = beta * 8 * np.finfo(chosen.dtype).eps * (1 + size)
    ratios = np.concatenate([chosen - array_of(ref_chosen), rejected - array_of(ref_rejected)])
    return {
        "reward_chosen": float(np.mean(good)),
        "reward_rejected": float(np.mean(bad)),
        "margin": float(np.mean(good - bad)),
        "accuracy": implicit_accuracy(good, bad, rounding),
        "logp_chosen": float(np.mean(chosen)),
        "logp_rejected": float(np.mean(rejected)),
        "largest_ratio": float(np.max(np.abs(ratios))),
    }
