"""Rounding to few bits: against all numbers of a format, and against NumPy's float16."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import backend, device_of, to_cpu, to_device
from tinylm.errors import ConfigError
from tinylm.models.low_bit.bfloat16 import simulate
from tinylm.train.precision.formats import FORMATS, round_float32, round_scaled, round_to


def all_numbers(name):
    """Every finite number from 0 on, with its mantissa's last bit, straight from the codes."""
    f = FORMATS[name]
    bias = (1 << (f.exponent - 1)) - 1
    found = []
    for code in range(1 << (f.exponent + f.mantissa)):
        e, m = code >> f.mantissa, code & ((1 << f.mantissa) - 1)
        top = (1 << f.exponent) - 1
        if e == top and (f.infinite or m == (1 << f.mantissa) - 1):
            continue
        if e:
            value = (1 + m / 2**f.mantissa) * 2.0 ** (e - bias)
        else:
            value = m / 2**f.mantissa * 2.0 ** (1 - bias)
        found.append((value, code % 2))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_themselves_and_what_lies_between_goes_to_the_nearest(name):
    numbers = all_numbers(name)
    values = np.array([value for value, _ in numbers])
    np.testing.assert_array_equal(round_to(values, name), values)
    np.testing.assert_array_equal(round_to(-values, name), -values)
    low, high = values[:-1], values[1:]
    middle = (low + high) / 2
    even = np.where(np.array([odd for _, odd in numbers])[:-1] == 0, low, high)
    np.testing.assert_array_equal(round_to(middle, name), even)
    np.testing.assert_array_equal(round_to(low + 0.49 * (high - low), name), low)
    np.testing.assert_array_equal(round_to(low + 0.51 * (high - low), name), high)


@pytest.mark.parametrize(
    "name, largest, least_normal, smallest",
    [
        ("float16", 65504, 6.1035e-5, 5.9605e-8),
        ("bfloat16", 3.3895e38, 1.1755e-38, 9.1835e-41),
        ("e5m2", 57344, 6.1035e-5, 1.5259e-5),
        ("e4m3", 448, 1.5625e-2, 1.9531e-3),
    ],
)
def test_limits_of_the_formats(name, largest, least_normal, smallest):
    f = FORMATS[name]
    assert f.largest == max(value for value, _ in all_numbers(name))
    found = f.largest, f.least_normal, f.smallest
    assert found == pytest.approx((largest, least_normal, smallest), rel=1e-4)
    assert round_to(np.array(f.smallest / 2), name) == 0
    assert round_to(np.array(f.smallest * 0.51), name) == f.smallest


def test_what_is_beyond_is_infinite_or_no_number_or_the_largest():
    assert np.isinf(round_to(np.array([7e4, -7e4]), "float16")).all()
    assert np.isnan(round_to(np.array([500.0]), "e4m3")).all()
    assert round_to(np.array([464.0]), "e4m3") == 448  # the tie below 480, to even
    for name, f in FORMATS.items():
        got = round_to(np.array([1e39, -1e39, np.inf, np.nan]), name, saturate=True)
        assert got[:3].tolist() == [f.largest, -f.largest, f.largest] and np.isnan(got[3])


floats = st.floats(width=32, allow_nan=False)


@given(st.lists(floats, min_size=1, max_size=20))
def test_float16_and_bfloat16_are_those_of_others(values):
    values = np.array(values, np.float32)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(round_to(values, "float16"), half)
    np.testing.assert_array_equal(round_to(values, "bfloat16"), simulate(values))
    assert round_to(values, "e5m2").dtype == np.float32


def test_an_unknown_format_is_named():
    with pytest.raises(ConfigError, match="no format 'fp4', choose one of float16"):
        round_to(np.zeros(1), "fp4")


SHORT = "float16", "e5m2", "e4m3"


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("name", SHORT)
def test_rounding_by_the_bits_is_rounding(name, saturate):
    rng = np.random.default_rng(0)
    values = np.array([value for value, _ in all_numbers(name)])
    between = np.concatenate([values, (values[1:] + values[:-1]) / 2]).astype(np.float32)
    codes = rng.integers(0, 1 << 32, 50_000, np.uint64).astype(np.uint32)  # all of float32
    drawn = codes.view(np.float32)
    special = np.array([0.0, np.inf, np.nan, 3e38], np.float32)
    for values in (between, drawn, special, drawn.reshape(500, 100).T, np.float32(0.3)[None]):
        for signed in (values, -values):
            expected = round_to(signed, name, saturate)
            found = round_float32(signed, name, saturate)
            np.testing.assert_array_equal(found, expected)
            known = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(expected)[known])


@pytest.mark.parametrize("name, peer", [("e5m2", "float8_e5m2"), ("e4m3", "float8_e4m3fn")])
def test_eight_bits_are_torch_s(name, peer):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(5000) * 10.0 ** rng.integers(-9, 3, 5000)).astype(np.float32)
    values = np.clip(values, -448, 448)  # beyond, versions of torch saturate or give nan
    theirs = torch.tensor(values).to(getattr(torch, peer)).float().numpy()
    np.testing.assert_array_equal(round_float32(values, name), theirs)


def test_a_scale_brings_the_largest_number_to_the_largest_of_the_format():
    values = np.array([[3e-9, -1e-9], [2e-9, 0]], np.float32)  # all 0 in e4m3
    found = round_scaled(values, "e4m3")
    assert not round_to(values, "e4m3").any()
    np.testing.assert_allclose(found, values, rtol=2**-4)  # half a last place
    assert found[0, 0] == values[0, 0] and found.dtype == np.float32
    # powers of two times a tensor change nothing but its exponents
    np.testing.assert_array_equal(round_scaled(values * 2.0**20, "e4m3"), found * 2.0**20)


def test_a_tensor_without_a_scale_is_left():
    for values in ([], [0.0, -0.0], [np.nan, 1.3], [np.inf, 1.3]):
        values = np.array(values, np.float32)
        np.testing.assert_array_equal(round_scaled(values, "e5m2"), values)
    tiny = np.array([1e-44, 0], np.float32)
    assert not round_scaled(tiny, "e5m2").any()


@pytest.mark.parametrize("name", SHORT)
def test_rounding_by_the_bits_stays_on_its_device(name, device):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((40, 30)) * 10.0 ** rng.integers(-9, 6, (40, 30))).astype("f4")
    for rounded in (round_float32, round_scaled):
        found = rounded(to_device(values, device), name)
        assert device_of(found) == backend(device).name
        np.testing.assert_array_equal(to_cpu(found), rounded(values, name))
