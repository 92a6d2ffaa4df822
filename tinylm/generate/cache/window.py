"""A cache of fixed size: the last n tokens in a ring, with or without the first few kept for good
(book eq. 2.53).

A ring has no order, and needs none: softmax attention does not care in which order it meets its
keys, and positions travel with the keys (RoPE). Every layer sees the last n tokens only, so one
reading equals a sliding-window mask in all layers. Keeping the first tokens too (sinks; Xiao et al.
2024) leaves the attention that models like to spend there. Read next: paged.py.
"""

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import cache_bytes


class WindowCache:
    """Keys and values of the first `sinks` tokens and of the last `window` others.

    layers, batch, kv_heads, head_width, dtype, device   as in KeyValueCache
    window   n_c, 1 or more: a token sees itself and the n_c - 1 before it, and the sinks
    sinks    tokens at the beginning that are never forgotten; 0: a plain window
    turn     function (keys (B, G, sinks, K), tokens forgotten) -> keys, that moves the sinks'
             positions on, or None. With it positions count inside the cache: a text of any length
             never meets a distance longer than the cache (`rotary_turn` makes one for RoPE; Xiao et
             al. 2024, section 3.2)

    Tokens are read one at a time: of several, each would need another mask. `StreamingLM` does so.
    """

    padding = None

    def __init__(
        self,
        layers,
        batch,
        kv_heads,
        head_width,
        window,
        sinks=0,
        dtype=np.float32,
        device="cpu",
        turn=None,
    ):
        if min(layers, batch, kv_heads, head_width, window) < 1 or sinks < 0:
            raise ConfigError(
                f"WindowCache: layers {layers}, batch {batch}, kv_heads {kv_heads}, head_width {head_width} and "
                f"window {window} must be 1 or more, sinks {sinks} 0 or more"
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
    def stored(self):
        """Tokens held: all that were read, at most sinks + window."""
        return min(self.length, self.sinks + self.window)

    @property
    def bytes(self):
        """Memory of the tokens held: `cache_bytes` of so many tokens; it stops growing at sinks +
        window.
        """
        return cache_bytes(
            self.layers,
            self.batch,
            self.kv_heads,
            self.head_width,
            self.stored,
            self.dtype.itemsize,
        )

    def update(self, layer, k, v):
        """Store one token of a layer and return what it may see.

        k, v     (B, G, 1, K) arrays
        returns  (B, G, stored, K) keys and values, in any order
        """
        fits = self.batch, self.kv_heads, 1, self.head_width
        if k.shape != fits or v.shape != fits:
            raise ShapeError(
                f"WindowCache.update: k {k.shape} and v {v.shape}, but it takes one token at a time, {fits}; read "
                "through StreamingLM"
            )
        t, full = self.length, self.sinks + self.window
        slot = t if t < full else self.sinks + (t - self.sinks) % self.window
        keys, values = self._array[layer]
        keys[:, :, slot], values[:, :, slot] = k[:, :, 0], v[:, :, 0]
        if layer == self.layers - 1:
            self.length = t + 1
        stored = min(t + 1, full)
        keys, values = keys[:, :, :stored], values[:, :, :stored]
        forgotten = t + 1 - stored
        if self.turn is not None and forgotten and self.sinks:
            keys = np.concatenate(
                [self.turn(keys[:, :, : self.sinks], forgotten), keys[:, :, self.sinks :]], axis=2
            )
        return keys, values

    def crop(self, length):
        """Forget tokens from `length` on. raises ShapeError once a token has been overwritten: it
        cannot come back.
        """
        if length != self.length and (
            self.length > self.sinks + self.window or not 0 <= length < self.length
        ):
            raise ShapeError(
                f"crop: {self.length} tokens were read into {self.sinks + self.window} places; this cache cannot "
                f"go back to {length}"
            )
        self.length = length

    def select(self, rows):
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        self._array, self.batch = self._array[:, :, rows], len(rows)
