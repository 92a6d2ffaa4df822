"""Vectors of position added to the embeddings: why they are needed, learned ones beyond their
table, sinusoids.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.nn import LearnedPositions
from tinylm.nn.position.sinusoidal import SinusoidalPositions, shift_matrix, sinusoidal

T, D = 5, 8


def attend(x):
    """Self-attention of (1, T, D) without a mask and without positions."""
    return tl.attention(x[:, None], x[:, None], x[:, None])[:, 0]


def test_without_positions_attention_cannot_tell_the_order(rng):
    x, order = rng.normal(size=(1, T, D)), np.array([3, 0, 4, 1, 2])
    whole, mixed = attend(tl.Tensor(x)).numpy(), attend(tl.Tensor(x[:, order])).numpy()
    np.testing.assert_allclose(mixed, whole[:, order], rtol=1e-12)
    for layer in (
        LearnedPositions(T, D, Random(0), std=1.0, dtype=np.float64),
        SinusoidalPositions(D),
    ):
        whole, mixed = (attend(layer(tl.Tensor(v), np.arange(T))).numpy() for v in (x, x[:, order]))
        assert np.abs(mixed - whole[:, order]).max() > 0.1  # of values of size one


def test_a_learned_table_has_nothing_for_the_position_after_its_last():
    layer = LearnedPositions(T, D, Random(0))
    with pytest.raises(DataError, match="5"):
        layer(tl.Tensor(np.zeros((1, 1, D), np.float32)), np.array([T]))


def test_a_position_that_training_never_met_gets_a_gradient_of_exactly_zero(rng):
    layer = LearnedPositions(T + 3, D, Random(0), dtype=np.float64)
    attend(layer(tl.Tensor(rng.normal(size=(1, T, D))), np.arange(T))).sum().backward()
    gradient = layer.table.weight.grad.numpy()
    assert (gradient[T:] == 0).all() and (gradient[:T] != 0).any(axis=1).all()


def test_sinusoids_are_sines_and_cosines_of_falling_frequency(device):
    # D = 4: frequencies 1 and 10000^(-2/4) = 0.01
    expected = [
        [0, 1, 0, 1],
        [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)],
        [np.sin(300), np.cos(300), np.sin(3), np.cos(3)],
    ]
    found = host(sinusoidal(plain([0, 1, 300], device), 4, dtype=np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_every_sinusoid_has_the_same_length():
    # sin^2 + cos^2 = 1 for each of D/2 waves
    np.testing.assert_allclose(
        (sinusoidal(np.arange(3000), D, dtype=np.float64) ** 2).sum(-1), D / 2, rtol=1e-12
    )


@pytest.mark.parametrize("shift", [1, 7, -3])
def test_a_shift_is_one_rotation_that_does_not_depend_on_the_position(shift):
    i = np.arange(3, 50)
    R = shift_matrix(shift, D)
    np.testing.assert_allclose(
        sinusoidal(i + shift, D, dtype=np.float64),
        sinusoidal(i, D, dtype=np.float64) @ R,
        atol=1e-13,
    )
    np.testing.assert_allclose(R @ R.T, np.eye(D), atol=1e-15)


def test_sinusoids_are_added_to_embeddings_of_any_length_and_dtype(device, rng):
    x = rng.normal(size=(2, T, D)).astype(np.float32)
    y = SinusoidalPositions(D)(tl.Tensor(x, device=device), plain(np.arange(T) + 100_000, device))
    assert y.dtype == np.float32
    np.testing.assert_allclose(host(y), x + sinusoidal(np.arange(T) + 100_000, D), atol=1e-6)
    assert SinusoidalPositions(D).count_parameters() == 0


def test_an_odd_width_is_refused():
    with pytest.raises(ConfigError, match="even"):
        sinusoidal(np.arange(3), 5)
