"""Quantized blocks: 32 or 256 weights share a scale, and each keeps 4 to 8 bits.

Every format of GGUF here is an affine code: weight = scale * code + offset, with one scale (and one
offset, or none) for each group of 16 or 32 neighbors in a row. The formats differ only in how
codes, scales and offsets are packed into bytes, so each is one function `bytes -> (codes, scale,
offset)`, and dequantizing is one line for all. The name Q4_0 means 4 bits without an offset, Q4_1 4
bits with one, Q4_K blocks of 256 weights whose group scales are quantized in turn (ggml-quants.c of
llama.cpp defines them). Book section 2.3.1. Read next: `quantized.py`, which multiplies with them.
"""

import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from tinylm.errors import ConfigError, DataError, ShapeError

# Blocks unpacked at a time: the intermediate arrays of 2048 * 32 weights stay in the second-level
# cache (0.5 MB).
_WEIGHTS_AT_A_TIME = 1 << 16
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class BlockFormat:
    """One format of blocks.

    weights  in a block, which takes nbytes
    group    weights that share a scale
    bits     of a code
    split    unpacks (n, nbytes) uint8 into
             codes   (n, weights) int8 or uint8
             scale   (n, weights // group) float32
             offset  (n, weights // group) float32, or None
    """

    weights: int
    nbytes: int
    group: int
    bits: int
    split: Callable


def _halves(blocks, start, stop):
    """The float16 numbers in bytes `start` to `stop` of each block, as float32.

    blocks   (n, nbytes) uint8
    returns  (n, (stop - start) / 2)
    """
    numbers = np.ascontiguousarray(blocks[:, start:stop])
    return numbers.view("<f2").astype(np.float32)


