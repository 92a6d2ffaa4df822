"""What a method of policy gradient is: an advantage, a loss, and what both are means of.

    advantages(experience, rewards)   once for each rollout, of arrays
    loss(now, batch)                  for each minibatch, of Tensors: a few lines that call the
                                      functions of tinylm/align/policy

The penalty on leaving the reference is common to all (`kl`): in the reward of each token, or as a
term of the loss by the name of its estimator. `how` says what a loss is a mean of, as in
aggregation.py; it is one for all terms of a loss, so that a batch may be cut into parts. Read next:
on_policy.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinylm.align.policy.kl import k1, k2, k3, kl_loss, weighted_k3
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.settings import at_least, one_of, setting, validate

if TYPE_CHECKING:
    from tinylm.align.rlhf.experience import PolicyBatch


# In the loss, by name: what k1, k2 and k3 are the gradient of stands in policy/kl.py.
ESTIMATORS = {
    "k1": lambda now, batch: k1(now.logp, batch.reference),
    "k2": lambda now, batch: k2(now.logp, batch.reference),
    "k3": lambda now, batch: k3(now.logp, batch.reference),
    "weighted_k3": lambda now, batch: weighted_k3(now.logp, batch.old, batch.reference),
}
PLACES = ("reward", *ESTIMATORS, "none")
WHITEN = ("none", "rewards", "advantages", "both")


def count(value: Any) -> str | None:
    """A check: a whole number, 1 or more."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return None
    return "must be a whole number, 1 or more"


def group_of(size: int) -> Any:
    """The setting `group` with its default."""
    return setting(size, "responses drawn for each prompt", count)


def penalty_in(place: str) -> Any:
    """The setting `kl` with its default."""
    return setting(place, "where the penalty on leaving the reference is", one_of(*PLACES))


def whitening(kind: str) -> Any:
    """The setting `whiten` with its default."""
    return setting(kind, "what gets mean 0 and variance 1 over a rollout", one_of(*WHITEN))


@dataclass(frozen=True)
class Now:
    """What the models give for a batch in the present step.

    logp     (B, T) Tensor, log pi(y_t | ..);  counted (B, T) bool
    logits   (n, V) Tensor, of the n tokens that count
    values   (B, T) Tensor, or None without a value model
    total    what sums are divided by where `how` is "fixed"; None: aggregate() counts
    longest  most tokens of a response
    """

    logp: Tensor
    counted: np.ndarray
    logits: Tensor
    values: Tensor | None
    total: int | None
    longest: int


@dataclass(frozen=True)
class Method:
    """Settings and defaults that all methods have; subclasses are the methods."""

    group: int = group_of(1)
    kl: str = penalty_in("reward")
    beta: float = setting(0.05, "weight of the penalty", at_least(0))
    epochs: int = setting(1, "times that each response is read", count)
    minibatches: int = setting(1, "updates for each reading of the responses", count)
    whiten: str = whitening("none")

    how: ClassVar[str] = "fixed"  # what the loss is a mean of: see aggregation.py
    critic: ClassVar[bool] = False  # whether there is a value model
    reuses: ClassVar[bool] = False  # whether responses of an earlier policy are weighed by a ratio
    least: ClassVar[int] = 1  # responses that a group must have
    draws: ClassVar[int] = 1  # rollouts at most for one step: see DAPO

    def __post_init__(self) -> None:
        validate(self)
        name = type(self).__name__
        if self.updates > 1 and not self.reuses:
            raise ConfigError(
                f"{name}: {self.epochs} epochs of {self.minibatches} minibatches: it has no ratio, "
                "so that after one update the responses are another policy's; use PPO or GRPO, or "
                "1 and 1"
            )
        if self.group < self.least:
            raise ConfigError(
                f"{name}: a group of {self.group}: responses to a prompt are compared with each "
                f"other, so {self.least} are needed at least"
            )

    @property
    def updates(self) -> int:
        """Steps of the optimizer for each rollout."""
        return self.epochs * self.minibatches

    @property
    def needs_reference(self) -> bool:
        """Whether a reference policy is read."""
        return self.kl != "none"

    def check(self, rows: int, longest: int) -> None:
        """Refuse what the method cannot do with a step of `rows` responses of at most `longest`
        tokens.

        raises   ConfigError
        """
        if self.whiten != "none" and rows < 2:
            raise ConfigError(
                f"{type(self).__name__}: a step has one response, which may be one token, and a "
                f"single number has no variance: let whiten be 'none', not {self.whiten!r}, or "
                "draw more responses: batch_size, group, more prompts"
            )

    def unit(self, longest: int) -> int:
        """With how "fixed": what divides the sum over the tokens of a response."""
        return 1

    def penalty(self, now: Now, batch: "PolicyBatch", beta: float) -> Tensor | float:
        """beta times the mean of the estimator that `kl` names, to be added to the loss: Tensor ();
        0 where the penalty is in the reward.
        """
        if self.kl not in ESTIMATORS:
            return 0.0
        found = ESTIMATORS[self.kl](now, batch)
        return kl_loss(found, now.counted, beta, self.how, now.total)
