"""Quantized blocks mean what llama.cpp says they mean."""

import tracemalloc

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.models.low_bit.blocks import FORMATS, dequantize, quantize


def half(*numbers):
    return np.array(numbers, "<f2").tobytes()


def block(data, kind):
    return dequantize(np.frombuffer(data, np.uint8), kind, (FORMATS[kind].weights,))


LOW = np.arange(16)
HIGH = 15 - np.arange(16)  # codes 0..15 in the low halves, 15..0 in the high ones
PACKED = (LOW | HIGH << 4).astype(np.uint8).tobytes()
CODES = np.concatenate([LOW, HIGH])  # low halves are the first 16 weights


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("Q8_0", half(0.5) + np.arange(-16, 16, dtype=np.int8).tobytes(), 0.5 * np.arange(-16, 16)),
        ("Q4_0", half(2) + PACKED, 2 * (CODES - 8)),
        ("Q4_1", half(2, -3) + PACKED, 2 * CODES - 3),
        # Bit 0 and bit 31 of the fifth bits belong to the first and last weight, and add 16.
        (
            "Q5_0",
            half(1) + b"\x01\x00\x00\x80" + PACKED,
            CODES - 16 + 16 * np.isin(np.arange(32), [0, 31]),
        ),
        (
            "Q5_1",
            half(1, 5) + b"\x01\x00\x00\x80" + PACKED,
            CODES + 5 + 16 * np.isin(np.arange(32), [0, 31]),
        ),
    ],
)
def test_a_block_of_32(kind, data, expected):
    np.testing.assert_array_equal(block(data, kind), expected)


def test_a_block_of_q4_k_has_eight_groups_with_scales_of_six_bits():
    scales, offsets = np.array([1, 2, 3, 63, 33, 20, 7, 60]), np.array([5, 0, 1, 62, 63, 17, 40, 2])
    packed = np.concatenate(
        [
            scales[:4] | scales[4:] >> 4 << 6,
            offsets[:4] | offsets[4:] >> 4 << 6,
            scales[4:] & 15 | (offsets[4:] & 15) << 4,
        ]
    )
    codes = np.arange(256) * 7 % 16
    pairs = codes.reshape(4, 2, 32)  # 32 bytes hold two groups, one in each half
    data = (
        half(0.5, 0.25)
        + packed.astype(np.uint8).tobytes()
        + (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()
    )
    expected = 0.5 * np.repeat(scales, 32) * codes - 0.25 * np.repeat(offsets, 32)
    np.testing.assert_array_equal(block(data, "Q4_K"), expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_dequantizing_is_that_of_the_gguf_library(kind, rng):
    library = pytest.importorskip("gguf")
    form = FORMATS[kind]
    blocks = rng.integers(0, 256, (70, form.nbytes), dtype=np.uint8)  # every byte is a valid code
    # The float16 numbers are the exception, they could be NaN: make them 0 < x < 2.
    for at in {"Q6_K": [208], "Q8_0": [0], "Q4_0": [0], "Q5_0": [0]}.get(kind, [0, 2]):
        blocks[:, at + 1] &= 0x3F
    expected = library.quants.dequantize(blocks, library.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(
        dequantize(blocks.reshape(-1), kind, (70, form.weights)), expected
    )


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1"])
def test_quantizing_is_that_of_the_gguf_library(kind, rng):
    library = pytest.importorskip("gguf")
    array = rng.standard_normal((6, 3, 64)).astype(np.float32)
    array[0, 0, :32] = 0  # a block of zeros has the scale 0
    array[1] = rng.integers(-8, 9, (3, 64))  # ties and exact codes
    np.testing.assert_array_equal(
        quantize(array, kind), library.quants.quantize(array, library.GGMLQuantizationType[kind])
    )


@pytest.mark.parametrize(("kind", "steps"), [("Q8_0", 127), ("Q4_0", 8), ("Q4_1", 15)])
def test_no_weight_moves_by_more_than_half_a_step(kind, steps, rng):
    array = rng.standard_normal((100, 64)).astype(np.float32)
    rows = array.reshape(-1, 32)
    spread = rows.max(1) - rows.min(1) if kind == "Q4_1" else np.abs(rows).max(1)
    back = dequantize(quantize(array, kind).reshape(-1), kind, rows.shape)
    # Q4_0's codes go from -8 to 7, so a weight opposite the largest may move a whole step. Scales
    # are float16: 2^-11 of them, which the largest code multiplies, and so is Q4_1's offset.
    moved = (1 if kind == "Q4_0" else 0.5) * spread / steps + 2 * np.abs(rows).max(1) * 2.0**-11
    assert (np.abs(back - rows).max(1) <= moved).all()


def test_dequantizing_allocates_the_result_and_a_little():
    raw = np.zeros((1 << 20) // 32 * 20, np.uint8)  # 2^20 weights of Q4_1
    tracemalloc.start()
    out = dequantize(raw, "Q4_1", (1024, 1024))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out.nbytes + (1 << 20)  # 1 MB of scratch


def test_what_cannot_be_quantized_is_refused():
    with pytest.raises(ConfigError, match="'Q6_K' cannot be made here; there are Q8_0, Q4_0, Q4_1"):
        quantize(np.zeros(256), "Q6_K")
    with pytest.raises(ShapeError, match="not a multiple of 32"):
        quantize(np.zeros((32, 33)), "Q8_0")
    for bad in (np.nan, np.inf, 1e5):
        with pytest.raises(DataError, match="finite and at most 65504"):
            quantize(np.full(32, bad), "Q8_0")
