"""A reward model learns the same, whatever the shape of its batches: 20 steps in float64.

It never samples, so there is no trajectory with or without a cache.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.align.packed import packed_values
from tests.align.rewards.test_modeling import pair
from tests.finetune.tasks.heads_small import decoder
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.finetune.fitting import Shuffled
from tinylm.optim import AdamW, FlatParameters
from tinylm.parallel.launcher import launch
from tinylm.train.trainer import Trainer

STEPS, B = 20, 8


def examples():
    """Pairs of unequal lengths, some with a soft label or a margin."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(24):
        prompt, *responses = (rng.integers(0, 20, int(n)).tolist() for n in rng.integers(1, 7, 3))
        found.append(pair(prompt, [20, *responses[0]], [21, *responses[1]], margin=0.1 * (i % 3)))
        found[-1] = replace(found[-1], probability=1 - 0.25 * (i % 2))
    return found


@dataclass(frozen=True)
class PaddedLeft(RewardModeling):
    """The same batches with the padding before the tokens."""

    def make_batch(self, examples, rng=None):
        batch = super().make_batch(examples, rng)
        order = np.argsort(batch.mask, axis=-1, kind="stable")  # padding first
        ids, mask = (np.take_along_axis(a, order, axis=-1) for a in (batch.inputs, batch.mask))
        assert not mask.all() and mask[..., -1].all()
        return replace(batch, inputs=ids, mask=mask)


def trajectory(comm=None, task=None, micro_batch=0, dropout=0.0, order=slice(None)):
    """(losses (20,), all parameters) of a training."""
    model = RewardModel(decoder(dropout=dropout))
    flat = FlatParameters(model.named_parameters(), getattr(comm, "empty", None))
    batches = Shuffled(examples(), B, seed=1)

    def batch(step, start, stop):
        return batches.batch(step, 0, B)[order][start:stop]

    task = task or RewardModeling(center=0.01)
    trainer = Trainer(model, task, AdamW(flat), batch, B, 3e-3, 1.0, micro_batch, seed=3, comm=comm)
    losses = []
    trainer.run(STEPS, lambda step, seconds: losses.append(step.loss))
    return np.array(losses), np.concatenate([p.data.ravel() for p in model.parameters()])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def whole():
    losses, parameters = trajectory()
    assert losses[-1] < losses[0]  # something is learned, so there is something to compare
    return losses, parameters


def test_a_pair_at_a_time_is_the_batch(whole):
    assert_equal(trajectory(micro_batch=1), whole)


def test_padding_at_the_left_is_padding_at_the_right(whole):
    assert_equal(trajectory(task=PaddedLeft(center=0.01)), whole)


def test_packed_rows_are_rows_of_one(whole, monkeypatch):
    monkeypatch.setattr(ValueModel, "__call__", packed_values)
    assert_equal(trajectory(), whole)


def test_the_order_of_pairs_in_a_batch_does_not_matter(whole):
    assert_equal(trajectory(order=slice(None, None, -1)), whole)


def test_with_dropout_too_micro_batches_are_the_batch():
    assert_equal(trajectory(micro_batch=3, dropout=0.1), trajectory(dropout=0.1))


def test_two_workers_are_one(whole):
    assert_equal(launch(trajectory, 2, capacity=1 << 20), whole)
