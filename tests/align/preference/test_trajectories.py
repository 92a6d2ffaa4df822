"""Preferences are learnt the same, whatever the shape of batches: 20 steps in float64."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.preference import DPO, tune
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.parallel import launch

STEPS, B, V = 20, 8, 12


def pairs():
    """Answers of unequal lengths, the chosen one of even tokens; some labels are soft."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(24):
        prompt, one, other = (rng.integers(0, 6, int(n)) for n in rng.integers(1, 6, 3))
        chosen, rejected = encode_sft(prompt, 2 * one), encode_sft(prompt, 2 * other + 1)
        found.append(EncodedPair(chosen, rejected, probability=1 - 0.25 * (i % 2)))
    return found


@dataclass(frozen=True)
class PaddedLeft(DPO):
    """The same batches with the padding before the tokens."""

    def make_batch(self, pairs, rng=None):
        batch = super().make_batch(pairs, rng)
        order = np.argsort(batch.mask, axis=2, kind="stable")  # padding first
        names = ("inputs", "targets", "mask")
        turned = [np.take_along_axis(getattr(batch, name), order, axis=2) for name in names]
        assert turned[2][..., -1].all() and not turned[2].all()
        return replace(batch, **dict(zip(names, turned)))


def trajectory(comm=None, name="dpo", task=DPO, **options):
    """(losses (20,), all parameters) of a training; sums in DPO, means in IPO and ORPO."""
    model = gpt(V)
    given = {"steps": STEPS, "learning_rate": 1e-2, "seed": 3, "comm": comm}
    losses = tune(model, task(name), pairs(), B, **given | options)
    return np.array(losses), np.concatenate([p.data.ravel() for p in model.parameters()])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module", params=["dpo", "ipo", "orpo"])
def whole(request):
    losses, parameters = trajectory(name=request.param)
    assert losses[-5:].mean() < losses[:5].mean()  # something is learned, there is a trajectory
    return request.param, (losses, parameters)


def test_a_pair_at_a_time_is_the_batch(whole):
    name, found = whole
    assert_equal(trajectory(name=name, micro_batch=1), found)


def test_padding_at_the_left_is_padding_at_the_right(whole):
    name, found = whole
    assert_equal(trajectory(name=name, task=PaddedLeft), found)


def test_two_workers_are_one():
    """Two processes, which take a second to start; each differentiates 4 of the 8 pairs."""
    assert_equal(launch(trajectory, 2), trajectory())
