"""A cache of fixed size: the last n tokens in a ring, with or without the first few kept for good (book eq. 2.53).

A ring has no order, and needs none: softmax attention does not care in which order it meets its keys, and positions
travel with the keys (RoPE). Every layer sees the last n tokens only, so one reading equals a sliding-window mask in all
layers. Keeping the first tokens too (sinks; Xiao et al. 2024) leaves the attention that models like to spend there. Read
next: paged_cache.py.
"""
import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad, rotary
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache import cache_bytes
from tinylm.generate.protocol import check_tokens
from tinylm.nn import rotary_angles


class WindowCache:
    """Keys and values of the first `sinks` tokens and of the last `window` others.

    layers, batch, kv_heads, head_width, dtype, device   as in KeyValueCache
    window   n_c, 1 or more: a token sees itself and the n_c - 1 before it, and the sinks
    sinks    tokens at the beginning that are never forgotten; 0: a plain window
    turn     function (keys (B, G, sinks, K), tokens forgotten) -> keys, that moves the sinks' positions on, or None.
             With it positions count inside the cache: a text of any length never meets a distance longer than the
             cache (`rotary_turn` makes one for RoPE; Xiao et al. 2024, section 3.2)

    Tokens are read one at a time: of several, each would need another mask. `StreamingLM` does so.
    """

    padding = None

    def __init__(self, layers, batch, kv_heads, head_width, window, sinks=0, dtype=np.float32, device="cpu", turn=None):
        if min(layers, batch, kv_heads, head_width, window) < 1 or sinks < 0:
            raise ConfigError(f"WindowCache: layers {layers}, batch {batch}, kv_heads {kv_heads}, head_width {head_width} and "
                              f"window {window} must be 1 or more, sinks {sinks} 0 or more")
        self.layers, self.batch, self.kv_heads, self.head_width = layers, batch, kv_heads, head_width
        self.window, self.sinks, self.turn, self.dtype, self.length = window, sinks, turn, np.dtype(dtype), 0
        shape = layers, 2, batch, kv_heads, sinks + window, head_width
        self._array = backend.backend(device).module.zeros(shape, self.dtype)

    @property
    def stored(self):
        """Tokens held: all that were read, at most sinks + window."""
        return min(self.length, self.sinks + self.window)

    @property
    def bytes(self):
        """Memory of the tokens held: `cache_bytes` of so many tokens; it stops growing at sinks + window."""
        return cache_bytes(self.layers, self.batch, self.kv_heads, self.head_width, self.stored, self.dtype.itemsize)

    def update(self, layer, k, v):
        """Store one token of a layer and return what it may see.

        k, v     (B, G, 1, K) arrays
        returns  (B, G, stored, K) keys and values, in any order
        """
        fits = self.batch, self.kv_heads, 1, self.head_width
        if k.shape != fits or v.shape != fits:
            raise ShapeError(f"WindowCache.update: k {k.shape} and v {v.shape}, but it takes one token at a time, {fits}; read "
                             "through StreamingLM")
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
            keys = np.concatenate([self.turn(keys[:, :, :self.sinks], forgotten), keys[:, :, self.sinks:]], axis=2)
        return keys, values

    def crop(self, length):
        """Forget tokens from `length` on. raises ShapeError once a token has been overwritten: it cannot come back."""
        if length != self.length and (self.length > self.sinks + self.window or not 0 <= length < self.length):
            raise ShapeError(f"crop: {self.length} tokens were read into {self.sinks + self.window} places; this cache cannot "
                             f"go back to {length}")
        self.length = length

    def select(self, rows):
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        self._array, self.batch = self._array[:, :, rows], len(rows)


def rotary_turn(head_width, base=10000.0):
    """The `turn` of a model with RoPE: a rotated key turned on by n positions is the key rotated there, R_n R_p = R_(p+n).

    returns  function (keys (B, G, S, K), n) -> keys
    """
    def turn(keys, n):
        cos, sin = (backend.to_device(part, backend.device_of(keys))
                    for part in rotary_angles(np.array([n]), head_width, base, keys.dtype))
        with no_grad():
            return rotary(Tensor(keys), cos=cos, sin=sin).data
    return turn


class StreamingLM:
    """A GPT with RoPE as a language model without end: token by token through a cache of fixed size (protocol.py).

    model    a GPT whose positions are "rope", with full attention in all layers
    window   n_c;  sinks as in WindowCache
    shift    True: positions count inside the cache, so that no distance is longer than window + sinks
    """

    context = None

    def __init__(self, model, window, sinks=0, shift=False):
        c = model.config
        if c.positions != "rope" or any(kind != "full" for kind in c.attention) or c.rope_scaling:
            raise ConfigError("StreamingLM: it needs a model with plain RoPE and full attention; positions added to embeddings or "
                              "scores do not travel with the keys")
        self.model, self.config, self.vocab_size = model, c, c.vocab_size
        self.window, self.sinks, self.shift = window, sinks, shift

    def new_cache(self, batch, padding=None):
        """An empty WindowCache for B rows, without padding."""
        if padding is not None:
            raise ShapeError("StreamingLM: rows of a batch must be equally long; it has no padding")
        c, weight = self.config, self.model.parameters()[0]
        return WindowCache(c.n_layer, batch, c.n_kv_head or c.n_head, c.key_width, self.window, self.sinks, weight.dtype,
                           weight.device, rotary_turn(c.key_width, c.rope_base) if self.shift else None)

    def logits(self, tokens, cache=None):
        """Scores after each of `tokens`, which are read one by one: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self, cache)
        cache = self.new_cache(len(tokens)) if cache is None else cache
        device, training = self.model.parameters()[0].device, self.model.training
        ids, columns = backend.to_device(tokens, device), []
        self.model.eval()
        try:
            with no_grad():
                for t in range(tokens.shape[1]):
                    position = backend.to_device(np.array([cache.length]), device)
                    columns.append(self.model(ids[:, t:t + 1], cache=cache, positions=position).data)
        finally:
            if training:
                self.model.train()
        return np.concatenate(columns, axis=1)

    def next_logits(self, tokens, cache=None):
        """Scores after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]
