"""Eight bits: the worked example, the bound of rounding, and the same model however the text is
cut.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.generate.small import make_gpt
from tinylm.errors import ConfigError
from tinylm.generate import KeyValueCache, ModelLM
from tinylm.generate.cache.quantized import (
    QuantizedCache,
    dequantize,
    quantize,
    quantized_cache_bytes,
)

T = 8
MODEL = make_gpt(context=T, n_head=4, n_kv_head=2)
IDS = np.random.default_rng(1).integers(0, 5, (2, T))


def test_worked_example():
    q, s = quantize(np.array([-1.27, 0.5, 1.0]))
    assert q.tolist() == [-127, 50, 100] and q.dtype == np.int8 and abs(s[0] - 0.01) < 1e-16


@given(
    arrays(np.float64, (3, 5), elements=st.floats(-1e6, 1e6, allow_subnormal=False)),
    st.sampled_from([8, 16]),
)
def test_rounding_is_at_most_half_a_step_and_happens_once(x, bits):
    q, s = quantize(x, bits)
    back = dequantize(q, s)
    assert (
        np.abs(x - back) <= s / 2 * (1 + 1e-9)
    ).all()  # 1e-9: the division and the product round too
    np.testing.assert_array_equal(quantize(back, bits)[0], q)
    assert not back[(x == 0).all(axis=1)].any()


@pytest.mark.parametrize("bits", [8, 16])
def test_reading_in_pieces_or_at_once_is_the_same_model(bits):
    lm = ModelLM(MODEL)
    whole = lm.logits(IDS, QuantizedCache(2, 2, 2, 2, np.float64, bits=bits))
    cache = QuantizedCache(2, 2, 2, 2, np.float64, bits=bits)
    parts = [lm.logits(IDS[:, a:b], cache) for a, b in ((0, 1), (1, 5), (5, T))]
    # not bit for bit: a product of 1e-15 rounding beside a border of two integers would be one
    # step; none is here
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-12)


def test_the_model_sees_exactly_the_rounded_keys_and_values(rng):
    cache, plain = QuantizedCache(1, 2, 2, 4, np.float64), KeyValueCache(1, 2, 2, 4, np.float64)
    for n in (3, 1, 2):
        k, v = rng.normal(size=(2, 2, n, 4)), rng.normal(size=(2, 2, n, 4))
        got = cache.update(0, k, v)
        want = plain.update(0, dequantize(*quantize(k)), dequantize(*quantize(v)))
        np.testing.assert_array_equal(got, want)


def test_sixteen_bits_are_closer_than_eight():
    lm = ModelLM(MODEL)
    errors = [
        np.abs(
            lm.logits(IDS, QuantizedCache(2, 2, 2, 2, np.float64, bits=bits)) - lm.logits(IDS)
        ).max()
        for bits in (8, 16)
    ]
    assert 0 < errors[1] < errors[0] / 100  # a step is 2^8 times smaller


def test_bytes_follow_the_formula_and_rows_and_lengths_can_change():
    lm, cache = ModelLM(MODEL), QuantizedCache(2, 2, 2, 2, np.float32)
    lm.logits(IDS, cache)
    assert cache.bytes == quantized_cache_bytes(2, 2, 2, 2, T) == 2 * 2 * 2 * 2 * T * (2 + 4)
    cache.crop(3)
    cache.select([1, 1, 0])
    fresh = QuantizedCache(2, 3, 2, 2, np.float32)
    ids = IDS[[1, 1, 0]]
    np.testing.assert_allclose(
        lm.logits(ids[:, 3:], cache), lm.logits(ids, fresh)[:, 3:], rtol=0, atol=1e-5
    )  # float32


def test_other_bits_are_refused():
    with pytest.raises(ConfigError, match="4 bits"):
        quantize(np.ones(3), 4)
    with pytest.raises(ConfigError, match="4 bits"):
        QuantizedCache(1, 1, 1, 1, bits=4)
