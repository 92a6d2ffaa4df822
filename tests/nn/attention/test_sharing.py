"""Sharing across layers: keys and values, or weights; what is saved, and where gradients meet."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.attention.multi_head import SelfAttention
from tinylm.nn.attention.sharing import (
    CrossLayerAttention,
    SharedWeightAttention,
    shared_layers,
    through,
)

B, T, D, H, L = 2, 5, 8, 4, 4


def layers(kind, share, **options):
    made = shared_layers(kind, L, share, D, H, Random(0), dtype=np.float64, **options)
    for module in made:
        for p in module.parameters():
            p.data[...] *= 20  # standard deviation 0.4: attention that is not even
    return made


def as_self_attention(module):
    """SelfAttention with the weights of a layer that owns its keys and values."""
    same = SelfAttention(D, H, Random(9), dtype=np.float64)
    parts = [module.q, module.kv] if hasattr(module, "kv") else [module.qk, module.v]
    same.qkv.weight.data[...] = np.concatenate([part.weight.data for part in parts], axis=1)
    same.qkv.bias.data[...] = np.concatenate([part.bias.data for part in parts])
    same.out.weight.data[...] = module.out.weight.data
    return same


@pytest.mark.parametrize("kind", [CrossLayerAttention, SharedWeightAttention])
def test_sharing_with_nobody_is_self_attention(rng, kind):
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    made = layers(kind, 1)
    y = x
    for module in made:
        y = y + as_self_attention(module)(y)
    np.testing.assert_allclose(host(through(made, x)), host(y), rtol=1e-11)


def test_every_other_layer_halves_the_cache(rng):
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    for share, owners in ((1, 4), (2, 2), (4, 1)):
        stored, shared = {}, None
        for module in layers(CrossLayerAttention, share, kv_heads=2):
            _, shared = module(x, shared)
            stored[id(shared[0])] = shared
        numbers = sum(k.size + v.size for k, v in stored.values())
        assert numbers == owners * 2 * B * 2 * T * (D // H)  # owners, k and v, B, G, T, K


def test_the_map_that_owns_keys_hears_from_every_layer_that_reads_them(rng):
    x = rng.normal(size=(B, T, D))
    below, above = layers(CrossLayerAttention, 2)[:2]

    def gradient(second_reads):
        _, shared = below(leaf(x))
        y, _ = above(leaf(x), shared if second_reads else tuple(s.detach() for s in shared))
        return y, shared

    y, shared = gradient(True)
    y.sum().backward()
    assert (
        np.abs(host(below.kv.weight.grad)).max() > 0
    )  # the upper layer alone already teaches the lower one's map
    assert below.q.weight.grad is None
    first = host(below.kv.weight.grad).copy()
    y0, _ = below(leaf(x))
    y0.sum().backward()  # and what the layer itself sends is added to it
    assert (host(below.kv.weight.grad) != first).any()
    below.zero_grad()
    y, _ = gradient(False)
    y.sum().backward()
    assert below.kv.weight.grad is None  # without the shared path nothing comes


def test_shared_weights_are_one_object_and_spare_queries_and_keys(rng):
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    below, above = layers(SharedWeightAttention, 2)[:2]
    with count_operations() as full:
        _, weights = below(x)
    with count_operations() as spared:
        _, again = above(x, weights)
    assert again is weights
    # the owner: q, k, v, out maps, scores and mixture; the other: v, out, and the mixture
    K = D // H
    assert full.matmul_flops() == 2 * B * T * 4 * D * D + 2 * 2 * B * H * T * T * K
    assert spared.matmul_flops() == 2 * B * T * 2 * D * D + 2 * B * H * T * T * K
    assert above.count_parameters() == 2 * (D * D + D) and below.count_parameters() == 4 * (
        D * D + D
    )
    np.testing.assert_allclose(host(weights).sum(-1), 1, rtol=1e-13)
    assert not np.triu(host(weights), 1).any()


@pytest.mark.parametrize("kind", [CrossLayerAttention, SharedWeightAttention])
def test_a_layer_that_owns_nothing_must_be_given_something(rng, kind):
    with pytest.raises(ConfigError, match="pass those of a layer below"):
        kind(D, H, Random(0), owner=False)(tl.Tensor(np.ones((B, T, D), np.float32)))
    with pytest.raises(ConfigError, match="do not divide evenly"):
        kind(9, 2, Random(0))


def test_mixed_by_the_weights_below_are_the_values_of_the_layer_itself(rng):
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    below, above = layers(SharedWeightAttention, 2)[:2]
    first, weights = below(x)
    above.v.load_state_dict(below.v.state_dict())
    above.out.load_state_dict(below.out.state_dict())
    np.testing.assert_array_equal(host(above(x, weights)[0]), host(first))
    # Weights that are the identity: each token takes its own value.
    eye = tl.Tensor(np.broadcast_to(np.eye(T), (B, H, T, T)).copy())
    np.testing.assert_allclose(
        host(above(x, eye)[0]), host(above.out(above.v(x))), rtol=1e-12, atol=1e-14
    )
    # An owner makes its own, whatever it is given.
    np.testing.assert_array_equal(host(below(x, eye)[0]), host(first))


def test_a_layer_owns_what_it_reads_unless_told():
    assert CrossLayerAttention(D, H, Random(0)).kv is not None
    assert SharedWeightAttention(D, H, Random(0)).qk is not None
    assert CrossLayerAttention(D, H, Random(0), kv_heads=2).kv.weight.shape == (D, 2 * 2 * D // H)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_heads_read_the_pair_of_their_group(rng, kv_heads):
    grouped = layers(CrossLayerAttention, 1, kv_heads=kv_heads)[0]
    same = SelfAttention(D, H, Random(9), kv_heads, dtype=np.float64)
    same.qkv.weight.assign_(np.concatenate([host(grouped.q.weight), host(grouped.kv.weight)], 1))
    same.qkv.bias.assign_(np.concatenate([host(grouped.q.bias), host(grouped.kv.bias)]))
    same.out.load_state_dict(grouped.out.state_dict())
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    np.testing.assert_allclose(host(grouped(x)[0]), host(same(x)), rtol=1e-11, atol=1e-14)
