"""A policy learns the same, however its steps are cut: 20 steps of several updates in float64."""

from dataclasses import replace

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.rlhf import experience, objective, policy_trainer, rollout
from tinylm.generate import ModelLM
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
    """(reward, length and loss of 20 steps (60,), all parameters of policy and value model)."""
    given = {"batch_size": 4, "max_tokens": 4, "eos": 0, "learning_rate": 3e-3, "seed": 2}
    trainer = policy_trainer(
        gpt(seed=7), PROMPTS, reward, method, comm=comm, **given | METHODS[method] | options
    )
    found = trainer.run(STEPS)
    assert all(one["largest_ratio"] < 1e-12 for one in found)
    figures = [one[name] for one in found for name in ("reward", "length", "loss")]
    parameters = trainer.trainer.model.parameters()
    return np.array(figures), np.concatenate([p.data.ravel() for p in parameters])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module", params=list(METHODS))
def whole(request):
    found = trajectory(method=request.param)
    rewards = found[0].reshape(STEPS, 3)[:, 0]
    assert rewards[-5:].mean() > rewards[:5].mean()  # something is learned, there is a trajectory
    return request.param, found


def test_a_response_at_a_time_is_the_batch(whole):
    method, found = whole
    assert_equal(trajectory(method=method, micro_batch=1, score_batch=3), found)


def test_padding_at_the_left_is_padding_at_the_right(whole, monkeypatch):
    method, found = whole
    monkeypatch.setattr(objective, "make_policy_batch", padded_left)
    assert_equal(trajectory(method=method), found)


def padded_left(samples, per_token=True):
    batch = experience.make_policy_batch(samples, per_token)
    if batch.mask is None:
        return batch
    order = np.argsort(batch.mask, axis=1, kind="stable")  # padding first
    names = ("inputs", "targets", "mask", "old", "reference", "values", "advantages", "returns")
    arrays = {name: getattr(batch, name) for name in names}
    turned = {
        name: np.take_along_axis(array, order, axis=1)
        for name, array in arrays.items()
        if array is not None and array.ndim == 2
    }
    return replace(batch, **turned)


def test_sampling_with_the_cache_is_sampling_without_it(whole, monkeypatch):
    method, found = whole
    monkeypatch.setattr(rollout, "generate_rows", without_cache(rollout.generate_rows))
    assert_equal(trajectory(method=method), found)


class Read:
    """In place of keys and values: the tokens read so far, to be read again."""

    def __init__(self, batch, padding):
        self.padding, self.tokens = padding, np.zeros((batch, 0), np.int64)

    @property
    def length(self):
        return self.tokens.shape[1]

    def select(self, rows):
        self.tokens = self.tokens[rows]
        if self.padding is not None:
            self.padding = self.padding[rows]


class Uncached:
    def __init__(self, model):
        self.lm = ModelLM(model)
        self.vocab_size, self.context = self.lm.vocab_size, self.lm.context

    def new_cache(self, batch, padding=None):
        return Read(batch, padding)

    def logits(self, tokens, cache=None):
        raise NotImplementedError

    def next_logits(self, tokens, cache):
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        return self.lm.next_logits(cache.tokens, self.lm.new_cache(len(tokens), cache.padding))


def without_cache(generate_rows):
    return lambda model, *given, **options: generate_rows(Uncached(model), *given, **options)


def test_two_workers_are_one(whole):
    method, found = whole
    assert_equal(launch(trajectory, 2, method, capacity=1 << 20), found)
