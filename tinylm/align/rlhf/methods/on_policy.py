"""Methods without a ratio: each response is read once, by the policy that drew it.

    REINFORCE   A_t = G_t - b                        (book eqs. 4.24-4.26; Williams 1992)
    A2C         A_t = sum of TD errors               (book eqs. 4.28-4.32; Mnih et al. 2016)
    RLOO        A_i = R_i - mean of the others'      (Ahmadian et al. 2024)

The loss of all three is the policy gradient's, - mean over responses of sum_t A_t log pi(y_t | ..),
whose expected gradient is the exact one. Read next: ppo.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinylm.align.exact.tokens import returns_to_go
from tinylm.align.policy.advantages import gae
from tinylm.align.policy.baselines import leave_one_out, mean_baseline
from tinylm.align.policy.critic import value_loss
from tinylm.align.policy.groups import rloo_advantages, rloo_loss
from tinylm.align.policy.surrogates import entropy_loss, policy_gradient_loss
from tinylm.align.preference.pairs import PreferenceBatch
from tinylm.align.rlhf.methods.method import Method, Now, group_of
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.settings import at_least, between, one_of, setting

if TYPE_CHECKING:
    from tinylm.align.rlhf.experience import Experience, PolicyBatch


BASELINES = {
    "leave_one_out": leave_one_out,
    "mean": mean_baseline,
    "none": np.zeros_like,
}


@dataclass(frozen=True)
class Reinforce(Method):
    """REINFORCE: reward to go, less a baseline from the whole batch   (Williams 1992)

    baseline  leave_one_out: the mean of the returns of all other responses, which changes no
              expectation; mean: its own included, a factor (N-1)/N; none
    """

    baseline: str = setting("leave_one_out", "what is subtracted from a return", one_of(*BASELINES))
    entropy: float = setting(0.0, "weight of the entropy of the policy", at_least(0))

    def check(self, rows: int, longest: int) -> None:
        super().check(rows, longest)
        if self.baseline == "leave_one_out" and rows < 2:
            raise ConfigError(
                "Reinforce: one response has no others to take a baseline from: draw more "
                "(batch_size, group, more prompts), or baseline 'none'"
            )

    def advantages(self, experience: Any, rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        """G_t - b of each token: (N, L)   (book eqs. 4.25, 4.26)"""
        b = BASELINES[self.baseline](rewards.sum(axis=1))  # (N,)
        found = returns_to_go(rewards) - b[:, None]
        return np.where(experience.counted, found, 0.0), None

    def loss(self, now: Now, batch: "PolicyBatch") -> tuple[Tensor, dict[str, float]]:
        loss = policy_gradient_loss(now.logp, batch.advantages, now.counted, self.how, now.total)
        if self.entropy:
            loss = loss + self.entropy * entropy_loss(now.logits, now.total)
        return loss, {}


@dataclass(frozen=True)
class A2C(Method):
    """Advantage actor-critic: a value model says what was to be expected   (Mnih et al. 2016)

    lam   1: the return less the value (book eq. 4.28); 0: the TD error (eq. 4.31); between: GAE
    """

    gamma: float = setting(1.0, "discount of a reward one token later", between(0, 1))
    lam: float = setting(1.0, "weight of later TD errors: 0 the book's eq. 4.31", between(0, 1))
    value_weight: float = setting(0.5, "weight of the critic's loss", at_least(0))
    entropy: float = setting(0.0, "weight of the entropy of the policy", at_least(0))

    critic: ClassVar[bool] = True

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        """Advantages and targets of the critic: (N, L) twice.

        The value after the last token is 0, also of a response that was cut at the most tokens: its
        score stands there, so the episode ends there.
        """
        values, counted = experience.values, experience.counted
        found = gae(rewards, values, counted, self.gamma, self.lam)
        return found, found + values

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        mean = now.counted, self.how, now.total
        loss = policy_gradient_loss(now.logp, batch.advantages, *mean)
        critic = value_loss(now.values, batch.returns, *mean)
        loss = loss + self.value_weight * critic
        if self.entropy:
            loss = loss + self.entropy * entropy_loss(now.logits, now.total)
        return loss, {"value_loss": critic}


@dataclass(frozen=True)
class RLOO(Method):
    """REINFORCE with the mean of the other responses to the same prompt   (Ahmadian et al. 2024)"""

    group: int = group_of(4)

    least: ClassVar[int] = 2

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> Any:
        """R_i less the mean of the others in its group: (N,)."""
        groups = rewards.sum(axis=1).reshape(-1, self.group)  # (P, G)
        return rloo_advantages(groups).reshape(-1), None

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        return rloo_loss(now.logp, batch.advantages, now.counted), {}
