"""A cache in 8 (or 16) bit: each key and value vector as integers and one scale   (book section
2.3.1, fixed point).

s = max |x| / 127, q = round(x / s), x' = s q, so |x - x'| <= s / 2. One scale for every vector of K
numbers: a loud token does not coarsen a quiet one, and a token's stored form does not depend on
what comes later. Reading is from the integers, so a model sees exactly what a model with rounded
keys and values sees. Read next: shared.py.
"""

import numpy as np

from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache, check_padding

INTEGERS = {8: np.int8, 16: np.int16}


def quantize(x, bits=8):
    """Integers and scale of each vector along the last axis: s = max |x| / (2^(bits-1) - 1), q =
    round(x / s)

    x        (..., K) floating point;  bits 8 or 16
    returns  q (..., K) int8 or int16, s (..., 1) of x's dtype; a vector of zeros has scale 0
    """
    if bits not in INTEGERS:
        raise ConfigError(f"quantize: {bits} bits are not 8 or 16")
    largest = 2 ** (bits - 1) - 1
    scale = np.abs(x).max(axis=-1, keepdims=True) / largest
    safe = np.where(scale > 0, scale, 1)  # tiny vectors whose scale underflows become zeros
    return np.clip(np.rint(x / safe), -largest, largest).astype(INTEGERS[bits]), scale.astype(
        x.dtype
    )


def dequantize(q, scale):
    """s q: (..., K), (..., 1) -> (..., K) of the scale's dtype."""
    return q.astype(scale.dtype) * scale


def quantized_cache_bytes(layers, batch, kv_heads, head_width, length, bits=8, scale_size=4):
    """Memory in bytes: 2 L B G length (K bits / 8 + scale_size)."""
    return 2 * layers * batch * kv_heads * length * (head_width * bits // 8 + scale_size)


class QuantizedCache:
    """A KeyValueCache of integers beside one of scales.

    bits     8 or 16;  others as in KeyValueCache. dtype is that of the scales, and of what `update` returns
    """

    def __init__(
        self,
        layers,
        batch,
        kv_heads,
        head_width,
        dtype=np.float32,
        device="cpu",
        bits=8,
        padding=None,
    ):
        if bits not in INTEGERS:
            raise ConfigError(f"QuantizedCache: {bits} bits are not 8 or 16")
        self.bits, self.padding = bits, check_padding(padding, batch)
        self._integers = KeyValueCache(layers, batch, kv_heads, head_width, INTEGERS[bits], device)
        self._scales = KeyValueCache(layers, batch, kv_heads, 1, dtype, device)

    @property
    def length(self):
        """Tokens read so far."""
        return self._scales.length

    @property
    def bytes(self):
        """Memory of the tokens stored: `quantized_cache_bytes`."""
        return self._integers.bytes + self._scales.bytes

    def update(self, layer, k, v):
        """Store T new tokens of a layer, (B, G, T, K) arrays; returns all of the layer's as they
        were rounded.
        """
        (qk, sk), (qv, sv) = (
            quantize(part.astype(self._scales.dtype, copy=False), self.bits) for part in (k, v)
        )
        integers, scales = self._integers.update(layer, qk, qv), self._scales.update(layer, sk, sv)
        return tuple(dequantize(q, s) for q, s in zip(integers, scales))

    def crop(self, length):
        """Forget all tokens from `length` on."""
        self._integers.crop(length)
        self._scales.crop(length)

    def select(self, rows):
        """Keep the given rows, in the given order."""
        self._integers.select(rows)
        self._scales.select(rows)
        self.padding = None if self.padding is None else self.padding[[int(row) for row in rows]]
