"""PPO: several updates for each rollout, each within a bound   (book eqs. 4.49-4.56)

    policy   - mean of min(rho A, clip(rho, 1-e, 1+e) A),  rho_t = pi(y_t | ..) / pi_old(y_t | ..)
    value    mean of the larger of (V - G)^2 and that of a V clipped around its old value
    A        GAE of rewards r_t - beta (log pi_old - log pi_ref),  G = A + V_old

The three log-probabilities: pi changes in every update, pi_old with every rollout, pi_ref never.
The book has one symbol for the last two. (Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al.
2022.) Read next: grpo.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinylm.align.policy.advantages import gae
from tinylm.align.policy.clipping import (
    clip_fraction,
    clipped_loss,
    clipped_surrogate,
    dual_clipped_surrogate,
)
from tinylm.align.policy.critic import clipped_value_loss, value_loss
from tinylm.align.policy.surrogates import entropy_loss
from tinylm.align.rlhf.methods.method import Method, Now, count, whitening
from tinylm.autograd import Tensor
from tinylm.settings import above, at_least, between, one_of, setting

if TYPE_CHECKING:
    from tinylm.align.rlhf.experience import Experience, PolicyBatch


@dataclass(frozen=True)
class PPO(Method):
    """Proximal policy optimization with a critic   (Schulman et al. 2017)

    how        "token": means over all tokens of a batch, as TRL; "fixed": the mean over responses
               of sums over their tokens, whose expected gradient is the exact one
    dual_clip  c of dual clipping; None: without (Ye et al. 2020)
    """

    epochs: int = setting(4, "times that each response is read", count)
    whiten: str = whitening("advantages")
    clip: float = setting(0.2, "a ratio gains nothing beyond 1 - clip and 1 + clip", above(0))
    clip_high: float | None = setting(None, "the upper bound is 1 + this; none: clip", above(0))
    dual_clip: float | None = setting(None, "bound on what a bad token costs", above(1))
    gamma: float = setting(1.0, "discount of a reward one token later", between(0, 1))
    lam: float = setting(0.95, "weight of later TD errors", between(0, 1))
    value_weight: float = setting(0.5, "weight of the critic's loss", at_least(0))
    value_clip: float | None = setting(0.2, "bound on the change of a value; none", above(0))
    entropy: float = setting(0.0, "weight of the entropy of the policy", at_least(0))
    how: str = setting("token", "what the losses are means of", one_of("token", "fixed"))

    critic: ClassVar[bool] = True
    reuses: ClassVar[bool] = True

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        """Advantages and targets of the critic: (N, L) twice.

        The value after the last token is 0, also of a response that was cut at the most tokens: its
        score stands there, so the episode ends there.
        """
        values, counted = experience.values, experience.counted
        found = gae(rewards, values, counted, self.gamma, self.lam)
        return found, found + values

    def loss(self, now: Now, batch: "PolicyBatch") -> tuple[Tensor, dict[str, Any]]:
        given, mean = (now.logp, batch.old, batch.advantages), (self.how, now.total)
        bounds = {"low": self.clip, "high": self.clip_high}
        share = clip_fraction(*given, now.counted, **bounds)
        surrogate = clipped_surrogate
        if self.dual_clip is not None:
            surrogate, bounds["bound"] = dual_clipped_surrogate, self.dual_clip
        loss = clipped_loss(*given, now.counted, surrogate, *mean, **bounds)
        critic = self._value_loss(now, batch)
        loss = loss + self.value_weight * critic
        if self.entropy:
            loss = loss + self.entropy * entropy_loss(now.logits, now.total)
        return loss, {"value_loss": critic, "clip_fraction": share}

    def _value_loss(self, now, batch):
        mean = self.how, now.total
        if self.value_clip is None:
            return value_loss(now.values, batch.returns, now.counted, *mean)
        given = now.values, batch.values, batch.returns, now.counted
        return clipped_value_loss(*given, self.value_clip, *mean)
