"""The attention module: heads, grouped heads, and the forms they reduce to   (book eqs. 2.7-2.11,
Table 2.2).
"""

import inspect

import numpy as np
import pytest

from tests.numeric import gradients, host, leaf, plain
from tinylm import Tensor, attention
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.generate import KeyValueCache
from tinylm.nn import SelfAttention, rotary_angles
from tinylm.nn.attention.sharing import SharedPairs
from tinylm.nn.memory.segments import SegmentStates

B, T, D, H = 2, 5, 8, 4
K = D // H


def module(kv_heads=None, heads=H, **options):
    m = SelfAttention(D, heads, Random(0), kv_heads, dtype=np.float64, **options)
    for p in m.parameters():  # weights large enough for uneven attention
        p.assign_(np.random.default_rng(p.size).normal(size=p.shape))
    return m


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_packed_heads_are_the_loop_over_heads_of_the_book(device, rng, kv_heads):
    m, x = module(kv_heads), rng.normal(size=(B, T, D))
    weight, bias = m.qkv.weight.numpy(), m.qkv.bias.numpy()

    def columns(first):  # head j's own W_j and its bias
        return slice(first * K, (first + 1) * K)

    merged = []
    for j in range(H):
        parts = [columns(i) for i in (j, H + j * kv_heads // H, H + kv_heads + j * kv_heads // H)]
        q, k, v = (Tensor((x @ weight[:, c] + bias[c])[:, None]) for c in parts)
        merged.append(attention(q, k, v, causal=True).numpy()[:, 0])
    expected = np.concatenate(merged, -1) @ m.out.weight.numpy() + m.out.bias.numpy()
    np.testing.assert_allclose(
        host(m.to(device)(Tensor(x, device=device))), expected, rtol=1e-12, atol=1e-13
    )


def test_one_head_is_single_head_attention(rng):
    m, x = module(heads=1), Tensor(rng.normal(size=(B, T, D)))
    q, k, v = np.split(m.qkv(x).numpy(), 3, axis=-1)
    single = attention(*(Tensor(p[:, None]) for p in (q, k, v)), causal=True).numpy()[:, 0]
    np.testing.assert_allclose(
        m(x).numpy(), single @ m.out.weight.numpy() + m.out.bias.numpy(), rtol=1e-12
    )


def test_permuting_heads_with_their_rows_of_the_output_changes_nothing(rng):
    m, n, x = module(), module(), Tensor(rng.normal(size=(B, T, D)))
    order = np.array([2, 0, 3, 1])
    # q, k and v of each head
    columns = (np.arange(3)[:, None, None] * D + order[:, None] * K + np.arange(K)).ravel()
    n.qkv.weight.assign_(m.qkv.weight.numpy()[:, columns])
    n.qkv.bias.assign_(m.qkv.bias.numpy()[columns])
    n.out.weight.assign_(m.out.weight.numpy()[(order[:, None] * K + np.arange(K)).ravel()])
    np.testing.assert_allclose(n(x).numpy(), m(x).numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_heads_are_multi_heads_with_repeated_weights_and_summed_gradients(rng, kv_heads):
    grouped, full, x = module(kv_heads), module(H), Tensor(rng.normal(size=(B, T, D)))
    repeat = np.repeat(np.arange(kv_heads), H // kv_heads)
    kv = H + np.concatenate(
        [repeat, kv_heads + repeat]
    )  # which packed head each of the 2 H copies comes from
    columns = (np.concatenate([np.arange(H), kv])[:, None] * K + np.arange(K)).ravel()
    full.qkv.weight.assign_(grouped.qkv.weight.numpy()[:, columns])
    full.qkv.bias.assign_(grouped.qkv.bias.numpy()[columns])
    full.out.weight.assign_(grouped.out.weight)
    full.out.bias.assign_(grouped.out.bias)
    cotangent = rng.normal(size=(B, T, D))
    for m in (grouped, full):
        y = m(x)
        y.backward(cotangent)
        m.result = y.numpy()
    np.testing.assert_allclose(grouped.result, full.result, rtol=1e-12, atol=1e-13)
    summed = np.zeros_like(grouped.qkv.weight.numpy())
    np.add.at(summed, (slice(None), columns), full.qkv.weight.grad.numpy())
    np.testing.assert_allclose(grouped.qkv.weight.grad.numpy(), summed, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_keys_and_values_cost_their_share_of_parameters(kv_heads):
    m = SelfAttention(D, H, Random(0), kv_heads, bias=False)
    assert (
        m.count_parameters() == 2 * D * D + 2 * D * kv_heads * K
    )  # queries and output, keys and values


def test_the_future_is_hidden_bit_for_bit(device, rng):
    m, x = module(2).to(device), rng.normal(size=(B, T, D))
    first = host(m(Tensor(x, device=device)))
    x[:, 3:] += 1e3
    np.testing.assert_array_equal(host(m(Tensor(x, device=device)))[:, :3], first[:, :3])


def test_a_mask_comes_on_top_of_causality(device, rng):
    m, x = module().to(device), rng.normal(size=(B, T, D))
    mask = np.ones((B, 1, 1, T), bool)
    mask[0, :, :, :2] = False  # row 0 is padded by two on the left
    y = host(m(Tensor(x, device=device), mask=plain(mask, device)))
    alone = host(m(Tensor(x[:1, 2:], device=device)))
    np.testing.assert_allclose(y[0, 2:], alone[0], rtol=1e-12, atol=1e-13)


def test_dropout_acts_in_training_only():
    m = module(dropout=0.5)
    x = leaf(np.random.default_rng(0).normal(size=(B, T, D)))
    assert (m(x).numpy() != m(x).numpy()).any()
    m.eval()
    np.testing.assert_array_equal(m(x).numpy(), m(x).numpy())


def test_rotated_attention_depends_on_distances_alone(rng):
    m, x = module(), Tensor(rng.normal(size=(B, T, D)))
    near, far = (rotary_angles(np.arange(T) + start, K, dtype=np.float64) for start in (0, 500))
    np.testing.assert_allclose(
        m(x, rotation=near).numpy(), m(x, rotation=far).numpy(), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("heads, kv_heads", [(3, 3), (4, 3)])
def test_heads_must_divide(heads, kv_heads):
    with pytest.raises(
        ConfigError,
        match=f"width 8, {heads} heads and {kv_heads} key-value heads do not divide evenly",
    ):
        SelfAttention(D, heads, Random(0), kv_heads)


ROTATION = rotary_angles(np.arange(T), K, dtype=np.float64)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(
    "options, given",
    [
        ({}, {}),
        ({"causal": False}, {}),
        ({"scale": 0.3}, {}),  # 1/sqrt(K) is 0.71
        ({}, {"rotation": ROTATION}),
        ({}, {"mask": np.eye(T, dtype=bool) | np.tri(T, k=-2, dtype=bool)}),
        ({"causal": False, "scale": 0.3}, {"rotation": ROTATION, "mask": ~np.eye(T, dtype=bool)}),
    ],
    ids=["plain", "all positions", "scale", "rotated", "masked", "everything"],
)
def test_a_bias_of_zero_takes_the_long_way_to_the_same_result(rng, kv_heads, options, given):
    m, x = module(kv_heads, **options), rng.normal(size=(B, T, D))
    zero = Tensor(np.zeros((1, T, T)))
    y, (slope,) = gradients(lambda x: m(x, **given), [x])
    long_y, (long_slope,) = gradients(lambda x: m(x, bias=zero, **given), [x])
    np.testing.assert_allclose(long_y, y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(long_slope, slope, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("way", [{}, {"bias": Tensor(np.zeros((1, T, T)))}], ids=["fused", "long"])
@pytest.mark.parametrize("cap", [None, 50.0])
def test_no_way_drops_anything_outside_of_training(rng, way, cap):
    m, x = module(dropout=0.5, cap=cap), Tensor(rng.normal(size=(B, T, D)))
    whole = module(cap=cap)
    assert (m(x, **way).numpy() != m(x, **way).numpy()).any()
    np.testing.assert_array_equal(m.eval()(x, **way).numpy(), whole(x, **way).numpy())


def test_a_cap_far_above_the_scores_is_none_and_one_far_below_makes_weights_even(rng):
    x = Tensor(rng.normal(size=(B, T, D)))
    np.testing.assert_allclose(module(cap=1e6)(x).numpy(), module()(x).numpy(), rtol=1e-9)
    # Scores within 1e-9 of each other: position t takes the mean of the values up to t.
    m = module(cap=1e-9)
    values = m.qkv(x).numpy()[..., 2 * D :]
    means = np.cumsum(values, axis=1) / np.arange(1, T + 1)[:, None]
    np.testing.assert_allclose(m(x).numpy(), m.out(Tensor(means)).numpy(), rtol=1e-7)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_normed_queries_and_keys_do_not_feel_the_size_of_their_maps(rng, kv_heads):
    x = Tensor(rng.normal(size=(B, T, D)))
    # "head": K numbers share one mean square; "width": all those of a token.
    for qk_norm, queries, keys in (("head", K, K), ("width", H * K, kv_heads * K)):
        m = module(kv_heads, qk_norm=qk_norm, qk_eps=0.0, bias=False)
        m.q_norm.gain.assign_(1.0)
        m.k_norm.gain.assign_(1.0)
        assert m.q_norm.gain.shape == (queries,) and m.k_norm.gain.shape == (keys,)
        y = m(x).numpy()
        grown = m.qkv.weight.numpy().copy()
        grown[:, : H * K] *= 7.0  # of the queries
        grown[:, H * K : (H + kv_heads) * K] *= 0.2  # of the keys
        m.qkv.weight.assign_(grown)
        np.testing.assert_allclose(m(x).numpy(), y, rtol=1e-10, atol=1e-12)
        m.scale = 0.0  # without scores all weights are even, so the norm was felt before
        assert np.abs(m(x).numpy() - y).max() > 1e-3
    plain_one = module(kv_heads)
    assert plain_one.q_norm is None and plain_one.k_norm is None


@pytest.mark.parametrize("given", [{}, {"rotation": ROTATION}], ids=["plain", "rotated"])
@pytest.mark.parametrize("qk_norm", [None, "head", "width"])
def test_a_layer_of_queries_reads_the_pairs_of_the_layer_below(rng, given, qk_norm):
    below, above = module(2, qk_norm=qk_norm), module(2, owner=False, qk_norm=qk_norm)
    assert above.kv_heads == 0 and above.k_norm is None
    assert above.qkv.weight.shape == (D, H * K)  # queries alone
    # The same input with the layer below's own queries gives the layer below's result.
    above.qkv.weight.assign_(below.qkv.weight.numpy()[:, : H * K])
    above.qkv.bias.assign_(below.qkv.bias.numpy()[: H * K])
    above.out.load_state_dict(below.out.state_dict())
    if qk_norm:
        above.q_norm.gain.assign_(below.q_norm.gain)
    x, pairs = Tensor(rng.normal(size=(B, T, D))), SharedPairs(2)
    first = below(x, cache=pairs, layer=0, **given)
    np.testing.assert_allclose(first.numpy(), below(x, **given).numpy(), rtol=1e-12, atol=1e-13)
    second = above(x, cache=pairs, layer=1, **given)
    np.testing.assert_array_equal(second.numpy(), first.numpy())
    for cache in (None, KeyValueCache(1, B, 2, K)):  # arrays: they hold the layer's own pairs
        with pytest.raises(ConfigError, match="this layer has queries only"):
            above(x, cache=cache)


@pytest.mark.parametrize("cut", range(1, T))
def test_inputs_of_earlier_segments_come_before_the_new_ones(rng, cut):
    m, x = module(2), Tensor(rng.normal(size=(B, T, D)))
    whole = m(x, rotation=ROTATION).numpy()
    earlier = SegmentStates(T)
    first = m(x[:, :cut], rotation=[a[:cut] for a in ROTATION], segments=earlier)
    second = m(x[:, cut:], rotation=ROTATION, segments=SegmentStates(T, earlier.kept))
    np.testing.assert_allclose(first.numpy(), whole[:, :cut], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(second.numpy(), whole[:, cut:], rtol=1e-12, atol=1e-13)


def test_heads_have_the_width_that_is_asked_for_and_biases_where_they_are_wanted():
    m = SelfAttention(D, H, Random(0), kv_heads=2, width=3)
    assert m.qkv.weight.shape == (D, (H + 2 * 2) * 3) and m.out.weight.shape == (H * 3, D)
    for given, (of_maps, of_output) in {
        (True, None): (True, True),
        (False, None): (False, False),
        (True, False): (True, False),
        (False, True): (False, True),
    }.items():
        m = SelfAttention(D, H, Random(0), bias=given[0], out_bias=given[1])
        assert (m.qkv.bias is not None, m.out.bias is not None) == (of_maps, of_output)


def test_defaults_are_those_of_the_transformer():
    # Vaswani et al. 2017: causal in the decoder, biases, scores / sqrt(K), no cap and no norm;
    # dropout is for the training to choose. The epsilon is that of an RMS norm (Llama, Qwen3).
    parameters = inspect.signature(SelfAttention).parameters
    expected = {
        "bias": True,
        "scale": None,
        "causal": True,
        "dropout": 0.0,
        "cap": None,
        "qk_norm": None,
        "qk_eps": 1e-6,
        "owner": True,
    }
    assert {name: parameters[name].default for name in expected} == expected
    parameters = inspect.signature(SelfAttention.__call__).parameters
    assert parameters["layer"].default == 0
