"""Attention by blocks of queries is the dense attention, in less memory, for any scores."""

import tracemalloc

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd.kernels import block_attention
from tinylm.autograd.kernels.attention import _self_attention
from tinylm.models import GPT, GPTConfig


def run(qkv, g, H, G, dense=False, **options):
    """(output, gradient) of self-attention; `dense` hides nothing more, but is no longer usual."""
    B, T = qkv.shape[:2]
    x = tl.Tensor(qkv, requires_grad=True)
    if dense:
        options["mask"] = np.ones((1, 1, T, T), bool)
    with tl.first_order_only():
        y = tl.self_attention(x, H, G, **options)
    y.backward(g)
    return y.data, x.grad.data


def drawn(rng, B, T, H, G, K, dtype=np.float64):
    qkv = rng.normal(size=(B, T, (H + 2 * G) * K)).astype(dtype)
    return qkv, rng.normal(size=(B, T, H * K)).astype(dtype)


@pytest.fixture
def blocks_of(monkeypatch):
    """Make short sequences take blocks: of so many rows, weights kept below so many tokens."""

    def choose(rows, kept, cache=1 << 20):
        monkeypatch.setattr(block_attention, "LONG", 1)
        monkeypatch.setattr(block_attention, "KEPT", kept)
        monkeypatch.setattr(block_attention, "CACHE", cache)
        monkeypatch.setattr(block_attention, "block_rows", lambda T: rows)

    return choose


@pytest.mark.parametrize("cache", [1, 1500, 1 << 20])  # bytes: one group, some, all sequences
@pytest.mark.parametrize("kept", [0, 100])
@pytest.mark.parametrize("rows", [1, 3, 4, 16])
@pytest.mark.parametrize("H, G", [(2, 2), (4, 2), (3, 1)])
def test_blocks_are_the_dense_attention(rng, blocks_of, H, G, rows, kept, cache):
    blocks_of(rows, kept, cache)
    angle = rng.normal(size=(11, 2))
    turned = {"rotation": (np.cos(angle), np.sin(angle))}
    for options in ({}, {"scale": 0.3}, turned, {"causal": False}):
        qkv, g = drawn(rng, 2, 11, H, G, 4)
        ours, dense = run(qkv, g, H, G, **options), run(qkv, g, H, G, dense=True, **options)
        for a, b in zip(ours, dense):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_masks_dropout_and_nothing_at_all_take_the_dense_way():
    q = np.zeros((1, 2, 1, 3, 4))
    assert block_attention.applies(q, None, None)
    assert not block_attention.applies(q[:0], None, None)
    assert not block_attention.applies(q, np.ones((1, 1, 1, 1), bool), None)
    assert not block_attention.applies(q, None, np.ones((1, 1, 1, 1)))


def test_blocks_cover_every_score_that_is_seen_once_and_fit_the_cache():
    for B, G, R, T in [(6, 4, 1, 64), (300, 2, 2, 32), (2, 3, 2, 300), (1, 2, 1, 2048)]:
        q = np.zeros((B, G, R, T, 1), np.float32)
        seen = np.zeros((B, G, T), int)
        for b, groups, start, stop in block_attention._blocks(q):
            seen[b, groups, start:stop] += 1
            scores = seen[b, groups, start:stop].size * R * T
            assert scores * 4 <= block_attention.CACHE or len(range(G)[groups]) == 1
        assert np.all(seen == 1)


@pytest.mark.parametrize("unlucky", [{}, {"mask": np.ones((1, 8), bool)}])
def test_a_model_takes_blocks_where_nothing_is_masked(monkeypatch, unlucky):
    taken = []
    forward = block_attention.forward

    def counted(q, *rest):
        taken.append(q.shape[3])
        return forward(q, *rest)

    monkeypatch.setattr(block_attention, "forward", counted)
    model = GPT(GPTConfig(11, context=8, n_layer=2, n_head=2, d_model=8))
    model(np.arange(8)[None], **unlucky)
    assert taken == ([] if unlucky else [8, 8])  # of both layers


