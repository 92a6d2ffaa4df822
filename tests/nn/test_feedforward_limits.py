"""Two limits of a feed-forward: without an activation it is one affine map, and GLU's product
through the module.
"""

import numpy as np

from tinylm import Tensor, sigmoid
from tinylm.backend import Random
from tinylm.nn import FeedForward, GatedFeedForward


def test_without_an_activation_it_is_an_affine_map_of_rank_at_most_the_narrower_width(rng):
    layer = FeedForward(6, 3, Random(0), dtype=np.float64)
    layer.activation = lambda h: h
    x = rng.normal(size=(40, 6))
    y = layer(Tensor(x)).numpy()
    w = layer.hidden.weight.numpy() @ layer.out.weight.numpy()
    np.testing.assert_allclose(y, x @ w, rtol=1e-11, atol=1e-15)
    assert np.linalg.matrix_rank(w) == 3  # d_h, the narrower; 6 x 6 could have 6


def test_glu_is_a_sigmoid_gate_between_three_maps(rng):
    layer = GatedFeedForward(4, 6, Random(0), "glu", bias=True, dtype=np.float64)
    x = Tensor(rng.normal(size=(2, 4)))
    np.testing.assert_allclose(
        layer(x).numpy(), layer.out(sigmoid(layer.gate(x)) * layer.up(x)).numpy(), rtol=1e-13
    )


def test_a_gate_that_is_constant_leaves_a_linear_map_and_the_identity_a_bilinear_one(rng):
    layer = GatedFeedForward(4, 6, Random(0), dtype=np.float64)
    x, y = (Tensor(rng.normal(size=(3, 4))) for _ in range(2))
    layer.product = lambda gate, up: up
    np.testing.assert_allclose(
        layer(x + y).numpy(), (layer(x) + layer(y)).numpy(), rtol=1e-9, atol=1e-15
    )
    layer.product = lambda gate, up: gate * up
    np.testing.assert_allclose(
        layer(x * 3.0).numpy(), 9 * layer(x).numpy(), rtol=1e-11
    )  # degree two
