"""A cache of fixed size: the last n tokens in a ring buffer, with or without the first few tokens
kept forever   (book eq. 2.53).

A ring buffer loses the order of its tokens, and attention does not need it: a softmax-weighted sum
is the same for any order of keys, and positions are part of the keys (RoPE). Every layer sees the
last n tokens only, which equals a sliding-window mask in all layers. Models put much attention on
the first tokens; keeping these as sinks (Xiao et al. 2024) leaves it in place. Read next: paged.py.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm import backend
from tinylm.backend import DType
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import cache_bytes


class WindowCache:
    """Keys and values of the first `sinks` tokens and of the last `window` others.

    layers, batch, kv_heads, head_width, dtype, device   as in KeyValueCache
    window   n_c, 1 or more: a token sees itself and the n_c - 1 before it, and the sinks
    sinks    tokens at the beginning that are never forgotten; 0: a plain window
    turn     function (keys (B, G, sinks, K), tokens forgotten) -> keys, that moves the sinks'
             positions on, or None. With it positions count inside the cache: no distance is longer
             than the cache, however long the text (`rotary_turn` makes one for RoPE; Xiao et al.
             2024, section 3.2)

    Tokens must be read one at a time, as `StreamingLM` does: each of several would need a mask of
    its own.
    """

    padding = None  # of the protocol: rows are equally long here

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        head_width: int,
        window: int,
        sinks: int = 0,
        dtype: DType = np.float32,
        device: str = "cpu",
        turn: Callable | None = None,
    ) -> None:
        if min(layers, batch, kv_heads, head_width, window) < 1 or sinks < 0:
            raise ConfigError(
                f"WindowCache: layers {layers}, batch {batch}, kv_heads {kv_heads}, "
                f"head_width {head_width} and window {window} must be 1 or more, "
                f"sinks {sinks} 0 or more"
            )
        self.layers = layers
        self.batch = batch
        self.kv_heads = kv_heads
        self.head_width = head_width
        self.window = window
        self.sinks = sinks
        self.turn = turn
        self.dtype = np.dtype(dtype)
        self.length = 0
        shape = layers, 2, batch, kv_heads, sinks + window, head_width
        self._array = backend.backend(device).module.zeros(shape, self.dtype)

    @property
    def stored(self) -> int:
        """Tokens held: all that were read, at most sinks + window."""
        return min(self.length, self.sinks + self.window)

    @property
    def bytes(self) -> int:
        """`cache_bytes` of the tokens held: constant once sinks + window tokens were read."""
        return cache_bytes(
            self.layers,
            self.batch,
            self.kv_heads,
            self.head_width,
            self.stored,
            self.dtype.itemsize,
        )

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store one token of a layer and return the keys and values that it attends to.

        k, v     (B, G, 1, K) arrays
        returns  (B, G, stored, K) keys and values, in any order
        """
        expected = self.batch, self.kv_heads, 1, self.head_width
        if k.shape != expected or v.shape != expected:
            raise ShapeError(
                f"WindowCache.update: k {k.shape} and v {v.shape}, but it takes one token at a "
                f"time, {expected}; read through StreamingLM"
            )
        # Slots fill up in order; from then on the token overwrites the oldest one of the ring:
        #   sinks 2, window 3:  token  0 1 2 3 4 5 6 7 8
        #                       slot   0 1 2 3 4 2 3 4 2
        t, full = self.length, self.sinks + self.window
        slot = t if t < full else self.sinks + (t - self.sinks) % self.window
        keys, values = self._array[layer]  # (B, G, full, K) each
        keys[:, :, slot], values[:, :, slot] = k[:, :, 0], v[:, :, 0]
        if layer == self.layers - 1:
            self.length = t + 1
        stored = min(t + 1, full)
        keys, values = keys[:, :, :stored], values[:, :, :stored]
        forgotten = t + 1 - stored
        if self.turn is not None and forgotten and self.sinks:
            # Close the gap that the forgotten tokens left: the distance from the query to a sink
            # shrinks by `forgotten`, so it counts stored tokens. The stored keys are not changed.
            sinks = self.turn(keys[:, :, : self.sinks], forgotten)
            keys = np.concatenate([sinks, keys[:, :, self.sinks :]], axis=2)
        return keys, values

    def crop(self, length: int) -> None:
        """Forget tokens from `length` on.

        raises  ShapeError once a token has been overwritten: it cannot be restored
        """
        overwritten = self.length > self.sinks + self.window
        if length != self.length and (overwritten or not 0 <= length < self.length):
            raise ShapeError(
                f"crop: {self.length} tokens were read into {self.sinks + self.window} slots; "
                f"this cache cannot go back to {length}"
            )
        self.length = length

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        self._array = self._array[:, :, rows]  # the third axis is B
        self.batch = len(rows)
