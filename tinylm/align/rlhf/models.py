"""The four models of RLHF, and which of them learn   (book section 4.3.3, figure 4.9)

    policy      pi_theta   the instruction-tuned model            trained
    reference   pi_ref     the same, as it was before             frozen: how far the policy may go
    reward      r_phi      trained on preferences before          frozen: what a response is worth
    value       V_omega    a copy of the reward model's decoder   trained: what a state is worth

Not every method has all four: groups of responses need no value model, and without a penalty no
reference is needed. What must stay frozen is hashed, and compared while training. Read next:
experience.py.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.errors import ConfigError, TrainingError
from tinylm.finetune.freezing import freeze, trainable, unfreeze
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Module
from tinylm.prompt.protocol.weights import weights_hash


class ActorCritic(Module):
    """What is trained: the policy, and a value model or None."""

    def __init__(self, policy: GPT, value: ValueModel | None = None) -> None:
        self.policy, self.value = policy, value


@dataclass
class FourModels:
    """Policy, reference, reward and value; see the head of this file.

    reward   a function, or a reward model (scoring.py)
    """

    policy: Module
    reward: object
    reference: Module | None = None
    value: Module | None = None

    def __post_init__(self) -> None:
        trained = {id(p) for p in self.trained().parameters() if p.requires_grad}
        for name, model in self.frozen_models().items():
            if any(id(p) in trained for p in model.parameters()):
                raise ConfigError(
                    f"the {name} shares parameters with what is trained, and would move with it: "
                    "give a copy, copy.deepcopy(model)"
                )
        self.hashes = self.frozen_hashes()

    def trained(self) -> ActorCritic:
        """The policy and the value model as one Module."""
        return ActorCritic(self.policy, self.value)

    def frozen_models(self) -> dict[str, Module]:
        """{name: Module} of what must not change: the reference, and a reward that is a model."""
        found = {"reference": self.reference, "reward": self.reward}
        return {name: model for name, model in found.items() if isinstance(model, Module)}

    def frozen_hashes(self) -> dict[str, str]:
        """{name: hash of all weights} of frozen_models()."""
        return {name: weights_hash(model) for name, model in self.frozen_models().items()}

    def check_frozen(self) -> None:
        """Compare the frozen models with what they were at first.

        raises   TrainingError naming one that has changed
        """
        for name, found in self.frozen_hashes().items():
            if found != self.hashes[name]:
                raise TrainingError(
                    f"the {name} has changed while the policy was trained: it must stay as it is"
                )


def four_models(
    policy: GPT,
    reward: Callable,
    *,
    reference: np.ndarray | None = None,
    value: Callable | None = None,
    needs_reference: bool = True,
    critic: bool = True,
) -> FourModels:
    """Assemble what a method needs, with copies of what is not given.

    policy     instruction-tuned model, trained in place
    reward     a function, or a reward model
    reference  model; None: a frozen copy of the policy as it is now
    value      ValueModel; None: a copy of the reward model's, where the reward is one; else a copy
               of the policy's decoder with a head whose values are all 0 at first
    needs_reference, critic   whether there is a penalty, and a critic
    returns    FourModels
    """
    if not needs_reference:
        reference = None
    elif reference is None:
        reference = freeze(copy.deepcopy(policy))
    if not critic:
        value = None
    elif value is None and isinstance(reward, RewardModel):
        value = reward.value_model()
        if not trainable(value):
            unfreeze(value)  # the reward model was frozen after its training
    elif value is None:
        value = ValueModel(copy.deepcopy(policy), std=0.0)
    return FourModels(policy, reward, reference, value)