@pytest.mark.parametrize("T", [256, 300, 600])  # kept, kept with a short last block, made again
def test_lengths_that_a_model_has(rng, T):
    qkv, g = drawn(rng, 1, T, 2, 1, 4)
    for a, b in zip(run(qkv, g, 2, 1), run(qkv, g, 2, 1, dense=True)):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e150])
def test_scores_of_any_size_are_stable(rng, blocks_of, size):
    blocks_of(3, 0)
    qkv, g = drawn(rng, 1, 8, 2, 2, 4)
    qkv[..., :8] *= size  # queries; the largest scores are far beyond what exp() takes
    with np.errstate(all="ignore"):
        ours, dense = run(qkv, g, 2, 2), run(qkv, g, 2, 2, dense=True)
    for a, b in zip(ours, dense):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(b).max()))


def test_scores_far_below_zero_keep_their_digits(rng, blocks_of):
    blocks_of(3, 0)
    qkv, g = drawn(rng, 1, 7, 1, 1, 2)
    qkv[..., 0:2], qkv[..., 2:4] = 40 + qkv[..., 0:2], -40 + qkv[..., 2:4]  # q . k near -3200
    for a, b in zip(run(qkv, g, 1, 1), run(qkv, g, 1, 1, dense=True)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_does_not_reach_the_past(rng, blocks_of, bad):
    blocks_of(3, 100)
    qkv, g = drawn(rng, 1, 8, 1, 1, 4)
    clean = run(qkv, g, 1, 1)[0]
    qkv[0, 5, 8:] = bad  # the value of token 5
    with np.errstate(all="ignore"):
        y, _ = run(qkv, g, 1, 1)
    np.testing.assert_allclose(y[0, :5], clean[0, :5], rtol=1e-12)
    assert not np.isfinite(y[0, 5:]).any(axis=-1).all()


def test_a_cotangent_that_is_not_finite_does_not_reach_the_future(rng, blocks_of):
    blocks_of(3, 100)
    qkv, g = drawn(rng, 1, 8, 1, 1, 4)
    g[0, 3] = np.inf
    with np.errstate(all="ignore"):
        ours, dense = run(qkv, g, 1, 1)[1], run(qkv, g, 1, 1, dense=True)[1]
    assert np.isfinite(ours[0, 4:]).all()
    np.testing.assert_allclose(ours[0, 4:], dense[0, 4:], rtol=1e-12)


def test_scores_beyond_float32_are_computed_in_float64(rng, blocks_of):
    blocks_of(3, 100)
    qkv, g = drawn(rng, 1, 6, 1, 1, 4, np.float32)
    qkv[..., :8] *= 1e20  # q k^T passes 3e38
    with np.errstate(all="ignore"):
        y, _ = run(qkv, g, 1, 1)
    wide, _ = run(qkv.astype(np.float64), g.astype(np.float64), 1, 1)
    np.testing.assert_allclose(y, wide, rtol=1e-5)


def test_backward_leaves_the_output_and_the_cotangent_alone(rng, blocks_of):
    blocks_of(3, 0)
    qkv, g = drawn(rng, 1, 8, 2, 2, 4)
    kernel = _self_attention.kernel
    options = {"rotation": None, "mask": None, "causal": True, "scale": None, "dropped": None}
    y, back = kernel(qkv, heads=2, kv_heads=2, keep=True, **options)
    before = y.copy(), g.copy(), qkv.copy()
    first = back(g)[0].copy()
    np.testing.assert_array_equal(back(g)[0], first)  # a kept graph gives the same again
    for now, then in zip((y, g, qkv), before):
        np.testing.assert_array_equal(now, then)


def peak(T, **options):
    """Bytes at the peak of forward and backward, one head of width 8."""
    rng = np.random.default_rng(0)
    qkv, g = drawn(rng, 1, T, 1, 1, 8, np.float32)
    tracemalloc.start()
    try:
        run(qkv, g, 1, 1, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_length_from_512_tokens_on():
    # Scores of a block of 128 queries and some copies of the sequence, against T^2 scores.
    assert peak(4096) < 4.5 * peak(1024)
    assert peak(2048) < 0.2 * peak(2048, dense=True)
