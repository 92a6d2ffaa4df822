"""Several responses to one prompt, compared with each other: no value model   (RLOO and GRPO)

    RLOO       A_i = r_i - mean of the others          (Ahmadian et al. 2024)
    GRPO       A_i = (r_i - mean) / std                (Shao et al. 2024)
    Dr. GRPO   A_i = r_i - mean                        (Liu et al. 2025)

What they change in the expected gradient, next to that of the expected reward J: RLOO nothing. The
mean that includes r_i: a factor (G-1)/G, which a penalty on the divergence does not have. The
standard deviation: prompts whose rewards hardly differ weigh as much as others. A mean over the
tokens of each response ("sequence"): long responses weigh less per token. Rows of a batch are
responses; which of them are one group is known to the advantages alone. Read next: sequences.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.align.policy.baselines import leave_one_out, mean_baseline
from tinylm.align.policy.clipping import clipped_loss
from tinylm.align.policy.kl import k3, kl_loss
from tinylm.align.policy.surrogates import policy_gradient_loss
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError


def rloo_advantages(rewards: np.ndarray) -> np.ndarray:
    """r_i less the mean of the others: (..., G) -> (..., G)   (Ahmadian et al. 2024, eq. 8)"""
    return np.asarray(rewards, np.float64) - leave_one_out(rewards)


def group_advantages(
    rewards: np.ndarray, scale: bool = True, eps: float = 1e-4, ddof: int = 0
) -> np.ndarray:
    """(r_i - mean) / (std + eps), of each group   (Shao et al. 2024, section 4.1.2)

    rewards  (..., G)
    scale    False: without the division (Dr. GRPO)
    eps      keeps a group of equal rewards at 0, which has nothing to learn from
    ddof     0: the standard deviation of the group. TRL has 1, torch's default
    returns  (..., G) float64
    """
    centered = np.asarray(rewards, np.float64) - mean_baseline(rewards)
    if not scale:
        return centered
    G = centered.shape[-1]
    if G <= ddof:
        raise ConfigError(f"group_advantages: a group of {G} has no deviation with ddof={ddof}")
    deviation = np.sqrt((centered**2).sum(axis=-1, keepdims=True) / (G - ddof))
    return centered / (deviation + eps)


def informative(rewards: np.ndarray) -> np.ndarray:
    """Groups whose rewards differ: (..., G) -> (...) bool. DAPO draws on until all do.

    A group of equal rewards has no gradient, and still counts in the mean of a batch (Yu et al.
    2025, section 3.2).
    """
    rewards = np.asarray(rewards)
    return rewards.max(axis=-1) > rewards.min(axis=-1)


def overlong_penalty(lengths: Sequence[int], longest: int, buffer: int) -> np.ndarray:
    """0 up to longest - buffer, then falling to -1 at longest   (Yu et al. 2025, eq. 13)

    lengths  tokens of responses;  longest most tokens;  buffer > 0 tokens over which it falls
    returns  array, to be added to rewards: -1 beyond `longest`
    """
    if not 0 < buffer <= longest:
        raise ConfigError(
            f"overlong_penalty: a buffer of {buffer} must be from 1 to the longest, {longest}"
        )
    return np.clip((longest - buffer - np.asarray(lengths, np.float64)) / buffer, -1.0, 0.0)


def rloo_loss(
    logp: Tensor, advantages: np.ndarray, counted: np.ndarray, total: int | None = None
) -> Tensor:
    """- mean over responses of A_i log pi(y_i | x): REINFORCE   (Ahmadian et al. 2024, eq. 8)

    logp        (B, T) Tensor, of responses drawn from this policy;  counted (B, T) bool
    advantages  (B,), of rloo_advantages(): constants;  the penalty belongs to the reward
    total       responses of the whole batch; None: of this one
    returns     Tensor ()

    Check: tinylm gradcheck align.rloo_loss
    """
    return policy_gradient_loss(logp, advantages, counted, "fixed", total or len(counted))


def grpo_loss(
    logp: Tensor,
    old: np.ndarray,
    reference: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    beta: float = 0.04,
    clip_at: float = 0.2,
    total: int | None = None,
) -> Tensor:
    """PPO's clipped loss + beta k3, a mean for each response   (Shao et al. 2024, eq. 3)

    logp            (B, T) Tensor;  counted (B, T) bool
    old, reference  (B, T) log-probabilities when drawn, and of the reference: constants
    advantages      (B,), of group_advantages()
    total           responses of the whole batch; None: of this one
    returns         Tensor ()

    TRL's loss_type="grpo". Check: tinylm gradcheck align.grpo_loss
    """
    gain = clipped_loss(logp, old, advantages, counted, how="sequence", total=total, low=clip_at)
    return gain + kl_loss(k3(logp, reference), counted, beta, "sequence", total)


def dr_grpo_loss(
    logp: Tensor,
    old: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    longest: int,
    clip_at: float = 0.2,
    total: int | None = None,
) -> Tensor:
    """PPO's clipped loss, its sum over tokens divided by a constant   (Liu et al. 2025)

    longest  tokens a response may have: a response weighs by its tokens, whatever the others have
    returns  Tensor ();  other arguments as of grpo_loss(), advantages with scale=False

    TRL's loss_type="dr_grpo". Check: tinylm gradcheck align.dr_grpo_loss
    """
    constant = longest * (total or len(counted))
    return clipped_loss(logp, old, advantages, counted, how="fixed", total=constant, low=clip_at)


def dapo_loss(
    logp: Tensor,
    old: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    low: float = 0.2,
    high: float = 0.28,
    total: int | None = None,
) -> Tensor:
    """PPO's clipped loss with a higher upper bound, over all tokens   (Yu et al. 2025, eq. 8)

    total    tokens of responses in the whole batch; None: of this one
    returns  Tensor ();  other arguments as of grpo_loss()

    TRL's loss_type="dapo". Check: tinylm gradcheck align.dapo_loss
    """
    given = (logp, old, advantages, counted)
    return clipped_loss(*given, how="token", total=total, low=low, high=high)
