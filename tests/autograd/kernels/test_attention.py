"""Attention and rotary positions: worked vectors, masks, grouped heads, stability, and equality
with the plain twin.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.kernels import attention as kernel
from tinylm.autograd.kernels import composed
from tinylm.backend import Random
from tinylm.errors import ShapeError
from tinylm.nn import rotary_angles

B, H, T, K = 2, 4, 3, 2


def heads(rng, kv_heads=H, keys=T, width=K, scale=1.0):
    """Queries, keys and values: (B, H, T, K), (B, G, S, K), (B, G, S, J)."""
    shapes = (H, T, K), (kv_heads, keys, K), (kv_heads, keys, width)
    return [rng.normal(size=(B, *shape)) * scale for shape in shapes]


MASKS = {
    "none": None,
    "keys": (T + 1,),
    "batch": (B, 1, 1, T + 1),
    "full": (B, H, T, T + 1),
    "heads": (H, T, T + 1),
    "rows": (T, 1),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_equals_its_twin(device, rng, causal, kv_heads):
    arrays = heads(rng, kv_heads, keys=T + 1, width=K + 1)
    assert_matches_twin(
        lambda *a: tl.attention(*a, causal=causal),
        lambda *a: composed.attention(*a, causal=causal),
        arrays,
        device,
    )


@pytest.mark.parametrize("shape", MASKS.values(), ids=MASKS)
def test_every_mask_shape_broadcasts(device, rng, shape):
    mask = None if shape is None else plain(rng.random(shape) < 0.6, device)
    options = dict(mask=mask, causal=True, scale=0.3)
    assert_matches_twin(
        lambda *a: tl.attention(*a, **options),
        lambda *a: composed.attention(*a, **options),
        heads(rng, 2, T + 1),
        device,
    )


@pytest.mark.parametrize(
    "shape",
    [
        (T + 1,),
        (T, T + 1),
        (H, 1, 1),
        (H, T, T + 1),
        (B, 1, T, T + 1),
        (1, H, 1, T + 1),
        (B, H, T, T + 1),
    ],
)
def test_a_bias_is_added_and_differentiated(device, rng, shape):
    arrays = [*heads(rng, 2, T + 1), rng.normal(size=shape)]
    assert_matches_twin(
        lambda *a: tl.attention(*a, causal=True),
        lambda *a: composed.attention(*a, causal=True),
        arrays,
        device,
    )


def test_the_worked_example_of_three_tokens(device):
    q, v = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[1.0, 2], [3, 4], [5, 6]])
    shaped = [tl.Tensor(x[None, None], device=device) for x in (q, q, v)]
    y = host(tl.attention(*shaped, causal=True))[0, 0]
    np.testing.assert_allclose(y, [[1, 2], [2.339523, 3.339523], [3.510470, 4.510470]], atol=5e-7)
    np.testing.assert_array_equal(y[0], v[0])  # the first query sees the first key alone
    eye = tl.Tensor(np.eye(3)[None, None], device=device)  # values that show the weights themselves
    weights = host(tl.attention(*shaped[:2], eye, causal=True))[0, 0]
    np.testing.assert_allclose(
        weights, [[1, 0, 0], [0.330238, 0.669762, 0], [0.248255, 0.248255, 0.503490]], atol=5e-7
    )


def test_weights_are_a_distribution_and_equal_keys_share_evenly(device, rng):
    q, k, _ = heads(rng)
    ones = np.ones((B, H, T, 1))
    np.testing.assert_allclose(
        host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, ones)))), 1, rtol=1e-14
    )
    values = rng.normal(size=(B, H, T, K))
    y = host(
        tl.attention(
            *(tl.Tensor(x, device=device) for x in (q, np.ones_like(k), values)), causal=True
        )
    )
    running = np.cumsum(values, axis=2) / np.arange(1, T + 1)[:, None]
    np.testing.assert_allclose(y, running, rtol=1e-13)


def test_a_constant_added_to_a_row_of_scores_changes_nothing(rng):
    q, k, v = (tl.Tensor(x) for x in heads(rng))
    bias = tl.Tensor(rng.normal(size=(B, H, T, 1)) * 3)
    np.testing.assert_allclose(
        tl.attention(q, k, v, bias=bias).numpy(), tl.attention(q, k, v).numpy(), rtol=1e-12
    )


@pytest.mark.parametrize(
    "future", [2.0, 50.0, -5e3]
)  # scores within the bounds, and far beyond on either side
def test_causal_attention_hides_the_future_bit_for_bit(device, rng, future):
    q, k, v = heads(rng)
    first = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v)), causal=True))
    k[:, :, 2:], v[:, :, 2:] = future, -7.0
    second = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v)), causal=True))
    np.testing.assert_array_equal(first[:, :, :2], second[:, :, :2])
    assert (first[:, :, 2] != second[:, :, 2]).any()


def test_a_sequence_does_not_feel_its_neighbors_in_the_batch(device, rng):
    q, k, v = heads(rng)
    first = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v))))
    q[1] *= 500.0  # the other sequence now needs the careful way
    second = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v))))
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("chunk", [1, 2])
def test_the_last_query_is_aligned_with_the_last_key(device, rng, chunk):
    q, k, v = heads(rng)
    whole = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v)), causal=True))
    # queries start .. start+chunk-1 against keys up to the last of them
    for start in range(T - chunk + 1):
        stop = start + chunk
        part = [
            tl.Tensor(np.ascontiguousarray(x), device=device)
            for x in (q[:, :, start:stop], k[:, :, :stop], v[:, :, :stop])
        ]
        np.testing.assert_allclose(
            host(tl.attention(*part, causal=True)), whole[:, :, start:stop], rtol=1e-13
        )


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_heads_are_repeated_heads_with_summed_gradients(device, rng, kv_heads):
    q, k, v = heads(rng, kv_heads)
    y, (gq, gk, gv) = gradients(lambda *a: tl.attention(*a, causal=True), [q, k, v], device)
    repeat = H // kv_heads
    y2, (gq2, gk2, gv2) = gradients(
        lambda *a: tl.attention(*a, causal=True),
        [q, np.repeat(k, repeat, 1), np.repeat(v, repeat, 1)],
        device,
    )
    np.testing.assert_allclose(y, y2, rtol=1e-13)
    np.testing.assert_allclose(gq, gq2, rtol=1e-12, atol=1e-14)
    for ours, theirs in ((gk, gk2), (gv, gv2)):
        np.testing.assert_allclose(
            ours, theirs.reshape(B, kv_heads, repeat, T, K).sum(2), rtol=1e-12, atol=1e-14
        )


def test_a_query_that_sees_nothing_gives_zero_and_takes_no_gradient(device, rng):
    mask = np.ones((T, T), bool)
    mask[1] = False
    y, grads = gradients(lambda *a: tl.attention(*a, mask=plain(mask, device)), heads(rng), device)
    np.testing.assert_array_equal(y[:, :, 1], 0)
    assert all(np.isfinite(g).all() for g in grads)
    np.testing.assert_array_equal(grads[0][:, :, 1], 0)


def test_the_fast_way_and_the_careful_way_agree(device, rng, monkeypatch):
    arrays = [*heads(rng, 2), rng.normal(size=(T, T))]
    fast = gradients(lambda *a: tl.attention(*a, causal=True), arrays, device)
    monkeypatch.setattr(kernel, "SAFE_SCORE", -1e9)  # no score is safe: always subtract the maximum
    careful = gradients(lambda *a: tl.attention(*a, causal=True), arrays, device)
    for a, b in zip([fast[0], *fast[1]], [careful[0], *careful[1]]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shift", [-1e4, -800.0, -65.0, 0.0, 59.0, 61.0, 800.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_any_size_are_stable(device, rng, shift, dtype):
    # A constant in the bias cancels in the softmax; it pushes all scores over or under every
    # threshold. Around 1e4 a float32 score keeps about 1e-3, so weights agree to that; the twin
    # subtracts the maximum always.
    arrays, bias = heads(rng, 2), np.full((T, T), shift)
    with np.errstate(over="raise", invalid="raise"):
        y, grads = gradients(
            lambda *a: tl.attention(*a, bias=tl.Tensor(plain(bias.astype(dtype), device))),
            arrays,
            device,
            dtype,
        )
    y2, grads2 = gradients(lambda *a: composed.attention(*a), arrays, device)
    bound = 100 * np.finfo(dtype).eps * max(1.0, abs(shift))
    for a, b in zip([y, *grads], [y2, *grads2]):
        assert np.abs(a - b).max() <= bound


def test_one_row_of_tiny_scores_among_large_ones_is_still_a_distribution(device):
    q = np.zeros((1, 1, 2, 1))
    q[0, 0] = [[1.0], [-1.0]]
    # rows of scores +50 and -50: one exp is 5e21, the other 2e-22
    k = np.full((1, 1, 3, 1), 50.0)
    k[0, 0, 2] = 49.0
    y = host(
        tl.attention(
            *(tl.Tensor(x, device=device) for x in (q, k, np.eye(3)[None, None])), scale=1.0
        )
    )[0, 0]
    e = np.exp(-1.0)
    np.testing.assert_allclose(
        y,
        [
            [1 / (2 + e), 1 / (2 + e), e / (2 + e)],
            [e / (1 + 2 * e), e / (1 + 2 * e), 1 / (1 + 2 * e)],
        ],
        rtol=1e-12,
    )


def test_dropped_weights_repeat_with_the_stream_and_the_twin_agrees(device, rng):
    arrays = heads(rng, 2)

    def dropped(*a):
        return tl.attention(*a, causal=True, dropout=0.4, rng=Random(5, device=device))

    first, second = gradients(dropped, arrays, device), gradients(dropped, arrays, device)
    np.testing.assert_array_equal(first[0], second[0])
    mask = kernel.kept_scaled((B, H, T, T), 0.4, Random(5, device=device), np.float64)
    twin = gradients(lambda *a: composed.attention(*a, causal=True, dropped=mask), arrays, device)
    for a, b in zip([first[0], *first[1]], [twin[0], *twin[1]]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    assert (
        first[0] != gradients(lambda *a: tl.attention(*a, causal=True), arrays, device)[0]
    ).any()


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("rotated", [False, True])
def test_packed_attention_equals_its_twin(device, rng, kv_heads, rotated):
    rotation = rotary_angles(plain(np.arange(T), device), K, dtype=np.float64) if rotated else None
    qkv = rng.normal(size=(B, T, (H + 2 * kv_heads) * K))
    mask = plain(rng.random((B, 1, 1, T)) < 0.7, device)
    for extra in (dict(), dict(causal=False), dict(mask=mask), dict(scale=0.1)):
        options = dict(heads=H, kv_heads=kv_heads, rotation=rotation, **extra)
        y, (g,) = gradients(
            lambda a, options=options: tl.self_attention(a, **options), [qkv], device
        )
        y2, (g2,) = gradients(
            lambda a, options=options: composed.self_attention(a, **options), [qkv], device
        )
        np.testing.assert_allclose(y, y2, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(g, g2, rtol=1e-12, atol=1e-13)


def test_packed_attention_is_attention_of_its_parts(device, rng):
    qkv = rng.normal(size=(B, T, 3 * H * K))
    packed = host(tl.self_attention(tl.Tensor(qkv, device=device), H))
    q, k, v = (
        np.ascontiguousarray(x.reshape(B, T, H, K).transpose(0, 2, 1, 3))
        for x in np.split(qkv, 3, axis=-1)
    )
    y = host(tl.attention(*(tl.Tensor(x, device=device) for x in (q, k, v)), causal=True))
    np.testing.assert_allclose(packed, y.transpose(0, 2, 1, 3).reshape(B, T, H * K), rtol=1e-13)


def test_rotary_equals_its_twin_keeps_norms_and_turns_back(device, rng):
    x = rng.normal(size=(B, H, T, 6))
    cos, sin = rotary_angles(plain(np.arange(T) * 7, device), 6, dtype=np.float64)
    y, (g,) = gradients(lambda a: tl.rotary(a, cos=cos, sin=sin), [x], device)
    y2, (g2,) = gradients(lambda a: composed.rotary(a, cos, sin), [x], device)
    np.testing.assert_allclose(y, y2, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(g, g2, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-14)
    back = tl.rotary(tl.Tensor(plain(y, device)), cos=cos, sin=-sin)
    np.testing.assert_allclose(host(back), x, rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(y[:, :, 0], x[:, :, 0])  # position 0 turns by nothing


def test_rotated_scores_depend_on_the_distance_alone(rng):
    q, k = rng.normal(size=(2, 1, 1, 1, 8))

    def score(m, n):
        turned = [
            tl.rotary(
                tl.Tensor(x),
                **dict(zip(("cos", "sin"), rotary_angles(np.array([p]), 8, dtype=np.float64))),
            )
            for x, p in ((q, m), (k, n))
        ]
        return float(np.sum(turned[0].numpy() * turned[1].numpy()))

    np.testing.assert_allclose(
        [score(m + 100, m) for m in (0, 1, 50, 1000)], score(100, 0), rtol=1e-11
    )
    assert (
        abs(score(100, 0) - score(0, 100)) > 1e-3
    )  # but not on the absolute distance: it has a sign
    # The last of four pairs turns by 10000^(-3/4) = 1/1000 a position.
    assert rotary_angles(np.array([1000]), 8, dtype=np.float64)[0][0, -1] == pytest.approx(
        np.cos(1.0)
    )


def test_shapes_that_do_not_fit_are_named():
    q = tl.Tensor(np.ones((1, 3, 2, 4)))
    with pytest.raises(ShapeError, match=r"attention: q \(1, 3, 2, 4\), k \(1, 3, 2, 5\)"):
        tl.attention(q, tl.Tensor(np.ones((1, 3, 2, 5))), tl.Tensor(np.ones((1, 3, 2, 5))))
    with pytest.raises(
        ShapeError,
        match="attention: q .* do not fit: 3 query heads do not share 2 key-value heads evenly",
    ):
        tl.attention(q, *[tl.Tensor(np.ones((1, 2, 2, 4)))] * 2)
    with pytest.raises(
        ShapeError, match="self_attention: width 10 does not divide into 2 query and 2 x 2"
    ):
        tl.self_attention(leaf(np.ones((1, 2, 10))), 2)
    for shape, kv_heads in ((2, 6), 1), ((1, 2, 4), 0):  # no axis of the batch; no keys at all
        with pytest.raises(ShapeError, match="need .* at least one head"):
            tl.self_attention(leaf(np.ones(shape)), 2, kv_heads)


@pytest.mark.parametrize("causal", [False, True])
def test_half_precision_survives_scores_whose_exponential_it_cannot_hold(device, rng, causal):
    arrays = [5 * a for a in heads(rng)]  # scores to 100 and more; exp() of float16 overflows at 11
    y, grads = gradients(lambda *a: tl.attention(*a, causal=causal), arrays, device, np.float16)
    y2, grads2 = gradients(
        lambda *a: tl.attention(*a, causal=causal), [a.astype(np.float16) for a in arrays], device
    )
    for a, b in zip(
        [y, *grads], [y2, *grads2]
    ):  # a score of 100 is known to 0.06 at best: half of 2**-10 of it
        np.testing.assert_allclose(a, b, atol=0.1 * max(1, np.abs(b).max()), rtol=0)


def test_a_learned_bias_keeps_its_gradient_where_scores_pass_float32(rng):
    q, k, v = (tl.Tensor(rng.normal(size=(1, 1, 3, 2)).astype(np.float32)) for _ in range(3))
    q.data *= 1e20
    k.data *= 1e20  # scores of 1e40, computed in float64
    bias = tl.Tensor(np.zeros((3, 3), np.float32), requires_grad=True)
    tl.attention(q, k, v, bias=bias).backward(np.ones((1, 1, 3, 2), np.float32))
    assert bias.grad.dtype == np.float32 and np.isfinite(bias.grad.numpy()).all()


@pytest.mark.parametrize("way", [tl.attention, tl.tiled_attention], ids=["plain", "tiled"])
def test_every_query_sees_every_key_in_any_order_unless_told(way, rng):
    q, k, v = heads(rng)
    y = host(way(*map(tl.Tensor, (q, k, v))))
    turned = host(way(*map(tl.Tensor, (q, k[:, :, ::-1], v[:, :, ::-1]))))
    np.testing.assert_allclose(turned, y, rtol=1e-12, atol=1e-13)