def _nibbles(packed):
    """(..., m) bytes -> (..., 2m) codes: all low halves first, then all high halves."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _fifth_bits(blocks, start):
    """The 32 bits from byte `start` on, at the fifth place: (n, nbytes) -> (n, 32) of 0 and 16."""
    packed = blocks[:, start : start + 4]
    return np.unpackbits(packed, axis=1, bitorder="little") << 4


# The layout of a block's bytes is in the comment beside each name, fields separated by |.


def _q8_0(blocks):  # scale float16 | 32 codes of 8 bits
    codes = blocks[:, 2:].view(np.int8)
    return codes, _halves(blocks, 0, 2), None


def _q4_0(blocks):  # scale float16 | 32 codes of 4 bits, 8 meaning 0
    codes = _nibbles(blocks[:, 2:]).view(np.int8)
    codes = codes - np.int8(8)
    return codes, _halves(blocks, 0, 2), None


def _q4_1(blocks):  # scale, offset float16 | 32 codes of 4 bits
    codes = _nibbles(blocks[:, 4:])
    return codes, _halves(blocks, 0, 2), _halves(blocks, 2, 4)


def _q5_0(blocks):  # scale float16 | 32 fifth bits | 32 codes of 4 bits; 16 means 0
    codes = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)  # 0 .. 31
    codes = codes.view(np.int8) - np.int8(16)
    return codes, _halves(blocks, 0, 2), None


def _q5_1(blocks):  # scale, offset float16 | 32 fifth bits | 32 codes of 4 bits
    codes = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)
    return codes, _halves(blocks, 0, 2), _halves(blocks, 2, 4)


def _k_scales(blocks):
    """Scales and offsets of the 8 groups of a K block: 6 bits each, times a float16 for the block.

    Bytes 0-1 scale of scales, 2-3 scale of offsets, 4-15 the codes: bytes 0-3 of those hold the
    scales of groups 0-3 and 4-7 the offsets, in 6 bits; 8-11 the lower 4 bits for groups 4-7, whose
    upper 2 bits fill up bytes 0-7.
    """
    first = blocks[:, 4:8]
    second = blocks[:, 8:12]
    third = blocks[:, 12:16]
    upper_scale = (third & 15) | (first >> 6) << 4  # of groups 4-7, (n, 4)
    upper_offset = (third >> 4) | (second >> 6) << 4
    scale = np.concatenate([first & 63, upper_scale], axis=1)  # (n, 8)
    offset = np.concatenate([second & 63, upper_offset], axis=1)
    scale = _halves(blocks, 0, 2) * scale  # (n, 1) * (n, 8)
    offset = _halves(blocks, 2, 4) * offset
    return scale, -offset  # the format subtracts it: weight = scale * code - offset


def _q4_k(blocks):  # group scales (16 bytes) | 4 x 32 bytes, each two groups of 32 codes
    pairs = blocks[:, 16:].reshape(-1, 4, 32)
    codes = _nibbles(pairs).reshape(-1, 256)  # (n, 4, 32) -> (n, 4, 64) -> (n, 256)
    return codes, *_k_scales(blocks)


def _q5_k(blocks):  # group scales (16) | fifth bits: bit g of byte i is group g's code i | as Q4_K
    places = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (blocks[:, None, 16:48] >> places & 1) << 4  # (n, 1, 32) -> (n, 8, 32)
    pairs = blocks[:, 48:].reshape(-1, 4, 32)
    low = _nibbles(pairs).reshape(-1, 256)  # (n, 4, 32) -> (n, 4, 64) -> (n, 256)
    codes = low | fifth.reshape(-1, 256)
    return codes, *_k_scales(blocks)


def _q6_k(blocks):  # 256 low halves | 256 upper pairs | 16 group scales int8 | scale float16
    halves = blocks[:, :128].reshape(-1, 2, 64)
    low = _nibbles(halves)  # (n, 2, 128)
    shifts = np.array([[0], [2], [4], [6]], np.uint8)  # a byte holds four pairs of bits
    pairs = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    high = (pairs >> shifts & 3) << 4  # (n, 2, 4, 32)
    codes = low.reshape(-1, 256) | high.reshape(-1, 256)  # 0 .. 63, 32 meaning 0
    codes = codes.view(np.int8) - np.int8(32)
    scale = blocks[:, 192:208].view(np.int8)
    scale = _halves(blocks, 208, 210) * scale  # (n, 1) * (n, 16)
    return codes, scale, None


# name -> weights and bytes of a block, weights of a group, bits of a code, how it is unpacked
FORMATS = {
    "Q8_0": BlockFormat(32, 34, 32, 8, _q8_0),
    "Q4_0": BlockFormat(32, 18, 32, 4, _q4_0),
    "Q4_1": BlockFormat(32, 20, 32, 4, _q4_1),
    "Q5_0": BlockFormat(32, 22, 32, 5, _q5_0),
    "Q5_1": BlockFormat(32, 24, 32, 5, _q5_1),
    "Q4_K": BlockFormat(256, 144, 32, 4, _q4_k),
    "Q5_K": BlockFormat(256, 176, 32, 5, _q5_k),
    "Q6_K": BlockFormat(256, 210, 16, 6, _q6_k),
}


def dequantize(raw: np.ndarray, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of quantized blocks: scale * code + offset.

    raw      (n,) uint8, the blocks one after another
    kind     a name of FORMATS
    shape    of the result; its last axis is whole blocks
    returns  float32 array; besides it, only a scratch of about 1 MB is allocated
    """
    block = FORMATS[kind]
    blocks = raw.reshape(-1, block.nbytes)
    n = math.prod(shape) // block.weights
    groups = block.weights // block.group
    out = np.empty((n, groups, block.group), np.float32)
    step = _WEIGHTS_AT_A_TIME // block.weights
    for start in range(0, len(blocks), step):
        codes, scale, offset = block.split(blocks[start : start + step])
        part = out[start : start + step]  # (step, groups, group)
        # scale (step, groups) -> (step, groups, 1): one number for the weights of a group
        codes = codes.reshape(part.shape)
        np.multiply(codes, scale[..., None], out=part)
        if offset is not None:
            part += offset[..., None]
    return out.reshape(shape)


