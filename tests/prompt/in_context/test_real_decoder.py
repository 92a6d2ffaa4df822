"""A decoder reads numbers in the order of the prompt, and learns from them."""

import numpy as np
import pytest

from tinylm.errors import ShapeError
from tinylm.optim import AdamW
from tinylm.prompt.in_context.function_classes import linear, prompts
from tinylm.prompt.in_context.real_decoder import (
    RealDecoder,
    interleaved,
    small_decoder,
    squared_error,
)

SIZES = {"n_layer": 2, "n_head": 2, "d_model": 16}


def test_inputs_and_values_take_turns():
    x, y = np.arange(8.0).reshape(1, 2, 4), np.array([[-1.0, -2.0]])
    assert interleaved(x, y)[0].tolist() == [
        [0, 1, 2, 3],
        [-1, 0, 0, 0],
        [4, 5, 6, 7],
        [-2, 0, 0, 0],
    ]
    with pytest.raises(ShapeError, match=r"x \(1, 2, 4\) and y \(1, 3\)"):
        interleaved(x, np.zeros((1, 3)))
    with pytest.raises(ShapeError, match=r"x \(2, 4\)"):
        interleaved(x[0], y[0])


def test_a_prediction_reads_the_examples_before_it_and_its_own_input():
    model = RealDecoder(3, 5, dtype=np.float64, **SIZES)
    x, y = prompts(linear, 2, 5, 3)
    before = model(x, y).data
    assert before.shape == (2, 5)
    other_x, other_y = x.copy(), y.copy()
    other_y[:, 2] += 1
    after = model(x, other_y).data
    assert np.array_equal(after[:, :3], before[:, :3])  # its own value is not read
    assert (after[:, 3:] != before[:, 3:]).all()
    other_x[:, 2] += 1
    after = model(other_x, y).data
    assert np.array_equal(after[:, :2], before[:, :2]) and (after[:, 2:] != before[:, 2:]).all()
    assert np.allclose(model(x[:, :3], y[:, :3]).data, before[:, :3], atol=1e-12)


def test_the_loss_is_the_mean_squared_error_and_training_lowers_it():
    model = RealDecoder(3, 5, seed=1, **SIZES)
    x, y = prompts(linear, 16, 5, 3)
    first = squared_error(model, x, y)
    assert np.isclose(first.data, ((model(x, y).data - y) ** 2).mean(), rtol=1e-5)
    first.backward()
    assert all(p.grad is not None for p in model.parameters())  # no table of tokens is left
    optimizer = AdamW(model.named_parameters())
    for _ in range(30):
        optimizer.zero_grad()
        squared_error(model, x, y).backward()
        optimizer.step(1e-2)
    assert squared_error(model, x, y).data < 0.5 * first.data


def test_prompts_that_do_not_fit_are_refused():
    model = RealDecoder(3, 5, **SIZES)
    x, y = prompts(linear, 1, 6, 3)
    with pytest.raises(ShapeError, match="K at most 5"):
        model(x, y)
    assert model(x[:, :5], y[:, :5]).shape == (1, 5)
    with pytest.raises(ShapeError, match=r"needs \(B, K, 3\)"):
        model(x[:, :5, :2], y[:, :5])
    assert not np.array_equal(
        model.enter.weight.data, RealDecoder(3, 5, seed=1, **SIZES).enter.weight.data
    )


def test_the_small_decoder_sees_the_size_of_a_value_beside_its_position():
    model, plain = small_decoder(3, 5, seed=1), RealDecoder(3, 5, seed=1, d_model=64, n_head=4)
    table = model.trunk.positions.table.weight.data
    np.testing.assert_allclose(table, 25 * plain.trunk.positions.table.weight.data)
    x, y = prompts(linear, 16, 5, 3)
    first = model(x, y).data[:, 1:]
    # The last input's prediction moves when a value of an example is doubled.
    y[:, 0] *= 2
    assert np.abs(model(x, y).data[:, 1:] - first).mean() > 1e-3
    weights = [p for block in model.trunk.blocks for p in block.parameters() if p.ndim == 2]
    assert all(0.06 < p.data.std() < 0.1 or p.shape[0] == 64 for p in weights)
    assert {p.shape for p in weights} == {(64, 192), (64, 64)}
