"""The attention module: heads, grouped heads, and the forms they reduce to   (book eqs. 2.7-2.11,
Table 2.2).
"""

import numpy as np
import pytest

from tests.numeric import host, leaf, plain
from tinylm import Tensor, attention
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn import SelfAttention, rotary_angles

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
