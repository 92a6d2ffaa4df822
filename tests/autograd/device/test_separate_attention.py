"""Attention of separate queries, keys and values by kernels is that of NumPy."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check, run
from tests.device_counter import counted
from tests.strict import strict_module, to_numpy
from tinylm.autograd import Tensor
from tinylm.autograd.device.separate_attention import FEW
from tinylm.backend import backend, to_cpu, to_device

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
# Of queries, keys and values forward; of the cotangent backward.
LAUNCHES = dict(lay_out=4, softmax_rows=1, mend_rows=2, softmax_backward=1, merge_keys=2, matmul=6)


def qkv(rng, B, T, S, H, G, K, J, dtype=np.float64):
    shapes = (B, H, T, K), (B, G, S, K), (B, G, S, J)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def decode(arrays, device, **options):
    """attention() of arrays that want no gradient, as a NumPy array."""
    arrays = [None if a is None else to_device(a, device) for a in arrays]
    options = {n: to_device(o, device) if hasattr(o, "dtype") else o for n, o in options.items()}
    return to_cpu(tl.attention(*arrays, **options).data)


def check_few(arrays, **options):
    """Assert that one launch computes what NumPy does, with one thread a block and with all."""
    dtype = arrays[0].dtype
    close = 3e-5 if dtype == np.float32 else 1e-12
    want = decode(arrays, "cpu", **options)
    with counted() as found:
        results = [decode(arrays, "strict", **options)]
    assert found.calls == dict(attend_rows=1) and found.waits == dict(to_numpy=1)
    for backwards in False, True:
        with cuda_on_cpu.all_threads(backwards):
            results.append(decode(arrays, "strict", **options))
    for y in results:
        np.testing.assert_allclose(y, want, rtol=close, atol=close)
    np.testing.assert_array_equal(*results[1:])


SIZES = [
    (2, 5, 7, 4, 2, 6, 3),
    (1, 3, 40, 2, 2, 33, 35),
    (1, 1, 9, 3, 1, 4, 4),
    (2, 6, 2, 1, 1, 1, 1),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("causal", [True, False])
def test_more_keys_than_queries_shared_heads_and_widths(sizes, causal, dtype, rng):
    arrays = qkv(rng, *sizes, dtype)
    check(tl.attention, arrays, LAUNCHES, causal=causal)
    assert sizes[1] <= FEW
    check_few(arrays, causal=causal, scale=0.3)


def test_many_queries_without_gradients_are_products(rng):
    arrays = qkv(rng, 1, FEW + 1, 12, 2, 1, 4, 4)
    with counted() as found:
        y = decode(arrays, "strict", causal=True)
    np.testing.assert_allclose(y, decode(arrays, "cpu", causal=True), atol=1e-13)
    assert found.calls["matmul"] == 2 and found.calls["attend_rows"] == 0 and not found.added


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 1, 1, 7), (4, 5, 7), (2, 4, 5, 1)])
def test_masks_and_biases(shape, rng):
    arrays = qkv(rng, 2, 5, 7, 4, 2, 6, 3)
    mask = rng.random(shape) < 0.6  # some queries see nothing
    bias = rng.normal(size=shape)
    bias[rng.random(shape) < 0.3] = -np.inf
    check(tl.attention, arrays, LAUNCHES, mask=mask)
    check(tl.attention, [*arrays, rng.normal(size=shape)], LAUNCHES, mask=mask, causal=True)
    check_few([*arrays, None], mask=mask)
    check_few([*arrays, bias], mask=mask, causal=True)


def test_a_query_that_only_has_biases_of_minus_infinity_gets_zeros(rng):
    arrays = [*qkv(rng, 1, 2, 3, 1, 1, 4, 4), np.full((2, 3), -np.inf)]
    for device in "cpu", "strict":
        assert not decode(arrays, device).any()
        assert not run(tl.attention, arrays, {}, device)[0].any()


def test_dropout(rng):
    arrays = qkv(rng, 2, 5, 7, 4, 2, 6, 3)
    out, grads = zip(
        *(
            run(tl.attention, arrays, dict(dropout=0.4, rng=tl.Random(3, device=device)), device)
            for device in ("cpu", "strict")
        )
    )
    np.testing.assert_allclose(out[1], out[0], atol=1e-13)
    for one, other in zip(*grads, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-12)


def test_keys_and_values_are_read_where_the_cache_has_them(rng):
    backend("strict")
    q = strict_module.asarray(rng.normal(size=(2, 1, 4, 6))).swapaxes(1, 2)  # (B, H, T, K)
    room = strict_module.asarray(rng.normal(size=(2, 2, 2, 20, 6)))
    keys, values = room[0][:, :, :9], room[1][:, :, :9]
    with counted() as found:
        y = tl.attention(Tensor(q), Tensor(keys), Tensor(values))
    assert found.calls == dict(attend_rows=1)  # nothing is copied
    want = tl.attention(*(Tensor(to_numpy(x)) for x in (q, keys, values)))
    np.testing.assert_allclose(to_numpy(y.data), want.data, atol=1e-13)
    turned = strict_module.asarray(to_numpy(keys).swapaxes(2, 3).copy()).swapaxes(2, 3)
    y = tl.attention(Tensor(q), Tensor(turned), Tensor(values))  # columns that are not side by side
    np.testing.assert_allclose(to_numpy(y.data), want.data, atol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_hidden_does_not_pass_even_if_it_is_not_finite(part, bad, rng):
    """The last key is hidden from all queries but the last by causality."""
    arrays = qkv(rng, 1, 4, 6, 2, 2, 4, 4)
    clean = run(tl.attention, arrays, dict(causal=True), "strict")
    arrays[part][0, 0, -1, 0] = bad
    arrays[0][0, 0, -1, 0] = bad if part == 0 else 1.0  # the key's score is inf, not -inf
    for device in "cpu", "strict":
        out, grads = run(tl.attention, arrays, dict(causal=True), device)
        few = decode(arrays, device, causal=True)
        for y in out, few:
            np.testing.assert_allclose(y[:, :, :-1], clean[0][:, :, :-1], rtol=1e-12)
            np.testing.assert_allclose(y[:, 1], clean[0][:, 1], rtol=1e-12)
            assert not np.isfinite(y[0, 0, -1]).all()
        assert np.isfinite(grads[0][:, :, :-1]).all()
        assert all(np.isfinite(grad[:, 1]).all() for grad in grads)  # the other head


def test_scores_beyond_float32(rng):
    arrays = qkv(rng, 1, 5, 5, 2, 2, 4, 4, np.float32)
    for more in 1e19, 1e3:  # scores of 1e38 and more, of both signs
        arrays[0] *= np.float32(more)
        arrays[1] *= np.float32(1e19) if more == 1e19 else np.float32(1)
        want = decode([a.astype(np.float64) for a in arrays], "cpu", causal=True)
        for y in (
            run(tl.attention, arrays, dict(causal=True), "strict")[0],
            decode(arrays, "strict", causal=True),
        ):
            np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_cupy_copies_nothing_and_nobody_waits(rng):
    with counted() as found:
        run(tl.attention, qkv(rng, 2, 8, 9, 4, 2, 4, 4), dict(causal=True), "strict")
    assert not found.added
    assert found.waits == dict(to_numpy=4)  # the output and three gradients, read by the test
