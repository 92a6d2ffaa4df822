"""A policy learns the same, however its steps are cut: 20 steps of several updates in float64."""

from dataclasses import replace

import numpy as np
import pytest

from tests.align.packed import in_packed_rows, packed_values
from tests.align.rlhf.uncached import without_cache
from tests.align.small import gpt
from tinylm.align import logprobs
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.align.rlhf import experience, objective, policy_trainer, rollout
from tinylm.parallel.launcher import launch

STEPS = 20
PROMPTS = [[1], [2, 1], [0, 1, 2], [2], [1, 2, 2, 1], [0, 2]]
METHODS = {
    "ppo": {"epochs": 2, "entropy": 0.01, "target_kl": 0.5, "horizon": 100},
    "grpo": {"group": 2, "epochs": 2},
    "rloo": {"group": 2},
    "dapo": {"group": 2, "minibatches": 2, "buffer": 2},
}


def reward(prompt, response):
    """How often a token follows itself, and something for the first token."""
    repeats = sum(a == b for a, b in zip(response, response[1:]))
    return repeats + 0.1 * response[0]


def trajectory(comm=None, method="ppo", **options):
    """(figures of 20 steps (20, 6), all parameters of policy and value model)."""
    given = {"batch_size": 4, "max_tokens": 4, "eos": 0, "learning_rate": 3e-3, "seed": 2}
    trainer = policy_trainer(
        gpt(seed=7), PROMPTS, reward, method, comm=comm, **given | METHODS.get(method, {}) | options
    )
    found = trainer.run(STEPS)
    assert all(one["largest_ratio"] < 1e-12 for one in found)
    names = ("reward", "length", "loss", "entropy", "moved", "clip_fraction")
    figures = [[one.get(name, 0.0) for name in names] for one in found]
    parameters = trainer.trainer.model.parameters()
    return np.array(figures), np.concatenate([p.data.ravel() for p in parameters])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module", params=list(METHODS))
def whole(request):
    found = trajectory(method=request.param)
    rewards = found[0][:, 0]
    assert rewards[-5:].mean() > rewards[:5].mean()  # something is learned, there is a trajectory
    return request.param, found


def test_a_response_at_a_time_is_the_batch(whole):
    method, found = whole
    assert_equal(trajectory(method=method, micro_batch=1, score_batch=3), found)


def test_the_share_of_responses_that_are_clipped_is_that_of_the_batch():
    """GSPO's ratio is one for a response, so responses are counted, and not their tokens."""
    runs = [
        trajectory(method="gspo", group=2, epochs=2, micro_batch=size, learning_rate=1e-4)
        for size in (0, 3)
    ]
    assert_equal(*runs)
    clipped = runs[0][0][:, -1]
    assert 0 < clipped.mean() < 0.5


def test_padding_at_the_left_is_padding_at_the_right(whole, monkeypatch):
    method, found = whole
    monkeypatch.setattr(objective, "make_policy_batch", padded_left)
    assert_equal(trajectory(method=method), found)


def padded_left(samples, per_token=True):
    batch = experience.make_policy_batch(samples, per_token)
    if batch.mask is None:
        return batch
    order = np.argsort(batch.mask, axis=1, kind="stable")  # padding first
    names = ("inputs", "targets", "mask", *experience.PLACED)
    arrays = {name: getattr(batch, name) for name in names}
    turned = {
        name: np.take_along_axis(array, order, axis=1)
        for name, array in arrays.items()
        if array is not None and array.ndim == 2
    }
    return replace(batch, **turned)


def test_packed_rows_are_rows_of_one(whole, monkeypatch):
    method, found = whole
    packed = in_packed_rows(logprobs.response_logits)
    monkeypatch.setattr(logprobs, "response_logits", packed)  # of reference and old policy
    monkeypatch.setattr(objective, "response_logits", packed)
    monkeypatch.setattr(ValueModel, "__call__", packed_values)
    assert_equal(trajectory(method=method), found)


def test_sampling_with_the_cache_is_sampling_without_it(whole, monkeypatch):
    method, found = whole
    monkeypatch.setattr(rollout, "generate_rows", without_cache(rollout.generate_rows))
    assert_equal(trajectory(method=method), found)


def test_two_workers_are_one(whole):
    method, found = whole
    assert_equal(launch(trajectory, 2, method, capacity=1 << 20), found)
