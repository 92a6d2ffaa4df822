"""Products of small integers stand for products of real numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.models.low_bit.fixedpoint import fixed_linear, integer_product, to_fixed


def test_the_worked_example():
    codes, scale = to_fixed(np.array([-1.27, 0.5, 1.0]))
    assert scale == np.float32(0.01)  # 1.27 / 127
    assert codes.tolist() == [-127, 50, 100] and codes.dtype == np.int8
    small, step = to_fixed(np.array([-1.27e-3, 5e-4, 1e-3]))  # the scale follows the numbers
    assert small.tolist() == [-127, 50, 100] and step == np.float32(1e-5)
    wide, fine = to_fixed(np.array([-3.2767, 0.5]), bits=16)
    assert wide.tolist() == [-32767, 5000] and fine == np.float32(1e-4) and wide.dtype == np.int16
    units, one = to_fixed(np.array([127.0, -3.0]))
    assert units.tolist() == [127, -3] and one == 1


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.sampled_from([8, 16]))
def test_no_number_moves_by_more_than_half_a_step(values, bits):
    values = np.array(values)
    codes, scale = to_fixed(values, bits)
    step = float(scale[0])
    # The scale itself is a float32: relative error 2^-24, or below its smallest normal number an
    # error of 2^-150, either times the largest code, 2^15.
    assert (np.abs(values - codes * step) <= step / 2 + np.abs(values) * 2.0**-23 + 2.0**-135).all()


def test_codes_are_their_own_codes(rng):
    codes, scale = to_fixed(rng.standard_normal((5, 7)), axis=-1)
    again, same = to_fixed(codes * scale.astype(np.float64), axis=-1)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(same, scale)


def test_a_row_has_its_own_scale(rng):
    x = np.array([[1.0, 2.0], [100.0, 200.0], [0.0, 0.0]])
    codes, scale = to_fixed(x, axis=-1)
    assert codes.tolist() == [[64, 127], [64, 127], [0, 0]]  # 63.5 is half way: to even
    np.testing.assert_allclose(scale[:, 0], [2 / 127, 200 / 127, 0], rtol=1e-6)


def test_sixteen_bits_are_256_times_as_fine(rng):
    x = rng.standard_normal(1000)
    error = {
        bits: np.abs(x - codes * scale.astype(np.float64)).max()
        for bits in (8, 16)
        for codes, scale in [to_fixed(x, bits)]
    }
    assert error[16] < error[8] / 200  # steps are 32767 / 127 = 258 times as small


@pytest.mark.parametrize("inner", [1, 1040, 1041, 5000])  # 1040 products are summed at a time
def test_integer_products_are_exact(inner, rng):
    a = rng.integers(-127, 128, (3, inner)).astype(np.int8)
    b = rng.integers(-127, 128, (inner, 4)).astype(np.int8)
    a[0], b[:, 0] = 127, 127  # the largest sum
    np.testing.assert_array_equal(integer_product(a, b), a.astype(np.int64) @ b.astype(np.int64))


def test_a_linear_map_in_eight_bits(rng):
    x, w = rng.standard_normal((8, 256)), rng.standard_normal((256, 16))
    y = fixed_linear(x, *to_fixed(w, axis=0))
    # Rounding x and w by at most half a step, about 3/127/2 each: their errors add up as 16 =
    # sqrt(256) independent ones.
    assert np.sqrt(np.mean((y - x @ w) ** 2)) < 0.02 * np.sqrt(np.mean((x @ w) ** 2))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="4 bits; there are 8 and 16"):
        to_fixed(np.ones(2), bits=4)
    with pytest.raises(DataError, match="finite"):
        to_fixed(np.array([1, np.nan]))
    with pytest.raises(ShapeError, match=r"inner sizes differ, \(1, 2\) @ \(3, 1\)"):
        integer_product(np.ones((1, 2), np.int8), np.ones((3, 1), np.int8))
    with pytest.raises(ShapeError, match="at most 133144 are safe"):
        integer_product(np.ones((1, 133145), np.int8), np.ones((133145, 1), np.int8))
