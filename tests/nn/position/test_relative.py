"""Relative key and value vectors: zero tables, the definition pair by pair, the shift trick,
caches, blind queries.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ShapeError
from tinylm.nn.position.relative import ShawRelative, relative_index, relative_shift

B, H, T, K = 2, 3, 5, 4


def qkv(rng, device="cpu"):
    return [tl.Tensor(rng.normal(size=(B, H, T, K)), device=device) for _ in range(3)]


def shaw(clip=2, device="cpu", std=1.0):
    return ShawRelative(K, Random(0), clip, std, np.float64).to(device)


def test_with_tables_of_zero_it_is_plain_attention(device, rng):
    q, k, v = qkv(rng, device)
    places, causal = plain(np.arange(T), device), plain(np.tri(T, dtype=bool), device)
    y = shaw(device=device, std=0.0)(q, k, v, places, places, mask=causal)
    np.testing.assert_allclose(host(y), host(tl.attention(q, k, v, causal=True)), rtol=1e-12)


def test_every_pair_adds_the_vectors_of_its_clipped_offset(rng):
    q, k, v = qkv(rng)
    layer = shaw()
    a_k, a_v = layer.keys.weight.numpy(), layer.values.weight.numpy()
    y = layer(q, k, v, np.arange(T), np.arange(T)).numpy()
    for i in range(T):
        row = [min(max(j - i, -2), 2) + 2 for j in range(T)]
        scores = (q.numpy()[1, 2, i] @ (k.numpy()[1, 2] + a_k[row]).T) / np.sqrt(K)
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(y[1, 2, i], weights @ (v.numpy()[1, 2] + a_v[row]), rtol=1e-12)


def test_two_tables_of_33_vectors_tell_offsets_up_to_16_apart():
    layer = ShawRelative(K, Random(0))  # Shaw et al. 2018: clipped at k = 16 for translation
    assert layer.keys.weight.shape == layer.values.weight.shape == (2 * 16 + 1, K)
    index = relative_index(np.array([20]), np.arange(41), layer.clip)[0]
    assert index.tolist() == [0] * 4 + [*range(33)] + [32] * 4  # 16 away on either side


def test_the_shift_trick_equals_the_lookup(device, rng):
    q, table = rng.normal(size=(B, H, T, K)), rng.normal(size=(2 * T - 1, K))
    looked_up = np.einsum(
        "bhtk,tsk->bhts", q, table[relative_index(np.arange(T), np.arange(T), T - 1)]
    )
    shifted = relative_shift(tl.Tensor(q @ table.T, device=device))
    np.testing.assert_allclose(host(shifted), looked_up, rtol=1e-12)
    with pytest.raises(ShapeError, match="9"):  # 5 queries have 9 offsets
        relative_shift(tl.Tensor(np.zeros((T, T))))


def test_queries_after_a_cache_see_what_they_see_in_the_whole(rng):
    q, k, v = qkv(rng)
    layer, causal = shaw(), np.tri(T, dtype=bool)
    whole = layer(q, k, v, np.arange(T), np.arange(T), mask=causal).numpy()
    late = layer(q[:, :, 3:], k, v, np.arange(3, T), np.arange(T), mask=causal[3:]).numpy()
    np.testing.assert_allclose(late, whole[:, :, 3:], rtol=1e-13)


def test_each_sequence_may_have_positions_of_its_own(device, rng):
    q, k, v = qkv(rng, device)
    places = np.array([[0, 1, 2, 3, 4], [0, 2, 3, 7, 8]])
    layer = shaw(device=device)
    both = host(layer(q, k, v, plain(places, device), plain(places, device)))
    for b in range(B):
        alone = layer(
            q[b : b + 1],
            k[b : b + 1],
            v[b : b + 1],
            plain(places[b], device),
            plain(places[b], device),
        )
        np.testing.assert_allclose(both[b : b + 1], host(alone), rtol=1e-13)


def test_a_query_that_sees_nothing_gets_zeros(rng):
    mask = np.tri(T, dtype=bool)
    mask[2] = False
    y = shaw()(*qkv(rng), np.arange(T), np.arange(T), mask=mask).numpy()
    assert (y[:, :, 2] == 0).all() and np.isfinite(y).all()
