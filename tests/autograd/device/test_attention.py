"""Self-attention by kernels is that of NumPy, whatever is hidden."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check, run
from tests.device_counter import counted

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
LAUNCHES = dict(split_heads=2, softmax_rows=1, join_heads=1, softmax_backward=1, merge_heads=1)


def packed(rng, B, T, H, G, K, dtype=np.float64):
    return rng.normal(size=(B, T, (H + 2 * G) * K)).astype(dtype)


def angles(rng, *shape, dtype=np.float64):
    angle = rng.uniform(0, 6, shape)
    return np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "B, T, H, G, K", [(2, 5, 2, 2, 4), (1, 37, 4, 2, 6), (1, 3, 3, 1, 40), (2, 1, 1, 1, 1)]
)
@pytest.mark.parametrize("causal", [True, False])
def test_heads_groups_and_sizes(B, T, H, G, K, causal, dtype, rng):
    qkv = packed(rng, B, T, H, G, K, dtype)
    check(tl.self_attention, [qkv], LAUNCHES, heads=H, kv_heads=G, causal=causal)


@pytest.mark.parametrize("batch", [(), (1, 1), (2, 1)])
def test_rotation(batch, rng):
    qkv = packed(rng, 2, 9, 4, 2, 6)
    check(
        tl.self_attention,
        [qkv],
        LAUNCHES,
        heads=4,
        kv_heads=2,
        rotation=angles(rng, *batch, 9, 3),
        scale=0.3,
    )


@pytest.mark.parametrize("shape", [(7,), (7, 7), (2, 1, 1, 7), (3, 7, 7), (2, 3, 7, 1)])
def test_masks(shape, rng):
    mask = rng.random(shape) < 0.6  # some queries see nothing
    check(tl.self_attention, [packed(rng, 2, 7, 3, 3, 4)], LAUNCHES, heads=3, mask=mask)


def test_dropout(rng):
    for device in "cpu", "strict":
        stream = tl.Random(3, device=device)
        found = run(
            tl.self_attention,
            [packed(np.random.default_rng(1), 2, 7, 3, 3, 4)],
            dict(heads=3, dropout=0.4, rng=stream),
            device,
        )
        if device == "cpu":
            want = found
    np.testing.assert_allclose(found[0], want[0], atol=1e-13)
    np.testing.assert_allclose(found[1][0], want[1][0], atol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", [0, 1, 2])  # of a query, a key, a value
def test_what_is_hidden_does_not_pass_even_if_it_is_not_finite(part, bad, rng):
    """The last token is hidden from all others by causality."""
    T, H, K = 6, 2, 4
    qkv = packed(rng, 1, T, H, H, K)
    clean = run(tl.self_attention, [qkv], {"heads": H}, "strict")
    qkv[0, -1, part * H * K] = bad
    for device in "cpu", "strict":
        out, (grad,) = run(tl.self_attention, [qkv], {"heads": H}, device)
        np.testing.assert_allclose(out[0, :-1], clean[0][0, :-1], rtol=1e-12)
        assert np.isfinite(grad[0, :-1, : H * K]).all()  # queries that do not see it
        assert not np.isfinite(out[0, -1]).all()
        other = slice(H * K + K, None)  # keys and values: the sick head alone is read by the last
        assert np.isfinite(grad[0, :, other].reshape(T, -1, K)[:, 0::H]).all()


def test_scores_beyond_float32(rng):
    qkv = packed(rng, 1, 5, 2, 2, 4, np.float32)
    qkv[..., :16] *= 1e19  # queries and keys: scores of 1e38 and more, of both signs
    want, _ = run(tl.self_attention, [qkv.astype(np.float64)], {"heads": 2}, "cpu")
    out, _ = run(tl.self_attention, [qkv], {"heads": 2}, "strict")
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)
    qkv[..., :8] *= 1e3
    want, _ = run(tl.self_attention, [qkv.astype(np.float64)], {"heads": 2}, "cpu")
    out, _ = run(tl.self_attention, [qkv], {"heads": 2}, "strict")
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("G", [4, 2])
def test_cupy_copies_nothing_and_nobody_waits(G, rng):
    with counted() as found:
        run(tl.self_attention, [packed(rng, 2, 8, 4, G, 4)], dict(heads=4, kv_heads=G), "strict")
    assert found.calls["matmul"] == 6 and not found.added
    assert found.waits == dict(to_numpy=2)  # the output and the gradient, read by the test
