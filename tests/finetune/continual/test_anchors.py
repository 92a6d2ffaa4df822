"""Anchors: the Fisher information of logistic regression in closed form, and optima that can be
written down.
"""

import dataclasses

import numpy as np
import pytest

from tests.finetune.continual.several import ENCODER_INPUT, encoder, word_task
from tinylm.autograd import Tensor, linear
from tinylm.backend import Random, to_cpu
from tinylm.errors import ConfigError
from tinylm.finetune.continual.anchors import (
    Anchor,
    Penalized,
    empirical_fisher,
    moved_apart,
    true_fisher,
)
from tinylm.finetune.continual.many_tasks import ManyHeads, ManyTasks, items
from tinylm.finetune.fitting import fit
from tinylm.finetune.freezing import trainable
from tinylm.nn import Linear, Module
from tinylm.optim import SGD, FlatParameters
from tinylm.train.step import accumulate


@dataclasses.dataclass(frozen=True)
class Rows:
    """A batch that is nothing but rows."""

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self):
        return len(self.inputs)

    tokens = property(__len__)


class Bowl(Module):
    """A parameter whose loss is a quadratic with optimum `best`: sum_i h_i (theta_i - best_i)^2 /
    2.
    """

    def __init__(self, theta, h, best):
        self.theta, self.h, self.best = Tensor(theta.copy(), requires_grad=True), h, best


class BowlTask:
    def make_batch(self, examples, rng=None):
        return Rows(np.zeros((len(examples), 1)), np.zeros((len(examples), 1), np.int64))

    def loss(self, model, batch):
        loss = ((model.theta - model.best) ** 2 * model.h).sum() * 0.5
        return loss, {"tokens": len(batch), "loss": loss.item()}


def descend(model, task, steps, lr):
    optimizer = SGD(model.named_parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(model, task.make_batch([None]))[0].backward()
        optimizer.step()


def logistic(rng, d=3, classes=2):
    """Softmax regression in float64: the model and its logits of one example."""
    layer = Linear(d, classes, None, dtype=np.float64)
    layer.weight = Tensor(rng.normal(size=(d, classes)), requires_grad=True)
    layer.bias = Tensor(rng.normal(size=classes), requires_grad=True)
    return layer, lambda x: linear(Tensor(x[None]), layer.weight, layer.bias)


def test_the_true_fisher_of_softmax_regression_is_x_squared_p_times_one_minus_p(rng):
    layer, logits = logistic(rng, classes=3)
    x = rng.normal(size=(5, 3))
    z = x @ layer.weight.data + layer.bias.data
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)  # (5, 3)
    found = true_fisher(layer, logits, layer.named_parameters(), list(x))
    # d log p_y / d W_ic = x_i (1[y = c] - p_c), and E_y (1[y = c] - p_c)^2 = p_c (1 - p_c)
    np.testing.assert_allclose(
        found["weight"], np.einsum("ni,nc->ic", x**2, p * (1 - p)) / 5, rtol=1e-12
    )
    np.testing.assert_allclose(found["bias"], (p * (1 - p)).mean(0), rtol=1e-12)


def test_another_device_has_the_same_fisher(device, rng):
    layer, _ = logistic(rng)
    x = rng.normal(size=(3, 3))
    found = []
    for place in ("cpu", device):
        layer.to(place)
        on_it = true_fisher(
            layer,
            lambda row, place=place: layer(Tensor(row[None]).to(place)),
            layer.named_parameters(),
            list(x),
        )
        found.append({name: to_cpu(value) for name, value in on_it.items()})
    np.testing.assert_allclose(found[1]["weight"], found[0]["weight"], rtol=1e-12)


def test_the_empirical_fisher_takes_the_labels_of_the_data(rng):
    layer, logits = logistic(rng)
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    z = x @ layer.weight.data + layer.bias.data
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    slope = np.eye(2)[y] - p  # (6, 2)
    found = empirical_fisher(layer, logits, layer.named_parameters(), list(x), y)
    np.testing.assert_allclose(
        found["weight"], np.einsum("ni,nc->ic", x**2, slope**2) / 6, rtol=1e-12
    )
    together = (
        np.einsum("ni,nc->ic", x, slope) / 6
    ) ** 2  # the square of the mean is another thing
    assert (together < found["weight"]).all()


def test_without_examples_there_is_no_expectation(rng):
    layer, logits = logistic(rng)
    with pytest.raises(ConfigError, match="no examples"):
        true_fisher(layer, logits, layer.named_parameters(), [])


def test_ewc_on_quadratics_ends_at_the_weighted_mean_of_both_optima():
    old, new = np.array([1.0, -2.0, 0.5]), np.array([3.0, 1.0, 0.0])
    fisher, h, strength = np.array([2.0, 0.0, 5.0]), np.array([1.0, 1.5, 0.5]), 0.8
    model = Bowl(old, h, new)
    anchor = Anchor(model.named_parameters(), strength, {"theta": fisher})
    descend(model, Penalized(BowlTask(), anchor), 400, 0.3)
    # Zero slope: strength F (theta - old) + h (theta - new) = 0. Where F = 0 the new optimum is
    # reached.
    np.testing.assert_allclose(
        model.theta.data, (strength * fisher * old + h * new) / (strength * fisher + h), rtol=1e-10
    )


