"""Tiled attention: equal to the dense one for every tiling, stable, and linear in memory, measured."""

import gc
import tracemalloc

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.engine.profile import count_operations
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.tiled_attention import tiles
from tinylm.errors import ConfigError, ShapeError

B, H, T, K = 2, 4, 7, 3
BLOCKS = [
    (1, 1),
    (2, 3),
    (3, 2),
    (7, 7),
    (4, 100),
    (100, 5),
]  # divisors, non-divisors, larger than the sequence


def heads(rng, kv_heads=H, keys=T, width=K, scale=1.0):
    """Queries, keys and values: (B, H, T, K), (B, G, S, K), (B, G, S, J)."""
    return [
        rng.normal(size=(B, *shape)) * scale
        for shape in ((H, T, K), (kv_heads, keys, K), (kv_heads, keys, width))
    ]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_every_tiling_equals_dense_attention(rng, blocks, kv_heads, causal):
    sizes = dict(zip(("block_q", "block_k"), blocks))
    for keys in (
        T,
        T + 4,
        T - 2,
    ):  # a sequence alone, after a past, and with queries before all keys
        assert_matches_twin(
            lambda *a: tl.tiled_attention(*a, causal=causal, **sizes),
            lambda *a: composed.attention(*a, causal=causal),
            heads(rng, kv_heads, keys, K + 1),
        )


def test_it_runs_on_every_device(device, rng):
    mask = plain(rng.random((B, 1, T, T)) < 0.7, device)
    assert_matches_twin(
        lambda *a: tl.tiled_attention(*a, mask=mask, causal=True, block_q=3, block_k=2),
        lambda *a: composed.attention(*a, mask=mask, causal=True),
        heads(rng, 2),
        device,
    )


@pytest.mark.parametrize(
    "shape", [(T,), (T, T), (T, 1), (H, T, T), (B, 1, 1, T), (B, H, T, T)], ids=str
)
def test_every_mask_shape_broadcasts(rng, shape):
    mask = rng.random(shape) < 0.6
    assert_matches_twin(
        lambda *a: tl.tiled_attention(*a, mask=mask, scale=0.3, block_q=2, block_k=3),
        lambda *a: composed.attention(*a, mask=mask, scale=0.3),
        heads(rng, 2),
    )


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_scores_of_any_size_are_stable(rng, size):
    # q.k of about `size`: exp would overflow at 710; one key wins, and the next tile may hold a
    # larger one still
    arrays = heads(rng, 2, scale=size**0.5)
    with np.errstate(over="raise", invalid="raise"):
        ours = gradients(
            lambda *a: tl.tiled_attention(*a, causal=True, block_q=2, block_k=2), arrays
        )
    theirs = gradients(lambda *a: composed.attention(*a, causal=True), arrays)
    for a, b in zip([ours[0], *ours[1]], [theirs[0], *theirs[1]]):
        # a score of 1e4 is rounded at 1e-12, so weights and what follows agree to about that, times
        # the size of k and v
        np.testing.assert_allclose(a, b, atol=1e-12 * size * max(1, np.abs(b).max()), rtol=0)


def test_queries_that_see_nothing_give_zero_and_no_gradient(rng):
    mask = np.ones((T, T), bool)
    mask[[0, 4]] = False
    with np.errstate(all="raise", under="ignore"):
        y, grads = gradients(
            lambda *a: tl.tiled_attention(*a, mask=mask, block_q=2, block_k=2), heads(rng)
        )
    np.testing.assert_array_equal(y[:, :, [0, 4]], 0)
    np.testing.assert_array_equal(grads[0][:, :, [0, 4]], 0)
    assert all(np.isfinite(g).all() for g in grads)


def test_the_future_is_hidden_bit_for_bit(rng):
    q, k, v = heads(rng)
    first = host(tl.tiled_attention(*map(tl.Tensor, (q, k, v)), causal=True, block_q=2, block_k=2))
    k[:, :, 5:], v[:, :, 5:] = 50.0, -7.0
    second = host(tl.tiled_attention(*map(tl.Tensor, (q, k, v)), causal=True, block_q=2, block_k=2))
    np.testing.assert_array_equal(first[:, :, :5], second[:, :, :5])


def test_only_tiles_that_hold_a_visible_pair_are_computed():
    # 8 queries and keys in tiles of 2: 1 + 2 + 3 + 4 of 16 tiles touch the lower triangle
    assert [len(spans) for _, spans in tiles(8, 8, 2, 2, True)] == [1, 2, 3, 4]
    assert [len(spans) for _, spans in tiles(8, 8, 2, 2, False)] == [4] * 4
    assert [len(spans) for _, spans in tiles(4, 2, 2, 2, True)] == [
        0,
        1,
    ]  # two queries before the first key
    q = tl.Tensor(np.ones((1, 2, 8, 3)))
    with count_operations() as counts:
        tl.tiled_attention(q, q, q, causal=True, block_q=2, block_k=2)
    assert counts.flops["tiled_attention"] == 2 * 2 * 10 * 4 * (
        3 + 3
    )  # 2 heads, 10 tiles of 4 scores


@pytest.mark.parametrize("T, scores", [(128, 128 * 128), (129, 128 * 128 + 129)])
def test_a_tile_has_128_rows_and_columns_unless_given(T, scores):
    # Query 128 begins a second row of tiles, of one row; key 128 a second column, seen by it alone.
    q = tl.Tensor(np.ones((1, 1, T, 3)))
    with count_operations() as counts:
        tl.tiled_attention(q, q, q, causal=True)
    assert counts.flops["tiled_attention"] == 2 * scores * (3 + 3)


def peak(function, tokens, width=8):
    """Bytes allocated at most during forward and backward of one head, beyond what was there
    before.
    """
    x = [leaf(np.random.default_rng(i).normal(size=(1, 1, tokens, width))) for i in range(3)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with tl.first_order_only():
        function(*x).backward(np.ones((1, 1, tokens, width)))
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return most


def test_memory_grows_linearly_with_the_sequence_and_quadratically_without_tiles():
    lengths = 256, 512, 1024
    tiled = [
        peak(lambda *x: tl.tiled_attention(*x, causal=True, block_q=32, block_k=32), n)
        for n in lengths
    ]
    dense = [peak(lambda *x: tl.attention(*x, causal=True), n) for n in lengths]
    # exact bytes that must be there: 5 arrays (T, 8) of float64 at least (q scaled, y, dq, dk, dv),
    # and T x T once
    assert all(
        5 * 8 * 8 * n <= m < 14 * 8 * 8 * n + 12 * 32 * 32 * 8 + 60_000
        for n, m in zip(lengths, tiled)
    )
    assert all(m >= 8 * n * n for n, m in zip(lengths, dense))
    assert tiled[2] / tiled[1] < 2.1 and dense[2] / dense[1] > 3.5


def test_what_does_not_fit_is_refused():
    q = tl.Tensor(np.ones((1, 3, 2, 4)))
    with pytest.raises(ShapeError, match="tiled_attention: q .* do not fit"):
        tl.tiled_attention(q, *[tl.Tensor(np.ones((1, 2, 2, 4)))] * 2)
    with pytest.raises(ConfigError, match="blocks of 0 x 128"):
        tl.tiled_attention(q, q, q, block_q=0)
