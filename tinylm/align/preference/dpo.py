"""Direct preference optimization: the reward model is the policy itself   (book section 4.4.2, eqs.
4.80 to 4.82; Rafailov et al. 2023).

The policy that maximizes reward - beta KL(pi || ref) is pi* = ref exp(r / beta) / Z, so a reward is
a policy in disguise   (eq. 4.80):

    r(x, y) = beta log[pi*(y|x) / ref(y|x)] + beta log Z(x)

Z depends on x alone. In a difference of two rewards for one prompt it cancels, the Bradley-Terry
probability of a preference becomes a function of pi and ref, and its likelihood needs no reward
model and no samples   (eqs. 4.81, 4.82):

    rho_c = log[pi(y_c|x) / ref(y_c|x)]      rho_r likewise, of the rejected answer
    loss  = -log sigmoid(beta (rho_c - rho_r))

All log-probabilities here are **sums over the tokens of a response**, none of the prompt. Each loss
is one number a pair, (B,); training minimizes their mean over pairs. Read next: margins.py.
"""

from typing import Any

import numpy as np

from tinylm.align.constant import constant
from tinylm.autograd import Array, Tensor, softplus
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError


def log_ratio(logp: Array, reference: np.ndarray) -> Array:
    """log[pi(y|x) / ref(y|x)], the reference a constant: (B,) Tensor, (B,) -> (B,) Tensor."""
    return logp - constant(reference, logp)


def implicit_reward(
    logp: np.ndarray, reference: np.ndarray, beta: float = 0.1, log_partition: ArrayLike = 0.0
) -> Any:
    """The reward for which a policy is optimal   (book eq. 4.80)

        r(x, y) = beta (log[pi(y|x) / ref(y|x)] + log Z(x))

    logp, reference  (B,) summed log-probabilities under policy and reference
    log_partition    log Z(x), a number or (B,); 0 where rewards are compared for one prompt only
    returns          (B,)
    """
    return beta * (log_ratio(logp, reference) + log_partition)


def logit(
    chosen: Tensor, rejected: Tensor, ref_chosen: np.ndarray, ref_rejected: np.ndarray, beta: float
) -> Any:
    """beta (rho_c - rho_r), (B,): difference of implicit rewards, logit of the preference."""
    rho = log_ratio(chosen, ref_chosen) - log_ratio(rejected, ref_rejected)
    return beta * rho


def preference_probability(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> Tensor:
    """Pr(y_c > y_r | x) under the implicit reward   (book eq. 4.81): (B,); arguments of dpo()."""
    return logit(chosen, rejected, ref_chosen, ref_rejected, beta).sigmoid()


def dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """DPO, and with label smoothing cDPO   (book eq. 4.82; Rafailov et al. 2023, eq. 7; Mitchell
    2023, eq. 3)

        -(1 - e) log sigmoid(d) - e log sigmoid(-d)      d = beta (rho_c - rho_r)

    chosen, rejected          (B,) Tensors, summed log-probabilities of responses under the policy
    ref_chosen, ref_rejected  (B,) arrays, the same under the reference: constants
    beta             how much a change against the reference costs
    label_smoothing  e, the share of labels that are wrong: the loss then has its minimum at
                     sigmoid(d) = 1 - e instead of growing d without end
    returns          (B,); log 2 where policy and reference agree, whatever beta

    The derivative by `chosen` is -beta sigmoid(-d) without smoothing, by `rejected` its opposite.
    TRL's loss_type="sigmoid" and torchtune's DPOLoss. Check: tinylm gradcheck align.dpo
    """
    d = logit(chosen, rejected, ref_chosen, ref_rejected, beta)
    # -log sigmoid(d) = softplus(-d), which does not overflow.
    if not label_smoothing:
        return softplus(-d)
    return (1 - label_smoothing) * softplus(-d) + label_smoothing * softplus(d)


def robust_dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
    label_smoothing: float = 0.1,
) -> Tensor:
    """DPO that labels flipped with probability e leave unbiased   (Chowdhury et al. 2024)

        [(1 - e) l(d) - e l(-d)] / (1 - 2 e)      l(d) = -log sigmoid(d), d as in dpo()

    label_smoothing  e below 1/2. The expectation over flips is l(d): (1-e)^2 l(d) - e (1-e) l(-d)
                     + e (1-e) l(-d) - e^2 l(d) = (1 - 2 e) l(d)
    returns          (B,); log 2 at the start. Not bounded below
    raises           ConfigError unless 0 <= e < 1/2

    TRL's loss_type="robust". Check: tinylm gradcheck align.robust_dpo
    """
    if not 0 <= label_smoothing < 0.5:
        raise ConfigError(
            f"robust_dpo: label_smoothing {label_smoothing} is the share of flipped labels, "
            "from 0 to below 1/2"
        )
    d = logit(chosen, rejected, ref_chosen, ref_rejected, beta)
    difference = (1 - label_smoothing) * softplus(-d) - label_smoothing * softplus(d)
    return difference / (1 - 2 * label_smoothing)


def spin(
    human: Tensor, own: Tensor, ref_human: np.ndarray, ref_own: np.ndarray, beta: float = 0.1
) -> Tensor:
    """Self-play fine-tuning: DPO whose rejected answer is the model's own   (book section 4.2.2.2;
    Chen et al. 2024, "Self-Play Fine-Tuning Converts Weak Language Models to Strong Language
    Models", ICML, section 4.1)

    human, ref_human  (B,) summed log-probabilities of answers written by people: Tensor and array
    own, ref_own      (B,) of answers sampled from the policy of the iteration before, which is the
                      reference; a new iteration samples anew
    beta              the paper's lambda
    returns           (B,); log 2 at the start of an iteration. At pi = the people's distribution
                      there is nothing to learn: chosen and rejected have one law
    """
    return dpo(human, own, ref_human, ref_own, beta)