def test_anchors_of_several_tasks_add_up():
    model = Bowl(np.zeros(2), np.ones(2), np.array([4.0, 4.0]))
    first = Anchor(model.named_parameters(), 1.0)
    model.theta.data += 2.0
    second = Anchor(model.named_parameters(), 2.0)
    descend(model, Penalized(BowlTask(), first, second), 200, 0.2)
    np.testing.assert_allclose(
        model.theta.data, (1 * 0 + 2 * 2 + 1 * 4) / 4
    )  # weights 1, 2 and the task's 1


def test_a_huge_strength_stays_where_it_is():
    model = Bowl(np.array([1.0, 1.0]), np.ones(2), np.array([9.0, 9.0]))
    anchor = Anchor(model.named_parameters(), 1e8)
    descend(model, Penalized(BowlTask(), anchor), 50, 1e-8)
    np.testing.assert_allclose(
        model.theta.data, 1 + 8 / (1e8 + 1), rtol=1e-9
    )  # the closed form again


def train(strength=None):
    model = ManyHeads(encoder(), (2,))
    task = ManyTasks.of(ENCODER_INPUT, 1)
    if strength is not None:
        task = Penalized(task, Anchor(trainable(model.encoder), strength))
    losses = fit(model, task, items(0, word_task(0)), epochs=2, batch_size=8, learning_rate=0.01)
    return model, losses


def test_strength_zero_is_plain_fine_tuning():
    plain, anchored = train(), train(0.0)
    np.testing.assert_array_equal(plain[1], anchored[1])
    for name, value in plain[0].state_dict().items():
        np.testing.assert_array_equal(anchored[0].state_dict()[name], value)


def test_more_strength_moves_less():
    def moved(strength):
        start, end = trainable(encoder()), trainable(train(strength)[0].encoder)
        return sum(float(((p.data - start[name].data) ** 2).sum()) for name, p in end.items())

    assert moved(0.0) > 2 * moved(1.0) > 4 * moved(100.0)


def test_a_penalty_counts_once_however_the_batch_is_cut():
    model, found = ManyHeads(encoder(dtype=np.float64), (2,)), []
    task = Penalized(ManyTasks.of(ENCODER_INPUT, 1), Anchor(trainable(model), 3.0))
    flat, batch = FlatParameters(trainable(model)), task.make_batch(items(0, word_task(0, 8)))
    flat.data += 0.1  # away from where the anchor is
    for parts in ([batch], [batch.rows(0, 3), batch.rows(3, 8)]):
        loss = accumulate(model, task, flat, parts, len(batch))
        found.append((loss, flat.collect().copy()))
    np.testing.assert_allclose(found[0][0], found[1][0])
    np.testing.assert_allclose(
        found[0][1], found[1][1], rtol=1e-9, atol=1e-12
    )  # float64, summed in another order


def test_importance_must_be_of_the_same_parameters(rng):
    layer, _ = logistic(rng)
    with pytest.raises(ConfigError, match="differ in bias"):
        Anchor(layer.named_parameters(), 1.0, {"weight": np.ones((3, 2))})


def test_a_penalized_task_answers_as_the_task():
    model, _ = train()
    task, examples = ManyTasks.of(ENCODER_INPUT, 1), items(0, word_task(0, 4))
    penalized, batch = Penalized(task, Anchor(trainable(model), 1.0)), task.make_batch(examples)
    assert penalized.predict(model, batch) == task.predict(model, batch)
    assert penalized.measure([0] * 4, examples) == task.measure([0] * 4, examples)


def test_an_anchor_goes_along_to_another_device(device, rng):
    layer, _ = logistic(rng)
    importance = {name: np.full(p.shape, 2.0) for name, p in layer.named_parameters().items()}
    anchor = Anchor(layer.named_parameters(), 1.0, importance)
    layer.to(device)
    layer.bias.assign_(layer.bias.data + 3.0)
    assert anchor().item() == pytest.approx(layer.bias.size * 9.0)  # (1/2) 2 3^2 for each


def test_an_error_in_the_middle_leaves_the_model_in_its_mode():
    model = Linear(2, 2, Random(0)).train()
    with pytest.raises(ZeroDivisionError):
        true_fisher(model, lambda example: 1 / 0, model.named_parameters(), [None])
    assert model.training


def test_what_is_of_no_importance_may_move_any_distance():
    moved = Tensor(np.array([1e30, 2.0], np.float32), requires_grad=True)  # its square is infinite
    start, importance = [np.zeros(2, np.float32)], [np.array([0.0, 1.0], np.float32)]
    penalty = moved_apart([moved], start, importance)
    penalty.backward()
    np.testing.assert_array_equal(penalty.numpy(), 2)
    np.testing.assert_array_equal(moved.grad.numpy(), [0, 2])


def test_a_penalty_in_float16_is_half_a_sum_that_float16_does_not_hold():
    moved = Tensor(np.array([250, 200], np.float16), requires_grad=True)  # 62500 + 40000
    penalty = moved_apart([moved], [np.zeros(2, np.float16)])
    assert penalty.dtype == np.float16
    np.testing.assert_allclose(penalty.numpy(), 51250, rtol=1e-3)
