"""A policy learns the same on every device: three steps of float64."""

import numpy as np
import pytest

from tests.align.rlhf.test_collect import PROMPTS
from tests.align.small import gpt
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.rlhf import METHODS, policy_trainer
from tinylm.backend import to_cpu

MORE = {
    "ppo": [
        {"entropy": 0.1, "dual_clip": 3.0, "whiten": "both"},
        {"kl": "weighted_k3", "value_clip": None, "how": "fixed", "target_kl": 0.1},
    ],
    "a2c": [{"entropy": 0.1, "kl": "k2"}],
    "cispo": [{"low": 0.5, "kl": "k3"}],
}
CASES = [(method, more) for method in METHODS for more in [{}, *MORE.get(method, [])]]


def reward(prompt, response):
    return response[0] + 0.1 * len(response)


def losses(where, method, reward, options):
    given = {"batch_size": 2, "max_tokens": 3, "eos": 0, "learning_rate": 1e-2, "temperature": 0.7}
    if METHODS[method]().group > 1:
        given["group"] = 2
    made = policy_trainer(gpt().to(where), PROMPTS, reward, method, **given | options)
    return [step["loss"] for step in made.run(3)]


@pytest.mark.parametrize("method, options", CASES, ids=str)
def test_every_device_follows_one_trajectory(method, options, device):
    found = losses(device, method, reward, options)
    np.testing.assert_allclose(found, losses("cpu", method, reward, options), atol=1e-10)


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_a_reward_model_scores_on_every_device(method, device):
    """Its decoder begins the value model of PPO."""
    models = [RewardModel(gpt(seed=3)).to(where) for where in ("cpu", device)]
    found = [losses(where, method, m, {}) for where, m in zip(("cpu", device), models)]
    np.testing.assert_allclose(*found, atol=1e-10)


def test_a_training_goes_on_on_every_device(device):
    options = {"batch_size": 2, "max_tokens": 3, "eos": 0, "learning_rate": 1e-2, "whiten": "none"}

    def made():
        return policy_trainer(gpt().to(device), PROMPTS, reward, "ppo", **options)

    whole, first, second = made(), made(), made()
    wanted = [step["loss"] for step in whole.run(2)]
    first.run(1)
    arrays, state = first.state()
    saved = {file: {k: to_cpu(v).copy() for k, v in one.items()} for file, one in arrays.items()}
    second.load_state(saved, state)
    assert second.run(2)[0]["loss"] == pytest.approx(wanted[1], abs=1e-12)
