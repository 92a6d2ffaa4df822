"""A cache in 8 (or 16) bits: each key and value vector as integers and one scale   (book section
2.3.1, fixed point).

s = max |x| / 127, q = round(x / s), x' = s q, so |x - x'| <= s / 2. Every vector of K numbers has
its own scale: a token with large values does not coarsen the others, and a token's stored form does
not depend on later tokens. `update` returns s q even for tokens just stored, so the model always
attends to rounded keys and values. Read next: shared.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache, check_padding

INTEGERS = {8: np.int8, 16: np.int16}


def quantize(x: np.ndarray, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scale of each vector: s = max |x| / (2^(bits-1) - 1), q = round(x / s)

    x        (..., K) floating point, vectors along the last axis;  bits 8 or 16
    returns  q (..., K) int8 or int16, s (..., 1) of x's dtype; a vector of zeros has scale 0
    """
    if bits not in INTEGERS:
        raise ConfigError(f"quantize: {bits} bits are not 8 or 16")
    largest = 2 ** (bits - 1) - 1  # 127 for 8 bits; -128 is not used, so that q is symmetric
    scale = np.abs(x).max(axis=-1, keepdims=True) / largest  # (..., 1)
    safe = np.where(scale > 0, scale, 1)  # tiny vectors whose scale underflows become zeros
    # A subnormal scale is imprecise and can put x / s above `largest`; unclipped it would wrap.
    q = np.clip(np.rint(x / safe), -largest, largest)
    return q.astype(INTEGERS[bits]), scale.astype(x.dtype)


def dequantize(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """s q: (..., K), (..., 1) -> (..., K) of the scale's dtype."""
    return q.astype(scale.dtype) * scale


def quantized_cache_bytes(
    layers: int,
    batch: int,
    kv_heads: int,
    head_width: int,
    length: int,
    bits: int = 8,
    scale_size: int = 4,
) -> int:
    """Memory in bytes: 2 L B G length (K bits / 8 + scale_size)."""
    return 2 * layers * batch * kv_heads * length * (head_width * bits // 8 + scale_size)


class QuantizedCache:
    """A KeyValueCache of integers beside one of scales.

    bits     8 or 16
    dtype    of the scales, and of what `update` returns;  others as in KeyValueCache
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        head_width: int,
        dtype: DType = np.float32,
        device: str = "cpu",
        bits: int = 8,
        padding: np.ndarray | None = None,
    ) -> None:
        if bits not in INTEGERS:
            raise ConfigError(f"QuantizedCache: {bits} bits are not 8 or 16")
        self.bits, self.padding = bits, check_padding(padding, batch)
        self._integers = KeyValueCache(layers, batch, kv_heads, head_width, INTEGERS[bits], device)
        self._scales = KeyValueCache(layers, batch, kv_heads, 1, dtype, device)

    @property
    def length(self) -> int:
        """Tokens read so far."""
        return self._scales.length

    @property
    def bytes(self) -> int:
        """Memory of the tokens stored: `quantized_cache_bytes`."""
        return self._integers.bytes + self._scales.bytes

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """Store T new tokens of a layer and return all of the layer's, rounded.

        k, v     (B, G, T, K) arrays
        returns  (B, G, length + T, K) keys and values
        """
        dtype = self._scales.dtype
        key_q, key_s = quantize(
            k.astype(dtype, copy=False), self.bits
        )  # (B, G, T, K), (B, G, T, 1)
        value_q, value_s = quantize(v.astype(dtype, copy=False), self.bits)
        all_q = self._integers.update(layer, key_q, value_q)  # keys and values so far
        all_s = self._scales.update(layer, key_s, value_s)
        return tuple(dequantize(q, s) for q, s in zip(all_q, all_s))

    def crop(self, length: int) -> None:
        """Forget all tokens from `length` on."""
        self._integers.crop(length)
        self._scales.crop(length)

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        self._integers.select(rows)
        self._scales.select(rows)
        if self.padding is not None:
            self.padding = self.padding[[int(row) for row in rows]]
