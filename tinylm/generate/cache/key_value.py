"""The key-value cache: keys and values of the tokens read so far, stored for attention.

Key and value of a token never change once it is read (the causal mask hides the future from it), so
a new token needs only its own query against the stored keys: T steps cost O(T) attention rows
instead of O(T^2) (book section 2.1.1, the autoregressive step; section 2.3 on its memory). Read
next: protocol/language_model.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike, DType
from tinylm.errors import ConfigError, ShapeError


def cache_bytes(
    layers: int, batch: int, kv_heads: int, head_width: int, length: int, itemsize: int
) -> int:
    """Bytes of the keys and values of `length` tokens: 2 L B G K length itemsize."""
    return 2 * layers * batch * kv_heads * head_width * length * itemsize


class KeyValueCache:
    """Keys and values of every token read so far, one pair of arrays a layer.

    layers, batch, kv_heads, head_width  L, B, G, K
    dtype, device  of the stored arrays
    capacity       tokens to allocate room for at once; the room then doubles when it is full, so
                   that n tokens cost O(n) copying
    padding        (B,) integers: leading columns of each row that hold no token (prompts of unequal
                   length are aligned at their ends); None for none. The cache only carries it: the
                   model's mask hides them

    A model calls `update` once a layer, first layer to last; `length` moves on with the last.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        head_width: int,
        dtype: DType = np.float32,
        device: str = "cpu",
        capacity: int = 0,
        padding: ArrayLike | None = None,
    ) -> None:
        if min(layers, batch, kv_heads, head_width) < 1:
            raise ConfigError(
                f"KeyValueCache: layers {layers}, batch {batch}, kv_heads {kv_heads}, "
                f"head_width {head_width}: each must be 1 or more"
            )
        self.layers = layers
        self.batch = batch
        self.kv_heads = kv_heads
        self.head_width = head_width
        self.dtype, self.device = np.dtype(dtype), device
        self.length, self.padding = 0, check_padding(padding, batch)
        # All layers in one array, keys then values, so that a decoder can slice them at once.
        shape = layers, 2, batch, kv_heads, capacity, head_width
        self._array = backend.backend(device).module.zeros(shape, self.dtype)

    @property
    def capacity(self) -> int:
        """The number of tokens that the allocated array can hold."""
        return self._array.shape[4]

    @property
    def bytes(self) -> int:
        """`cache_bytes` of the tokens stored; free room is not counted."""
        return cache_bytes(
            self.layers,
            self.batch,
            self.kv_heads,
            self.head_width,
            self.length,
            self.dtype.itemsize,
        )

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store the keys and values of T new tokens and return all of the layer's.

        layer    0 .. L-1
        k, v     (B, G, T, K) arrays
        returns  (B, G, length + T, K) keys and values, views into the cache: read them, do not keep
                 them
        raises   ShapeError if k or v does not fit the cache
        """
        expected = None
        if k.ndim == 4:
            expected = self.batch, self.kv_heads, k.shape[2], self.head_width
        if k.shape != expected or v.shape != expected:
            raise ShapeError(
                f"KeyValueCache.update: k {k.shape} and v {v.shape} do not fit a cache of "
                f"(B, G, T, K) = ({self.batch}, {self.kv_heads}, T, {self.head_width})"
            )
        start, stop = self.length, self.length + k.shape[2]
        keys, values = self.arrays(stop)[layer]  # (B, G, capacity, K) each
        keys[:, :, start:stop] = k
        values[:, :, start:stop] = v
        if layer == self.layers - 1:  # all layers of a step write to the same columns
            self.length = stop
        return keys[:, :, :stop], values[:, :, :stop]

    def arrays(self, stop: int) -> np.ndarray:
        """The whole array, (L, 2, B, G, capacity, K) with capacity >= stop, to be written into."""
        if stop > self.capacity:
            # Doubling: the copies of a cache that grows to n cost n/2 + n/4 + .. < n tokens.
            shape = list(self._array.shape)
            shape[4] = max(stop, 2 * self.capacity)
            bigger = backend.backend(self.device).module.zeros(tuple(shape), self.dtype)
            bigger[..., : self.length, :] = self._array[..., : self.length, :]
            self._array = bigger
        return self._array

    def crop(self, length: int) -> None:
        """Forget all tokens from position `length` on, as if they had not been read.

        raises  ShapeError if the cache is not that long
        """
        self.length = checked_crop(length, self.length)

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows of the batch, in the given order.

        rows  (n,) integers; a row may be listed twice (beam search)
        """
        rows = [int(row) for row in rows]
        index = backend.to_device(np.array(rows, np.int64), self.device)
        self._array = self._array[:, :, index]  # the third axis is B; an index array copies
        self.batch = len(rows)
        if self.padding is not None:
            self.padding = self.padding[rows]


def check_padding(padding: ArrayLike | None, batch: int) -> np.ndarray | None:
    """`padding` as a (B,) integer array, or None if no row is padded.

    raises  ShapeError if it is not one non-negative number a row
    """
    if padding is None:
        return None
    padding = np.asarray(padding)
    if padding.shape != (batch,) or padding.dtype.kind not in "iu" or (padding < 0).any():
        raise ShapeError(
            f"padding must be one number of columns, 0 or more, for each of {batch} rows, "
            f"not {padding.tolist()}"
        )
    if padding.any():
        return padding
    return None  # all zeros: then the model needs no mask


def checked_crop(length: int, now: int) -> int:
    """`length`, if a cache of `now` tokens can be cut to it; else ShapeError."""
    if not 0 <= length <= now:
        raise ShapeError(f"crop: the cache holds {now} tokens and cannot be cut to {length}")
    return int(length)
