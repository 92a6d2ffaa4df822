"""bfloat16 is the upper half of float32, rounded to nearest even."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import backend, device_of, to_cpu, to_device
from tinylm.models.low_bit.bfloat16 import narrow, simulate, widen


def test_every_bfloat16_comes_back():
    bits = np.arange(1 << 16, dtype=np.uint16)
    nan = np.isnan(widen(bits))
    np.testing.assert_array_equal(narrow(widen(bits))[~nan], bits[~nan])
    assert np.isnan(widen(narrow(widen(bits[nan])))).all()


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (1 + 2**-8, 1),  # half way between 1 and 1 + 2^-7: to the even mantissa, 0
        (1 + 3 * 2**-8, 1 + 2**-6),  # half way between odd 1 and even 2
        (1 + 2**-8 + 2**-20, 1 + 2**-7),  # a little more than half
        (3.3895313892515355e38, 3.3895313892515355e38),  # the largest: 2^127 * (2 - 2^-7)
        (3.4e38, np.inf),  # beyond it by more than half a step
        (2.0**-133, 2.0**-133),  # the least above 0
    ],
)
def test_ties_go_to_even(value, rounded):
    assert simulate(np.float32(value)) == np.float32(rounded)
    assert simulate(np.float32(-value)) == -np.float32(rounded)


def test_a_nan_whose_low_bits_alone_say_so_stays_one():
    hidden = np.array([0x7F800001, 0xFF800001, 0x7FC10001], np.uint32)
    assert np.isnan(simulate(hidden.view(np.float32))).all()
    # Quieted as the hardware does: the highest bit of the mantissa is set, the upper bits stay.
    assert narrow(hidden.view(np.float32)).tolist() == [0x7FC0, 0xFFC0, 0x7FC1]


def test_infinities_are_no_nans():
    assert narrow(np.array([np.inf, -np.inf], np.float32)).tolist() == [0x7F80, 0xFF80]


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_rounding_is_torch_s(values):
    torch = pytest.importorskip("torch")
    values = np.array(values, np.float32)
    np.testing.assert_array_equal(simulate(values), torch.tensor(values).bfloat16().float().numpy())


@given(st.lists(st.floats(2.0**-126, 2.0**126, width=32), min_size=1, max_size=50))
def test_the_relative_error_is_at_most_two_to_the_minus_eight(values):
    values = np.array(
        values, np.float32
    )  # 8 bits of mantissa with the hidden one: half a last place is 2^-8
    assert (np.abs(simulate(values).astype(np.float64) - values) <= 2.0**-8 * values).all()


def test_simulating_is_narrowing_and_widening_on_every_device(device):
    codes = np.random.default_rng(0).integers(0, 1 << 32, 60_000, np.uint64).astype(np.uint32)
    values = codes.view(np.float32).reshape(300, 200)
    for some in (values, values[::2], values[:0], np.abs(values[0])):
        found = simulate(to_device(some, device))
        assert device_of(found) == backend(device).name and found.shape == some.shape
        np.testing.assert_array_equal(to_cpu(found), widen(narrow(some)))
