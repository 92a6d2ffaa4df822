"""One function for all of it: train a policy with a reward, by the name of a method.

    train_policy(policy, prompts, reward, "grpo", steps=200, group=8, max_tokens=24, eos=end)

Read first: trainer.py.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.align.rlhf.collect import PolicySettings
from tinylm.align.rlhf.methods import METHODS, Method
from tinylm.align.rlhf.models import four_models
from tinylm.align.rlhf.trainer import PolicyTrainer
from tinylm.errors import ConfigError
from tinylm.finetune.fitting import raise_if_interrupted
from tinylm.models.decoder.gpt import GPT
from tinylm.train.alone import Alone


def train_policy(
    policy: GPT,
    prompts: Sequence[list[int]],
    reward: Callable,
    method: str = "ppo",
    *,
    steps: int = 100,
    after_step: Callable | None = None,
    **options: Any,
) -> list[dict[str, float]]:
    """Train a policy on prompts by a reward, in place.

    policy      GPT, or another model that response_logprobs() and generate() read
    prompts     list of sequences of ids
    reward      function (prompt, response) -> number, of ids (of_texts() for one of texts), or a
                reward model: RewardModel, RewardEnsemble
    method      name of METHODS, or a Method
    steps       turns of sample, evaluate, update
    after_step  called as after_step(metrics) after each; a true result ends the training
    options     of policy_trainer(): reference, value, eos, learning_rate, rate, comm, and every
                setting of the method and of PolicySettings
    returns     list of metrics, one a step: see PolicyTrainer.step()
    raises      ConfigError for a setting that neither has; KeyboardInterrupt on Ctrl-C, Terminated
                on SIGTERM or SIGHUP, after the current step
    """
    trainer = policy_trainer(policy, prompts, reward, method, **options)
    found = trainer.run(steps, after_step)
    if trainer.iteration < steps:
        raise_if_interrupted(trainer.trainer, math.inf)
    return found


def policy_trainer(
    policy: GPT,
    prompts: Sequence[list[int]],
    reward: Callable,
    method: str = "ppo",
    *,
    reference: np.ndarray | None = None,
    value: Callable | None = None,
    eos: int | None = None,
    learning_rate: float = 1e-4,
    rate: Callable | None = None,
    comm: Alone | None = None,
    **settings: Any,
) -> PolicyTrainer:
    """A PolicyTrainer with its four models; arguments as of train_policy().

    reference  model; None: a frozen copy of the policy as it is now, where there is a penalty
    value      ValueModel; None: see four_models(), where there is a critic
    eos        id that ends a response, several, or None
    learning_rate  of AdamW
    rate       update -> learning rate, in place of a constant one
    comm       communicator of workers that train together
    settings   fields of the method and of PolicySettings
    """
    method, common = _configured(method, settings)
    models = four_models(
        policy,
        reward,
        reference=reference,
        value=value,
        needs_reference=method.needs_reference,
        critic=method.critic,
    )
    return PolicyTrainer(
        models, prompts, method, common, eos=eos, rate=rate or learning_rate, comm=comm
    )


def method_class(name: str) -> type[Method]:
    """The class of a method by its name in METHODS. ConfigError lists the names."""
    if name not in METHODS:
        raise ConfigError(f"no method {name!r}: there are {', '.join(METHODS)}")
    return METHODS[name]


def setting_names(kind: type) -> list[str]:
    """The names of the settings of a Method or of PolicySettings."""
    return [field.name for field in dataclasses.fields(kind)]


def _configured(method, settings):
    """(Method, PolicySettings) of the settings by name."""
    common = setting_names(PolicySettings)
    kind = type(method)
    if not isinstance(method, Method):
        kind = method_class(method)
    own = setting_names(kind)
    for name in settings:
        if name not in own and name not in common:
            raise ConfigError(
                f"{kind.__name__} has no setting {name!r}; it has {', '.join(own)}; all methods "
                f"have {', '.join(common)}"
            )
    given = {name: value for name, value in settings.items() if name in own}
    if isinstance(method, Method):
        method = dataclasses.replace(method, **given)
    else:
        method = kind(**given)
    shared = {name: value for name, value in settings.items() if name in common}
    return method, PolicySettings(**shared)
