"""Instruction tuning learns the same, whatever the shape of its batches: 20 steps in float64.

It never samples, so there is no trajectory with or without a cache.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tinylm.finetune.fitting import Shuffled
from tinylm.finetune.instruct.conversations import encode_sft, pack
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters
from tinylm.parallel.launcher import launch
from tinylm.train.trainer import Trainer

STEPS, B, V = 20, 8, 12


def examples():
    """Questions of 1 to 6 tokens; the answer is the last of them, one to four times."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(24):
        prompt = rng.integers(0, V, rng.integers(1, 7)).tolist()
        found.append(encode_sft(prompt, prompt[-1:] * (1 + i % 4)))
    return found


@dataclass(frozen=True)
class PaddedLeft(InstructionTuning):
    """The same rows with the padding before the tokens."""

    def make_batch(self, examples, rng=None):
        batch = super().make_batch(examples, rng)
        order = np.argsort(batch.mask, axis=1, kind="stable")  # padding first
        names = ("inputs", "targets", "mask")
        turned = [np.take_along_axis(getattr(batch, name), order, axis=1) for name in names]
        assert turned[2][:, -1].all() and not turned[2][:, 0].all()
        return replace(batch, **dict(zip(names, turned)))


@dataclass(frozen=True)
class Packed(InstructionTuning):
    """The same conversations in fewer rows."""

    def make_batch(self, examples, rng=None):
        batch = super().make_batch(pack(examples, 15), rng)
        assert len(batch) < len(examples) and batch.segments.max() > 0
        return batch


def trajectory(comm=None, task=InstructionTuning, micro_batch=0, order=slice(None), **architecture):
    """(losses (20,), all parameters) of a training."""
    config = GPTConfig(V, 16, 1, 2, 8, **{"positions": "rope", **architecture})
    model = GPT(config, 0, np.float64)
    flat = FlatParameters(model.named_parameters(), getattr(comm, "empty", None))
    batches = Shuffled(examples(), B, seed=1)

    def batch(step, start, stop):
        return batches.batch(step, 0, B)[order][start:stop]

    trainer = Trainer(
        model, task(), AdamW(flat), batch, B, 3e-3, 1.0, micro_batch, seed=3, comm=comm
    )
    losses = []
    trainer.run(STEPS, lambda step, seconds: losses.append(step.loss))
    return np.array(losses), np.concatenate([p.data.ravel() for p in model.parameters()])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def whole():
    losses, parameters = trajectory()
    assert losses[-1] < losses[0] - 0.1  # something is learned, so there is something to compare
    return losses, parameters


def test_an_example_at_a_time_is_the_batch(whole):
    assert_equal(trajectory(micro_batch=1), whole)


@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_padding_at_the_left_is_padding_at_the_right(positions):
    right = trajectory(positions=positions)
    assert_equal(trajectory(task=PaddedLeft, positions=positions), right)


def test_packed_rows_are_rows_of_one(whole):
    assert_equal(trajectory(task=Packed), whole)


def test_the_order_of_examples_in_a_batch_does_not_matter(whole):
    assert_equal(trajectory(order=slice(None, None, -1)), whole)


def test_with_dropout_too_micro_batches_are_the_batch():
    assert_equal(trajectory(micro_batch=3, dropout=0.1), trajectory(dropout=0.1))


def test_two_workers_are_one(whole):
    assert_equal(launch(trajectory, 2, capacity=1 << 20), whole)
