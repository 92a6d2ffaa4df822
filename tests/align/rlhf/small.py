"""A tiny policy whose responses can all be listed, and the expected update of a method on it."""

import numpy as np

from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy, expected_loss
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.align.rlhf.experience import assess, with_advantages
from tinylm.align.rlhf.models import FourModels
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.align.rlhf.rollout import Rollout
from tinylm.autograd import grad
from tinylm.nn import evaluating

END, BETA = 0, 0.3


def listed(eos=END, seed=0, length=2, prompt=(1, 0)):
    """All responses to one prompt, [0], [1, 0] and [1, 1] where 0 is the end mark."""
    return ListedPolicy(gpt(vocab_size=2, seed=seed), [list(prompt)], length, eos=eos)


def critic(seed=5):
    """A value model that knows nothing."""
    return ValueModel(gpt(vocab_size=2, seed=seed), seed=1, std=1.0)


def rollout_of(policy, rows, eos=END, temperature=1.0):
    """Some responses of a listed policy as a Rollout, drawn at a temperature."""
    counted = policy.counted[rows]
    ids = np.where(counted, policy.responses[rows], 0)
    ended = np.array([row[held][-1] == eos for row, held in zip(ids, counted)])
    with evaluating(policy.model):
        drawn = policy.token_logprobs(temperature).data[0][rows]
    prompts = [policy.prompts[0].tolist()] * len(rows)
    return Rollout(prompts, ids, counted, ~ended & (eos is not None), drawn)


def experience_of(policy, method, rows, rewards, models, eos=END, beta=None):
    """Those responses with the advantages of a method: Experience."""
    found = assess(models, rollout_of(policy, rows, eos), rewards[rows])
    held = 0.0
    if method.kl == "reward":
        held = method.beta if beta is None else beta
    advantages, returns = method.advantages(found, found.rewards(held))
    return with_advantages(found, advantages, returns)


def expected_update(policy, method, rewards, reference, size, value=None, eos=END):
    """The expected gradient of a method's loss over all groups of draws: list of arrays."""
    models = FourModels(policy.model, None, reference, value)
    trained = models.trained()
    objective = PolicyObjective(method, policy.responses.shape[1])
    objective.begin(method.beta)

    def of_group(rows):
        samples = experience_of(policy, method, rows, rewards, models, eos).samples()
        return objective.loss(trained, objective.make_batch(samples))[0]

    total = expected_loss(policy.logprobs().data[0], size, of_group)
    return [g.data for g in grad(total, policy.model.parameters())]
