"""The loop: resumed as if never stopped, adaptive penalty, whitening, signals, what is refused."""

import json
import os
import signal

import numpy as np
import pytest

from tests.align.rlhf.test_collect import PROMPTS
from tests.align.small import gpt
from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.align.rlhf import policy_trainer, rollout
from tinylm.align.rlhf.trainer import _explained, _whitened
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.models import GPT, GPTConfig

OPTIONS = {"batch_size": 2, "max_tokens": 3, "eos": 0, "learning_rate": 1e-2}
KINDS = {
    "ppo": {"epochs": 2, "target_kl": 0.1, "horizon": 10},
    "dapo": {"group": 2, "draws": 3, "minibatches": 2},
}


def reward(prompt, response):
    return response[0] + 0.1 * len(response)


def trainer(method="ppo", seed=0, **options):
    return policy_trainer(gpt(seed=seed), PROMPTS, reward, method, **OPTIONS | options)


def parameters(made):
    return [p.data.copy() for p in made.trainer.model.parameters()]


@pytest.mark.parametrize("method", KINDS)
def test_a_resumed_training_is_one_that_never_stopped(method):
    """The same bits: parameters, moments, coefficient, prompts and random streams."""
    whole = trainer(method, **KINDS[method])
    whole.run(4)
    first = trainer(method, **KINDS[method])
    first.run(2)
    arrays, state = first.state()
    arrays = {file: {k: v.copy() for k, v in one.items()} for file, one in arrays.items()}
    second = trainer(method, **KINDS[method])
    second.load_state(arrays, json.loads(json.dumps(state)))
    found = second.run(4)
    assert [one["step"] for one in found] == [3, 4]
    for one, other in zip(parameters(whole), parameters(second), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.beta == second.beta and whole.collector.draws == second.collector.draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("wrong", [{"temperature": 1.3}, {"top_k": 2}, {"top_p": 0.6}])
def test_a_sampler_of_another_distribution_ends_the_training(temperature, wrong, monkeypatch):
    """Whatever its temperature, and also where it drops tokens."""
    made = trainer(temperature=temperature)
    found = made.step()
    assert found["largest_ratio"] < 1e-9
    generate_rows = rollout.generate_rows

    def other(*given, **options):
        return generate_rows(*given, **{**options, **wrong})

    monkeypatch.setattr(rollout, "generate_rows", other)
    with pytest.raises(DataError, match="in a log-probability before the first update"):
        made.step()


def test_the_state_has_the_policy_under_its_own_names():
    made = trainer()
    arrays, _ = made.state()
    assert set(arrays) == {"model", "value", "optimizer"}
    assert set(arrays["model"]) == set(made.models.policy.named_arrays())
    assert set(trainer("rloo", group=2).state()[0]) == {"model", "optimizer"}


def test_another_reference_is_refused():
    arrays, state = trainer().state()
    other = policy_trainer(gpt(), PROMPTS, reward, reference=gpt(seed=4), **OPTIONS)
    before = parameters(other)
    with pytest.raises(CheckpointError, match="the reference is not the one"):
        other.load_state(arrays, state)
    assert all(np.array_equal(a, b) for a, b in zip(before, parameters(other)))


def test_beta_follows_the_divergence():
    """2 responses a step, horizon 10: at most 4 % a step, as the first KL is below the target."""
    made = trainer(target_kl=0.1, horizon=10, beta=0.5)
    first = made.step()
    assert first["beta"] == 0.5 and first["kl"] == pytest.approx(0, abs=1e-12)
    assert made.beta == pytest.approx(0.5 * (1 - 0.2 * 2 / 10), rel=1e-12)
    assert made.step()["beta"] == pytest.approx(0.48, rel=1e-12)


def test_the_penalty_keeps_the_policy_near():
    far, near = trainer("rloo", group=4, beta=0.0), trainer("rloo", group=4, beta=10.0)
    assert near.run(15)[-1]["kl"] < far.run(15)[-1]["kl"]


def test_whitening_is_over_all_tokens_or_all_responses():
    counted = np.array([[True, True], [True, False]])
    tokens = np.array([[1.0, 2.0], [6.0, 99.0]])
    found = _whitened(tokens, counted)[counted]
    assert found.mean() == pytest.approx(0, abs=1e-12) and found.std() == pytest.approx(1)
    whole = _whitened(np.array([1.0, 2.0, 6.0]), None)
    np.testing.assert_allclose(whole, found, rtol=1e-12)


@pytest.mark.parametrize("whiten", ["rewards", "advantages", "both", "none"])
def test_what_is_whitened_is_named(whiten, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "tinylm.align.rlhf.trainer.whitened",
        lambda values, counted, shift=True: seen.append(shift) or values,
    )
    trainer(whiten=whiten).step()
    # rewards keep their mean, which the value model learns; advantages do not
    assert seen == {"rewards": [False], "advantages": [True], "both": [False, True]}.get(whiten, [])


def test_explained_is_the_share_of_variance_that_values_know():
    made = trainer()
    experience, _ = made.collector.collect()
    G = np.where(experience.counted, np.arange(6.0).reshape(2, 3), 0.0)

    def explained(values):
        return _explained(type(experience)(**vars(experience) | {"returns": G, "values": values}))

    assert explained(G) == 1
    assert explained(G - 5) == 1  # a constant has no variance
    assert explained(0 * G) == pytest.approx(0)
    assert explained(-G) < 0


def test_a_signal_lets_the_step_finish():
    made = trainer(epochs=3)
    heard = []

    def interrupt(metrics):
        os.kill(os.getpid(), signal.SIGTERM)

    found = made.run(9, interrupt, say=lambda: heard.append(1))
    assert len(found) == 1 and made.iteration == 1  # the signal came after the first step
    assert made.trainer.step == 3 and heard == [1]
    assert made.stopped_by == signal.SIGTERM
    assert trainer().run(1) and trainer().stopped_by is None


def test_what_cannot_be_trained_is_refused_before_anything_is_drawn():
    with pytest.raises(ConfigError, match="no prompts"):
        policy_trainer(gpt(), [], reward)
    with pytest.raises(DataError, match="prompt 0 has 30 tokens"):
        policy_trainer(gpt(), [[1] * 30], reward, **OPTIONS)
    with pytest.raises(ConfigError, match="target_kl: with kl 'none'"):
        trainer("dapo", group=2, target_kl=1.0)
    with pytest.raises(ConfigError, match="temperature must be a finite number above 0"):
        trainer(temperature=0.0)
    with pytest.raises(ConfigError, match="a buffer of 4 tokens"):
        trainer("dapo", group=2, buffer=4)
    with pytest.raises(ConfigError, match="a step has one response"):  # one prompt for a batch of 2
        policy_trainer(gpt(), [[1]], reward, **OPTIONS)


@pytest.mark.parametrize("name, room", [("reference", 1), ("value", 1), ("reward", 0)])
def test_every_model_reads_the_longest_text_or_is_named_at_the_start(name, room):
    """Of 3 tokens after a prompt, a reward model reads all, the others all but the last."""
    small = GPT(GPTConfig(3, 7, 1, 2, 8), 0, np.float64)  # a context of 7
    made = {"reference": small, "value": ValueModel(small), "reward": RewardModel(small)}[name]
    longest = [1] * (7 - 3 + room)
    given = {"reward": reward, **{name: made}}
    policy_trainer(gpt(), [[1], longest], **OPTIONS | given)
    with pytest.raises(DataError, match=f"prompt 1 has .* 3 are .*: the {name} model reads 7"):
        policy_trainer(gpt(), [[1], [*longest, 1]], **OPTIONS | given)
