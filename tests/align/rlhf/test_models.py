"""The four models of RLHF: which are copies, which learn, and that the others stay as they are."""

import copy

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.align.rlhf import four_models, policy_trainer
from tinylm.align.rlhf.models import FourModels
from tinylm.errors import ConfigError, TrainingError
from tinylm.finetune import freeze
from tinylm.finetune.peft.lora import lora
from tinylm.prompt.protocol.weights import weights_hash

IDS = np.array([[1, 2, 0]])
OPTIONS = {"batch_size": 2, "max_tokens": 3, "eos": 0, "learning_rate": 1e-2}


def reward_model(seed=3):
    return RewardModel(gpt(seed=seed), seed=1, std=1.0)


def test_the_reference_begins_as_the_policy_and_is_frozen():
    policy = gpt()
    models = four_models(policy, reward_model())
    np.testing.assert_array_equal(models.reference(IDS).data, policy(IDS).data)
    assert not any(p.requires_grad for p in models.reference.parameters())
    assert all(p.requires_grad for p in policy.parameters())


def test_the_value_model_begins_as_the_reward_model():
    reward = freeze(reward_model())
    models = four_models(gpt(), reward)
    np.testing.assert_array_equal(models.value(IDS).data, reward.values(IDS).data)
    assert all(p.requires_grad for p in models.value.parameters())
    assert not any(p.requires_grad for p in reward.parameters())


def test_without_a_reward_model_all_values_are_0_at_first():
    policy = gpt()
    models = four_models(policy, lambda x, y: 1.0)
    assert (models.value(IDS).data == 0).all()
    shared = {id(p) for p in policy.parameters()} & {id(p) for p in models.value.parameters()}
    assert not shared


def test_what_is_given_is_used_and_what_is_not_needed_is_not_made():
    reference, value = gpt(seed=1), ValueModel(gpt(seed=2))
    given = four_models(gpt(), reward_model(), reference=reference, value=value)
    assert given.reference is reference and given.value is value
    none = four_models(gpt(), reward_model(), needs_reference=False, critic=False)
    assert none.reference is None and none.value is None


def test_with_lora_the_value_model_learns_as_little_as_the_policy():
    policy = lora(gpt(), r=1)
    models = four_models(policy, lambda x, y: 1.0)
    learnt = [name for name, p in models.value.named_parameters().items() if p.requires_grad]
    assert "head.weight" in learnt
    assert all(name == "head.weight" or name[-2:] in (".a", ".b") for name in learnt)


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_policy_and_value_learn_reference_and_reward_do_not(method):
    trainer = policy_trainer(gpt(), [[1], [2]], reward_model(), method, **OPTIONS)
    models = trainer.models
    frozen = models.frozen_hashes()
    trained = {"policy": models.policy}
    if method == "ppo":
        trained["value"] = models.value
    before = {name: weights_hash(model) for name, model in trained.items()}
    trainer.run(2)
    assert models.frozen_hashes() == frozen and set(frozen) == {"reference", "reward"}
    for name, model in trained.items():
        assert weights_hash(model) != before[name], name


def test_a_reference_that_moves_ends_the_training():
    reference = gpt()

    def reward(prompt, response):
        reference.parameters()[0].data[0, 0] += 1e-9
        return 1.0

    trainer = policy_trainer(gpt(), [[1]], reward, "rloo", reference=reference, **OPTIONS)
    with pytest.raises(TrainingError, match="the reference has changed while the policy"):
        trainer.step()


def test_the_policy_cannot_be_its_own_reference():
    policy = gpt()
    with pytest.raises(ConfigError, match="the reference shares parameters with what is trained"):
        FourModels(policy, None, policy)
    reward = reward_model()
    with pytest.raises(ConfigError, match="the reward shares parameters"):
        FourModels(gpt(), reward, None, reward.values)
    FourModels(policy, None, copy.deepcopy(policy))
