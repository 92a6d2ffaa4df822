"""Masks are bool; what they hide is left out of products, on every device and in every float."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.autograd.kernels.masks import (
    all_finite,
    bool_mask,
    grouped_mask,
    mix_of_seen,
    own_mask,
    scores_of_seen,
    seen_matmul,
    visible_softmax,
)
from tinylm.errors import DtypeError

SEEN = np.array([[True, False, True], [False, False, False]])


def test_what_is_a_mask_and_what_is_not():
    assert bool_mask(None, "f") is None
    for given in (SEEN, SEEN.tolist(), tl.Tensor(SEEN)):
        np.testing.assert_array_equal(bool_mask(given, "f"), SEEN)
    for kind in (np.float16, np.float32, np.int8, np.uint8, np.int64, complex):
        with pytest.raises(
            DtypeError, match=f"f: mask must be bool, True = visible, not {np.dtype(kind)}"
        ):
            bool_mask(SEEN.astype(kind), "f")
    with pytest.raises(DtypeError, match=r"f: held must be bool.*give held == 0 for"):
        bool_mask(SEEN * 1.0, "f", "held", bias=None)


def test_a_mask_is_copied_where_backward_reads_it():
    mask, x = SEEN.copy(), leaf([1.0])
    assert own_mask(mask, "f", x) is not mask
    assert own_mask(mask, "f", tl.Tensor([1.0])) is mask
    with tl.no_grad():
        assert own_mask(mask, "f", x) is mask


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_take_nothing_of_what_they_do_not_see(device, dtype, bad):
    a = np.where(SEEN, 2.0, 0.0).astype(dtype)
    b = np.array([[1.0, 2.0], [bad, bad], [3.0, bad]], dtype)
    with np.errstate(invalid="ignore"):
        y = host(seen_matmul(*(plain(x, device) for x in (a, b, SEEN))))
    assert y.dtype == dtype and y[0, 0] == 8 and not np.isfinite(y[0, 1])  # it sees the third row
    np.testing.assert_array_equal(y[1], [0, 0])


@pytest.mark.filterwarnings("error")
def test_whether_all_is_finite_is_exact_where_squares_overflow(device):
    large = plain(np.array([1e30, -1e30], np.float32), device)
    assert (
        all_finite(large, large)
        and all_finite(plain(np.array([6e4], np.float16), device))
        and all_finite()
    )
    for bad in (np.nan, np.inf, -np.inf):
        assert not all_finite(large, plain(np.array([1.0, bad], np.float32), device))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("way", [tl.attention, tl.tiled_attention], ids=["plain", "tiled"])
def test_attention_takes_the_careful_way_on_every_device(device, rng, way):
    q, k, v, g = (rng.normal(size=(1, 2, 3, 4)) for _ in range(4))
    mask = np.tri(3, dtype=bool)[None, None]
    results = []
    for bad in (0.5, np.nan):
        k[:, :, 2, 1] = v[:, :, 2, 1] = bad  # seen by the last query alone
        leaves = [leaf(x, device) for x in (q, k, v)]
        y = way(*leaves, mask=plain(mask, device))
        y.backward(plain(g, device))
        results.append([host(y), *(host(x.grad) for x in leaves)])
    for was, now in zip(*[[r[0], r[1]] for r in results]):
        np.testing.assert_allclose(now[:, :, :2], was[:, :, :2], rtol=1e-12)
        assert np.isnan(now[:, :, 2]).any()


def test_products_of_what_is_seen_equal_plain_ones_where_all_is_finite(device, rng):
    w, v = leaf(rng.normal(size=(2, 3)), device), leaf(rng.normal(size=(3, 2)), device)
    every = plain(np.ones((2, 3), bool), device)
    np.testing.assert_allclose(host(mix_of_seen(w, v, seen=every)), host(w) @ host(v), rtol=1e-14)
    np.testing.assert_allclose(
        host(scores_of_seen(w, w, seen=plain(np.ones((2, 2), bool), device))),
        host(w) @ host(w).T,
        rtol=1e-14,
    )


def test_masks_of_grouped_heads_have_an_axis_for_the_group():
    shape = (2, 4, 5, 6)  # B, H, T, S; two heads share a key
    for given, expected in (
        ((6,), (1, 1, 1, 5, 6)),
        ((5, 6), (1, 1, 1, 5, 6)),
        ((4, 5, 6), (1, 2, 2, 5, 6)),
        ((2, 1, 1, 6), (2, 1, 1, 5, 6)),
        (shape, (2, 2, 2, 5, 6)),
    ):
        assert grouped_mask(np.ones(given, bool), shape, 2).shape == expected
    assert grouped_mask(None, shape, 2) is None and grouped_mask(np.ones(6, bool), shape).shape == (
        1,
        1,
        5,
        6,
    )


def test_softmax_of_no_keys_is_empty():
    weights, norm = visible_softmax(tl.Tensor(np.zeros((2, 0))))
    assert weights.shape == (2, 0) and np.isneginf(norm.data).all() and norm.shape == (2, 1)
