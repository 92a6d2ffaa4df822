"""Gradients of samples against gradients of the target task."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.selection.influence import (
    RandomProjection,
    adam_direction,
    gradient_influence,
    influence,
    predicted_change,
    sample_gradients,
)
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.freezing import freeze, trainable
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning

TASK = InstructionTuning()
TRAIN = [encode_sft([1, 2], [3, 4]), encode_sft([5], [6, 7, 8]), encode_sft([9, 1], [2])]
VAL = [encode_sft([1, 2], [3, 5]), encode_sft([4], [6])]


def losses(m, examples):
    return np.array([TASK.loss(m, TASK.make_batch([one]))[0].item() for one in examples])


def test_the_predicted_change_is_the_measured_one_for_small_steps():
    m = model()
    training, validation = (sample_gradients(m, TASK, some) for some in (TRAIN, VAL))
    tensors = list(trainable(m).values())
    before = losses(m, VAL)
    errors = []
    for rate in (1e-3, 1e-4):
        predicted = predicted_change(training, validation, rate)
        assert predicted.shape == (3, 2)
        measured = []
        for row in training:
            kept, at = [p.data.copy() for p in tensors], 0
            for p in tensors:  # theta - lr g
                p.data -= rate * row[at : at + p.data.size].reshape(p.shape)
                at += p.data.size
            measured.append(losses(m, VAL) - before)
            for p, old in zip(tensors, kept):
                p.data[...] = old
        errors.append(np.abs(np.array(measured) - predicted).max())
        assert errors[-1] < 0.05 * np.abs(predicted).max()
    # what is left is of second order: a tenth of the step, a hundredth of the error
    assert errors[1] < errors[0] / 50


def test_a_step_on_the_target_itself_helps_most():
    found = gradient_influence(model(), TASK, [*TRAIN, VAL[1]], VAL[1:])
    assert found.argmax() == 3 and found[3] == pytest.approx(1.0)
    assert (np.abs(found) <= 1 + 1e-12).all()


def test_influence_is_a_cosine_with_the_mean_gradient():
    found = influence([[2.0, 0.0], [0.0, -3.0], [1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(found, [1.0, 0.0, 0.5**0.5, 0.0])
    for shapes in (((2, 3), (2, 4)), ((3,), (1, 3)), ((1, 3), (3,))):
        with pytest.raises(ShapeError, match="need"):
            influence(*map(np.zeros, shapes))


def test_a_random_projection_keeps_inner_products_in_expectation():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30))
    found = []
    for seed in range(300):
        project = RandomProjection(4, seed)
        found.append(project(x) @ project(y))
    # unbiased: within 4 standard errors of the mean
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - x @ y) < 4 * error
    # the variance of one is at most (|x|^2 |y|^2 + (x.y)^2) / d
    assert np.var(found) < 1.5 * ((x @ x) * (y @ y) + (x @ y) ** 2) / 4


def test_a_projection_is_linear_and_made_of_signs():
    project = RandomProjection(3, seed=1)
    unit = np.stack([project(row) for row in np.eye(5)])  # (5, 3)
    np.testing.assert_allclose(np.abs(unit), 1 / np.sqrt(3))
    np.testing.assert_allclose(project(np.arange(5.0)), np.arange(5.0) @ unit)
    assert len({tuple(row) for row in np.sign(unit).T}) > 1
    assert not np.array_equal(project(np.ones(5)), RandomProjection(3, seed=2)(np.ones(5)))
    np.testing.assert_array_equal(
        RandomProjection(3)(np.ones(5)), RandomProjection(3, 0)(np.ones(5))
    )
    assert abs(RandomProjection(1)([3.0, 4.0])[0]) in (1, 7)  # one sum of +-3 and +-4
    with pytest.raises(ConfigError, match="d=0"):
        RandomProjection(0)


def test_projected_gradients_rank_alike():
    plain = gradient_influence(model(), TASK, [*TRAIN, VAL[1]], VAL[1:])
    rough = gradient_influence(model(), TASK, [*TRAIN, VAL[1]], VAL[1:], RandomProjection(64, 0))
    assert rough.argmax() == plain.argmax() == 3
    np.testing.assert_allclose(rough, plain, atol=0.5)  # 4 / sqrt(64)


def test_adams_direction_of_the_first_step_is_the_sign():
    g = np.array([0.5, -2.0, 0.0])
    found = adam_direction(g, np.zeros(3), np.zeros(3), 1)
    np.testing.assert_allclose(found, [1.0, -1.0, 0.0], atol=1e-7)
    # with moments: m = .9 + .1 * 2 = 1.1 over 1 - .9^2, v = .999 * 4 + .001 * 4 over 1 - .999^2
    found = adam_direction(np.array([2.0]), np.array([1.0]), np.array([4.0]), 2)
    np.testing.assert_allclose(found, (1.1 / 0.19) / np.sqrt(4 / (1 - 0.999**2)), rtol=1e-7)
    assert adam_direction(np.array([1.0]), np.zeros(1), np.zeros(1), 1, (0, 0), eps=1.0) == 0.5


def test_gradients_need_something_to_be_learnt():
    m = model()
    freeze(m)
    with pytest.raises(ConfigError, match="frozen"):
        sample_gradients(m, TASK, TRAIN)
