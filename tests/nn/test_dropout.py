"""Dropout as a module: masks while training, nothing afterwards."""

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn
from tinylm.errors import ConfigError

X = tl.Tensor(np.ones((40, 50), np.float32))


def test_while_training_a_share_is_zero_and_the_rest_scaled():
    y = nn.Dropout(0.25, tl.Random(3))(X).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # 2000 draws of variance 0.19: five standard deviations of their mean are 0.05
    assert abs((y == 0).mean() - 0.25) < 0.05


def test_in_evaluation_the_input_comes_back():
    layer = nn.Dropout(0.25).eval()
    assert layer(X) is X


def test_two_masks_differ_and_the_same_stream_repeats_them():
    first, second = nn.Dropout(0.5, tl.Random(3)), nn.Dropout(0.5, tl.Random(3))
    a, b = first(X).numpy(), first(X).numpy()
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(second(X).numpy(), a)
    assert not np.array_equal(nn.Dropout()(X).numpy(), nn.Dropout()(X).numpy())


def test_its_stream_moves_with_the_model(device):
    layer = nn.Dropout(0.5).to(device)
    y = layer(tl.Tensor(np.ones(8, np.float32), device=device))
    assert y.device == device


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_a_share_outside_zero_and_one_is_refused_when_it_is_made(p):
    with pytest.raises(ConfigError, match=f"Dropout: p = {p} is not in"):
        nn.Dropout(p)
