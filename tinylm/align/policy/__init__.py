"""The policy gradient step by step, up to PPO and the losses of groups   (book 4.3.1, 4.3.3).

mdp.py          a language model as a policy: states, actions, and trajectories' probabilities
surrogates.py   REINFORCE and A2C: log-probabilities weighted by advantages; importance ratios
baselines.py    what is subtracted from a return, and the variance that this saves
advantages.py   temporal-difference errors, generalized advantages, whitening
critic.py       losses of the value model
clipping.py     clipped surrogates: PPO's, the book's printed one, dual clipping
kl.py           three estimators of a divergence from samples; a penalty in the reward or the loss
trust_region.py TRPO's step for policies that are listed
groups.py       several responses to a prompt: RLOO, GRPO, Dr. GRPO, DAPO
sequences.py    GSPO and CISPO: other ratios, other clipping
fixed_points.py what each of these converges to, without sampling

A loss takes log-probabilities of tokens (B, T) and `counted` (align/logprobs.py) and is minimized.
Advantages, old and reference log-probabilities, and rewards are constants in all of them.
"""

from tinylm.align.policy.advantages import gae, td_errors, whitened
from tinylm.align.policy.baselines import leave_one_out, mean_baseline
from tinylm.align.policy.clipping import clipped_loss, clipped_surrogate
from tinylm.align.policy.critic import clipped_value_loss, td_value_loss, value_loss
from tinylm.align.policy.groups import (
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    grpo_loss,
    rloo_advantages,
    rloo_loss,
)
from tinylm.align.policy.kl import AdaptiveKL, k1, k2, k3, kl_in_reward, kl_loss
from tinylm.align.policy.sequences import cispo_loss, gspo_loss
from tinylm.align.policy.surrogates import importance_loss, policy_gradient_loss, ratio
