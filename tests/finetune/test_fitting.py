"""Fine-tuning a model on a list of examples: order, exactness, what is left untouched, how it ends."""

from dataclasses import dataclass

import numpy as np
import pytest

from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune import evaluate, fit, freeze
from tinylm.finetune.fitting import Shuffled
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import Batch


class TwoLayers(Module):
    def __init__(self, seed=0):
        rng = Random(seed)
        self.first = Linear(3, 4, rng, std=1.0, dtype=np.float64)
        self.last = Linear(4, 2, rng, std=1.0, dtype=np.float64)

    def __call__(self, x):
        return self.last(self.first(x).tanh())


@dataclass(frozen=True)
class Sign:
    """Is the sum of three numbers positive?"""

    def make_batch(self, examples, rng):
        return Batch(np.array([x for x, _ in examples]), np.array([y for _, y in examples]))

    def loss(self, model, batch):
        loss = cross_entropy(model(batch.inputs), batch.targets)
        return loss, {"tokens": len(batch), "loss": loss.item()}

    def predict(self, model, batch):
        return model(batch.inputs).data.argmax(axis=1)

    def measure(self, said, examples):
        return {"accuracy": float(np.mean([a == y for a, (_, y) in zip(said, examples)]))}


def examples(n, seed=1):
    x = Random(seed).normal((n, 3), np.float64)
    return [(row, int(row.sum() > 0)) for row in x]


def test_fitting_learns_what_can_be_learnt():
    model, data = TwoLayers(), examples(64)
    losses = fit(model, Sign(), data, epochs=20, batch_size=16, learning_rate=0.05)
    assert len(losses) == 80  # 20 epochs of 64 / 16 batches
    assert evaluate(model, Sign(), data)["accuracy"] > 0.95  # a line separates the classes
    assert losses[-4:].mean() < losses[:4].mean() / 2


class Slope(Module):
    """One number that is its own loss: its slope is 1 in every step."""

    def __init__(self):
        self.theta = Tensor(np.zeros(1), requires_grad=True)


class Downhill:
    def make_batch(self, examples, rng):
        return Batch(np.zeros((len(examples), 1)), np.zeros(len(examples), np.int64))

    def loss(self, model, batch):
        loss = model.theta.sum()
        return loss, {"tokens": len(batch), "loss": loss.item()}


def test_the_rate_rises_over_a_tenth_of_the_steps_and_falls_to_0_in_a_straight_line():
    # While the slope does not change, Adam's step is the rate itself: first and second moment agree.
    model, at = Slope(), [0.0]
    fit(
        model,
        Downhill(),
        [None] * 10,
        epochs=2,
        batch_size=1,
        learning_rate=0.5,
        after_step=lambda step, seconds: at.append(model.theta.data.item()),
    )
    # 2 of 20 steps rise, by thirds; 18 equal steps lead from the highest rate down to 0, which
    # would be that of step 20
    expected = 0.5 * np.array([1 / 3, 2 / 3, *np.linspace(1, 0, 19)[:-1]])
    np.testing.assert_allclose(-np.diff(at), expected, rtol=1e-6, atol=1e-9)  # Adam's eps


def test_an_epoch_reads_every_example_once():
    batches = Shuffled(list(range(10)), 4)
    first = [i for step in range(3) for i in batches.batch(step, 0, 4)]
    assert (
        sorted(first[:10]) == list(range(10)) and first[10:] == first[:2]
    )  # 3 batches of 4: two are filled up
    second = [i for step in range(3, 6) for i in batches.batch(step, 0, 4)]
    assert sorted(second[:10]) == list(range(10)) and second != first


def test_workers_read_parts_of_one_batch():
    batches = Shuffled(list(range(10)), 4)
    assert batches.batch(1, 0, 2) + batches.batch(1, 2, 4) == batches.batch(1, 0, 4)


def test_micro_batches_change_no_result():
    models = [TwoLayers(), TwoLayers()]
    for model, micro_batch in zip(models, (0, 3)):
        fit(model, Sign(), examples(16), batch_size=8, micro_batch=micro_batch)
    for a, b in zip(*(m.parameters() for m in models)):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_a_rate_of_zero_leaves_the_model_as_it_was():
    model = TwoLayers()
    before = model.state_dict()
    fit(model, Sign(), examples(8), learning_rate=0.0)
    assert all(np.array_equal(before[name], p.data) for name, p in model.named_parameters().items())


def test_what_is_frozen_stays_bit_for_bit():
    model = TwoLayers()
    freeze(model.first)
    before = model.state_dict()
    fit(model, Sign(), examples(16), learning_rate=0.1)
    after = model.state_dict()
    assert [name for name in before if np.array_equal(before[name], after[name])] == [
        "first.weight",
        "first.bias",
    ]
    assert model.first.weight.grad is None


def test_training_ends_when_after_epoch_says_so():
    seen = []
    losses = fit(
        TwoLayers(),
        Sign(),
        examples(16),
        epochs=5,
        batch_size=8,
        after_epoch=lambda epoch, losses: seen.append((epoch, len(losses))) or epoch == 2,
    )
    assert seen == [(1, 2), (2, 4)] and len(losses) == 4  # two batches an epoch


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match="every parameter of the model is frozen"):
        fit(freeze(TwoLayers()), Sign(), examples(4))
    with pytest.raises(ConfigError, match="no examples"):
        fit(TwoLayers(), Sign(), [])


def test_afterwards_the_model_is_in_evaluation_mode():
    for steps in (0, 1):
        model = TwoLayers()
        fit(model, Sign(), [((1, 0, 0), 1)], steps=steps)
        assert not model.training
