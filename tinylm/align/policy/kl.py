"""The penalty on leaving the reference: three estimators, and where they stand   (book 4.51-4.56)

With d = log pi(y) - log pi_ref(y) of a response drawn from pi, all three estimate KL(pi || pi_ref):

    k1 = d,   k2 = d^2 / 2,   k3 = exp(-d) - 1 + d                   (Schulman 2020)

E[k1] = E[k3] = KL exactly. As terms of a *loss* they differ, since d is differentiated where it
stands and not where it is drawn. Expected gradients for y ~ pi:

    k1 in the loss   0, for E[d log pi] = 0          no penalty at all
    k2 in the loss   that of KL(pi || ref)
    k3 in the loss   that of KL(ref || pi)           (GRPO)
    k3 times rho     that of KL(pi || ref)
    k1 in the reward that of KL(pi || ref)           (InstructGPT, PPO, RLOO)

The book's penalty (eqs. 4.51-4.56) is k1 in the loss, of responses of pi_ref: the gradient of
-KL(ref || pi), which drives the policy *away*. It is kept under its name. Read next:
trust_region.py.
"""

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.align.constant import constant
from tinylm.align.logprobs import summed
from tinylm.align.policy.surrogates import ratio
from tinylm.autograd import Array, Tensor, exp
from tinylm.autograd.engine.tensor import array_of
from tinylm.errors import ConfigError
from tinylm.finetune.divergence import divergences


def k1(logp: Tensor, reference: Array) -> Tensor:
    """d = log pi - log pi_ref: no bias, may be negative. (B, T) Tensor, (B, T) -> (B, T)."""
    return logp - constant(reference, logp)


def k2(logp: Tensor, reference: np.ndarray) -> Tensor:
    """d^2 / 2: biased in value, and in a loss the gradient of KL(pi || ref)."""
    return 0.5 * k1(logp, reference) ** 2


def k3(logp: Tensor, reference: Array) -> Tensor:
    """exp(-d) - 1 + d >= 0: no bias, little variance; in a loss the gradient of KL(ref || pi)."""
    d = k1(logp, reference)
    return exp(-d) - 1 + d


def weighted_k3(logp: Tensor, old: np.ndarray, reference: np.ndarray) -> Tensor:
    """rho k3: in a loss the gradient of KL(pi || ref), also for responses of another policy."""
    return ratio(logp, old) * k3(logp, reference)


def kl_loss(
    penalties: Tensor,
    counted: np.ndarray,
    beta: float,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """beta times the mean of a penalty of each token, to be added to a loss of the policy.

    penalties  (B, T) Tensor: k2, k3 or weighted_k3. k1 here is no penalty
    returns    Tensor ()
    """
    return beta * aggregate(penalties, counted, how, total)


def kl_in_reward(
    rewards: np.ndarray, logp: np.ndarray, reference: np.ndarray, counted: np.ndarray, beta: float
) -> np.ndarray:
    """r_t - beta (log pi(y_t) - log pi_ref(y_t)), constants   (Ziegler et al. 2019; InstructGPT)

    rewards  (B, T);  logp, reference (B, T), of the policy that drew, and of the reference
    returns  (B, T) array, 0 where nothing counts
    """
    logp, reference = (np.asarray(array_of(a), np.float64) for a in (logp, reference))
    rewards = np.asarray(array_of(rewards), np.float64)
    return np.where(counted, rewards - beta * (logp - reference), 0.0)


def book_penalty(logp: Tensor, reference: np.ndarray, counted: np.ndarray) -> Tensor:
    """log Pr(y|x) - log Pr_ref(y|x), differentiated as it stands   (book eqs. 4.51, 4.52, 4.56)

    returns  (B,) Tensor. See the head of this file: in expectation no penalty on the policy's own
             responses, and the opposite of one on those of the reference
    """
    return summed(k1(logp, reference), counted)


def token_kl(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(pi || pi_ref) of each next-token distribution, over the whole vocabulary: no sampling.

    logits     (n, V) Tensor, response_logits();  reference (n, V), a constant
    returns    (n,) Tensor
    """
    return divergences(logits, constant(reference, logits))


class AdaptiveKL:
    """beta that keeps the divergence near a target   (Ziegler et al. 2019, section 2.2)

    beta     the coefficient now
    target   the divergence to keep, in the unit in which update() is given it
    horizon  responses over which beta follows: larger is slower
    """

    def __init__(self, beta: float = 0.2, target: float = 6.0, horizon: int = 10_000) -> None:
        if not (beta > 0 and target > 0 and horizon > 0):
            raise ConfigError(
                f"AdaptiveKL: beta {beta}, target {target}, horizon {horizon} must be above 0"
            )
        self.beta, self.target, self.horizon = float(beta), target, horizon

    def update(self, divergence: float, responses: int) -> float:
        """beta *= 1 + clip(divergence / target - 1, -.2, .2) responses / horizon; returns beta."""
        error = float(np.clip(divergence / self.target - 1, -0.2, 0.2))
        self.beta *= 1 + error * responses / self.horizon
        return self.beta
