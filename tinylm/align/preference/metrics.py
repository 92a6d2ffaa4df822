"""What to watch while preferences are learnt: accuracy, margins, and the chosen answers themselves.

A loss of differences says nothing about levels: it may fall while the chosen answers become less
probable, only less so than the rejected ones   (Pal et al. 2024). Read next: losses.py.
"""

import numpy as np

from tinylm.align.preference.dpo import implicit_reward
from tinylm.autograd.engine.tensor import array_of


def implicit_accuracy(reward_chosen, reward_rejected):
    """The share of pairs whose chosen answer has the greater reward, equals counting as wrong."""
    return float(np.mean(array_of(reward_chosen) > array_of(reward_rejected)))


def preference_metrics(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
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
    ratios = np.concatenate([chosen - array_of(ref_chosen), rejected - array_of(ref_rejected)])
    return {
        "reward_chosen": float(np.mean(good)),
        "reward_rejected": float(np.mean(bad)),
        "margin": float(np.mean(good - bad)),
        "accuracy": implicit_accuracy(good, bad),
        "logp_chosen": float(np.mean(chosen)),
        "logp_rejected": float(np.mean(rejected)),
        "largest_ratio": float(np.max(np.abs(ratios))),
    }
