"""GRPO and its corrections: a group of responses is its own baseline   (Shao et al. 2024)

    GRPO      A = (R - mean) / std,   a mean for each response, k3 in the loss
    DrGRPO    A = R - mean,           a constant in place of lengths      (Liu et al. 2025)
    DAPO      clips higher above, a mean over all tokens, draws on until groups differ
                                                                          (Yu et al. 2025)
    GSPO      one ratio for a whole response                              (Zheng et al. 2025)
    CISPO     clips weights, keeps gradients                              (MiniMax 2025)

No value model. What each changes in the expected gradient, and where it converges to, stands in
policy/groups.py, policy/sequences.py and policy/fixed_points.py. A group of equal rewards has
advantages of 0. Read next: ../collect.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinylm.align.policy.clipping import clip_fraction, clipped_loss
from tinylm.align.policy.groups import (
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    overlong_penalty,
)
from tinylm.align.policy.sequences import cispo_loss, gspo_loss, sequence_ratio
from tinylm.align.preference.pairs import PreferenceBatch
from tinylm.align.rlhf.methods.method import Method, Now, count, group_of, penalty_in
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.settings import above, at_least, setting

if TYPE_CHECKING:
    from tinylm.align.rlhf.experience import Experience, PolicyBatch


def _advantages(self, experience, rewards, scale=True):
    """(R - mean) / std, or R - mean, of each response in its group: (N, L) rewards -> (N,)."""
    groups = rewards.sum(axis=1).reshape(-1, self.group)  # (P, G)
    return group_advantages(groups, scale).reshape(-1), None


def _read(now, batch):
    """What every surrogate of this file reads."""
    return now.logp, batch.old, batch.advantages, now.counted


def _clipped(now, batch, low, high=None):
    return {"clip_fraction": clip_fraction(*_read(now, batch), low, high)}


@dataclass(frozen=True)
class GRPO(Method):
    """Group-relative policy optimization   (Shao et al. 2024, eq. 3)

    scale  whether advantages are divided by the standard deviation of their group
    """

    group: int = group_of(8)
    kl: str = penalty_in("k3")
    beta: float = setting(0.04, "weight of the penalty", at_least(0))
    clip: float = setting(0.2, "a ratio gains nothing beyond 1 - clip and 1 + clip", above(0))
    scale: bool = setting(True, "divide by the standard deviation of the group")

    how: ClassVar[str] = "sequence"
    reuses: ClassVar[bool] = True
    least: ClassVar[int] = 2

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        return _advantages(self, experience, rewards, self.scale)

    def loss(self, now: Now, batch: "PolicyBatch") -> tuple[Tensor, dict[str, float]]:
        """The policy's part of policy.grpo_loss(); its k3 is added by penalty()."""
        given = _read(now, batch)
        return clipped_loss(*given, how=self.how, low=self.clip), _clipped(now, batch, self.clip)


@dataclass(frozen=True)
class DrGRPO(Method):
    """GRPO without the divisions that bias it, by length and by deviation   (Liu et al. 2025)"""

    group: int = group_of(8)
    kl: str = penalty_in("none")
    clip: float = setting(0.2, "a ratio gains nothing beyond 1 - clip and 1 + clip", above(0))

    reuses: ClassVar[bool] = True
    least: ClassVar[int] = 2

    def unit(self, longest: int) -> Any:
        return longest

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        return _advantages(self, experience, rewards, scale=False)

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        given = _read(now, batch)
        return dr_grpo_loss(*given, now.longest, self.clip), _clipped(now, batch, self.clip)


@dataclass(frozen=True)
class DAPO(Method):
    """Decoupled clip and dynamic sampling   (Yu et al. 2025, eqs. 8-13)

    draws   rollouts at most until all groups have rewards that differ; 1: no dynamic sampling
    buffer  tokens before the longest over which a response is charged up to 1; 0: none
    """

    group: int = group_of(8)
    kl: str = penalty_in("none")
    low: float = setting(0.2, "a ratio gains nothing below 1 - low", above(0))
    high: float = setting(0.28, "a ratio gains nothing above 1 + high", above(0))
    draws: int = setting(4, "rollouts at most until all groups have rewards that differ", count)
    buffer: int = setting(0, "tokens before the longest over which length is charged", at_least(0))

    how: ClassVar[str] = "token"
    reuses: ClassVar[bool] = True
    least: ClassVar[int] = 2

    def check(self, rows: int, longest: int) -> None:
        super().check(rows, longest)
        if self.buffer > longest:
            raise ConfigError(
                f"DAPO: a buffer of {self.buffer} tokens is longer than a response, of which the "
                f"longest has {longest}: lower buffer, or raise max_tokens"
            )

    def advantages(self, experience: "Experience", rewards: np.ndarray) -> tuple[np.ndarray, Any]:
        if self.buffer:
            L = rewards.shape[1]
            charged = overlong_penalty(experience.rollout.lengths, L, self.buffer)  # (N,)
            rewards = rewards + charged[:, None] / L  # summed over the L columns again
        return _advantages(self, experience, rewards)

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        found = dapo_loss(*_read(now, batch), self.low, self.high)
        return found, _clipped(now, batch, self.low, self.high)


@dataclass(frozen=True)
class GSPO(Method):
    """Group sequence policy optimization   (Zheng et al. 2025, eq. 5)"""

    group: int = group_of(8)
    kl: str = penalty_in("none")
    low: float = setting(3e-4, "a response gains nothing below 1 - low", above(0))
    high: float = setting(4e-4, "a response gains nothing above 1 + high", above(0))

    how: ClassVar[str] = "sequence"
    reuses: ClassVar[bool] = True
    least: ClassVar[int] = 2

    advantages = _advantages

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple:
        s = np.log(sequence_ratio(now.logp, batch.old, now.counted).data)[:, None]  # (B, 1)
        one = np.ones(s.shape, bool)
        share = clip_fraction(s, np.zeros_like(s), batch.advantages, one, self.low, self.high)
        found = {"clip_fraction": share, "counts": {"clip_fraction": len(s)}}
        return gspo_loss(*_read(now, batch), self.low, self.high), found


@dataclass(frozen=True)
class CISPO(Method):
    """Clipped importance-sampling weights   (MiniMax 2025, eqs. 4, 5)"""

    group: int = group_of(8)
    kl: str = penalty_in("none")
    low: float | None = setting(None, "weights have at least 1 - low; none without it", above(0))
    high: float = setting(0.2, "weights have at most 1 + high", above(0))

    how: ClassVar[str] = "token"
    reuses: ClassVar[bool] = True
    least: ClassVar[int] = 2

    advantages = _advantages

    def loss(self, now: Now, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        return cispo_loss(*_read(now, batch), self.low, self.high), {}
