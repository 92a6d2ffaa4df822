"""Positions: a learned vector per place, and the angles of rotary embeddings."""

import numpy as np

from tests.numeric import host, plain
from tinylm import Tensor
from tinylm.backend import Random
from tinylm.nn import LearnedPositions, rotary_angles


def test_learned_positions_add_a_row_per_place_and_sum_gradients_over_the_batch(device, rng):
    layer = LearnedPositions(6, 4, Random(0), dtype=np.float64).to(device)
    x = rng.normal(size=(2, 3, 4))
    y = layer(Tensor(x, device=device), plain([0, 2, 2], device))
    table = host(layer.table.weight)
    np.testing.assert_array_equal(host(y), x + table[[0, 2, 2]])
    y.sum().backward()
    # rows read times batch 2
    np.testing.assert_array_equal(host(layer.table.weight.grad)[:, 0], [2, 0, 4, 0, 0, 0])


def test_angles_are_position_times_frequency(device):
    # K = 4, base 100: frequencies 1 and 100^(-1/2) = 0.1
    cos, sin = rotary_angles(plain([0, 1, 10], device), 4, base=100.0, dtype=np.float64)
    angles = np.array([[0, 0], [1, 0.1], [10, 1.0]])
    np.testing.assert_allclose(host(cos), np.cos(angles), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(host(sin), np.sin(angles), rtol=1e-14, atol=1e-15)


def test_positions_per_row_broadcast_over_heads(device):
    cos, _ = rotary_angles(plain([[0, 1], [5, 6]], device), 8)
    assert cos.shape == (2, 1, 2, 4) and cos.dtype == np.float32
    single, _ = rotary_angles(plain([5, 6], device), 8)
    np.testing.assert_array_equal(host(cos)[1, 0], host(single))


def test_far_positions_keep_their_angle_in_float32():
    # The angle is made in float64: in float32, 30,000 radians would be off by 1e-3.
    cos, _ = rotary_angles(np.array([30_000]), 2)
    assert abs(cos[0, 0] - np.cos(30_000.0)) < 1e-7
