"""Feed-forward sub-layers against their equations   (book eqs. 2.25-2.31)."""

import numpy as np
import pytest

from tests.numeric import host, leaf
from tinylm import Tensor, gelu, silu
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn import ACTIVATIONS, GATES, FeedForward, GatedFeedForward, feed_forward


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_plain_feed_forward_is_two_maps_around_an_activation(device, rng, activation):
    layer = FeedForward(4, 6, Random(0), activation, dtype=np.float64).to(device)
    x = Tensor(rng.normal(size=(2, 3, 4)), device=device)
    h = ACTIVATIONS[activation](x @ layer.hidden.weight + layer.hidden.bias)
    np.testing.assert_allclose(
        host(layer(x)), host(h @ layer.out.weight + layer.out.bias), rtol=1e-11, atol=1e-15
    )


@pytest.mark.parametrize("gate, activation", [("swiglu", silu), ("geglu", gelu)])
def test_a_gated_feed_forward_is_three_maps(device, rng, gate, activation):
    layer = GatedFeedForward(4, 6, Random(0), gate, bias=True, dtype=np.float64).to(device)
    x = Tensor(rng.normal(size=(2, 4)), device=device)
    h = activation(layer.gate(x)) * layer.up(x)
    np.testing.assert_allclose(host(layer(x)), host(layer.out(h)), rtol=1e-11, atol=1e-15)


def test_a_gate_whose_values_are_all_one_is_a_plain_feed_forward(rng):
    gated = GatedFeedForward(4, 6, Random(0), "geglu", bias=True)
    plain_ = FeedForward(4, 6, Random(0), "gelu")
    gated.up.weight.assign_(0.0)
    gated.up.bias.assign_(1.0)
    plain_.hidden, plain_.out = gated.gate, gated.out
    x = Tensor(rng.normal(size=(2, 4)).astype(np.float32))
    np.testing.assert_array_equal(gated(x).numpy(), plain_(x).numpy())


def test_positions_do_not_mix(rng):
    layer = FeedForward(4, 6, Random(0))
    x, order = rng.normal(size=(5, 4)).astype(np.float32), np.array([3, 1, 4, 0, 2])
    np.testing.assert_allclose(
        layer(Tensor(x[order])).numpy(), layer(Tensor(x)).numpy()[order], rtol=1e-6
    )


def test_without_biases_zero_gives_zero_and_the_count_falls_exactly():
    with_bias, without = FeedForward(4, 6, Random(0)), FeedForward(4, 6, Random(0), bias=False)
    np.testing.assert_array_equal(without(leaf(np.zeros((1, 4)), dtype=np.float32)).numpy(), 0)
    assert with_bias.count_parameters() - without.count_parameters() == 6 + 4
    assert GatedFeedForward(4, 6, Random(0)).count_parameters() == 3 * 4 * 6


def test_names_pick_the_class():
    assert all(feed_forward(name) is FeedForward for name in ACTIVATIONS)
    assert all(feed_forward(name) is GatedFeedForward for name in GATES)


def test_an_unknown_activation_is_named_and_a_gate_is_told_where_it_belongs():
    with pytest.raises(ConfigError, match="'swiglu' is not one of .*; that gate is GatedFeedForw"):
        FeedForward(4, 6, Random(0), "swiglu")
    with pytest.raises(ConfigError, match="'tan' is not one of relu, gelu, gelu_tanh, silu$"):
        FeedForward(4, 6, Random(0), "tan")