def quantize(array: np.ndarray, kind: str) -> np.ndarray:
    """Quantize weights, rounding each to the nearest code of its block, as llama.cpp does.

    array    (..., D) floats, D a multiple of 32
    kind     "Q8_0", "Q4_0" or "Q4_1"
    returns  (..., D / 32 * bytes of a block) uint8, for `dequantize`
    raises   ConfigError for another kind, ShapeError for another D, DataError for weights that no
             float16 scale can reach
    """
    if kind not in _ENCODERS:
        raise ConfigError(
            f"quantize: {kind!r} cannot be made here; there are {', '.join(_ENCODERS)}"
        )
    array = np.asarray(array, np.float32)
    if array.ndim == 0 or array.shape[-1] % 32:
        raise ShapeError(
            f"quantize: the last axis of {array.shape} is not a multiple of 32, "
            "the weights of a block"
        )
    if array.size and not np.abs(array).max() <= _LARGEST:  # `not <=` is true for NaN, `>` is not
        raise DataError(
            f"quantize: weights must be finite and at most {_LARGEST:.0f} in size, "
            "for scales are float16"
        )
    rows = array.reshape(-1, 32)
    nbytes = FORMATS[kind].nbytes
    out = np.empty((len(rows), nbytes), np.uint8)
    step = _WEIGHTS_AT_A_TIME // 32
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        out[some] = _ENCODERS[kind](rows[some])
    width = array.shape[-1] // 32 * nbytes
    return out.reshape(*array.shape[:-1], width)


def _inverse(scale):
    """1 / scale, and 0 for the scale 0 of a block of zeros."""
    return np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)


def _as_bytes(numbers):
    """(n, 1) float32 -> (n, 2) bytes of float16."""
    return numbers.astype("<f2").view(np.uint8)


def _pack(codes):
    """(n, 32) codes 0..15 -> (n, 16) bytes."""
    return codes[:, :16] | codes[:, 16:] << 4


# Each takes (n, 32) float32 and returns (n, nbytes) uint8; scale is (n, 1). In float32 throughout,
# as in llama.cpp, so that the bytes are the same.


def _to_q8_0(rows):
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scale = largest / np.float32(127)
    scaled = rows * _inverse(scale)
    # Rounds half away from zero, as C's roundf does; np.rint rounds half to even.
    half = np.copysign(np.float32(0.5), scaled)
    codes = np.trunc(scaled + half).astype(np.int8)
    return np.concatenate([_as_bytes(scale), codes.view(np.uint8)], axis=1)


def _to_q4_0(rows):
    # Codes go from -8 to 7. The weight of largest size gets the code -8, whatever its sign: the
    # scale has the opposite sign.
    where = np.abs(rows).argmax(axis=1, keepdims=True)  # (n, 1)
    largest = np.take_along_axis(rows, where, axis=1)
    scale = largest / np.float32(-8)
    # + 8 makes codes 0 .. 16, + 0.5 and cutting off rounds; 16 does not fit 4 bits.
    scaled = rows * _inverse(scale) + np.float32(8.5)
    codes = np.minimum(scaled, 15).astype(np.uint8)
    return np.concatenate([_as_bytes(scale), _pack(codes)], axis=1)


def _to_q4_1(rows):
    least = rows.min(axis=1, keepdims=True)  # the offset: it gets code 0, the largest 15
    largest = rows.max(axis=1, keepdims=True)
    scale = (largest - least) / np.float32(15)
    scaled = (rows - least) * _inverse(scale) + np.float32(0.5)
    codes = np.minimum(scaled, 15).astype(np.uint8)
    return np.concatenate([_as_bytes(scale), _as_bytes(least), _pack(codes)], axis=1)


_ENCODERS = {"Q8_0": _to_q8_0, "Q4_0": _to_q4_0, "Q4_1": _to_q4_1}
