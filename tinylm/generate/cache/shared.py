"""A cache that layers share: one pair of keys and values for several layers   (book section 2.3.4;
Brandon et al. 2024).

The first layer of a group stores its keys and values, the others attend to those instead of their
own: memory falls by the size of the groups. A model must be trained so; on another it is a
different model, equal only to itself with the same keys and values put into those layers. Read
next: retrieval/neighbors.py.
"""

import numpy as np

from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache


def share_every(layers, group):
    """Groups of `group` neighboring layers, each using its first: share_every(5, 2) is (0, 0, 2, 2,
    4).
    """
    return tuple(layer - layer % group for layer in range(layers))


class SharedCache:
    """Keys and values of the owning layers alone.

    owners   L integers: owners[l] is the layer whose keys and values layer l attends to, l itself
             or an earlier owner
    others   as in KeyValueCache
    """

    def __init__(
        self, owners, batch, kv_heads, head_width, dtype=np.float32, device="cpu", padding=None
    ):
        own = [layer for layer, owner in enumerate(owners) if owner == layer]
        if not own or any(owner not in own or owner > layer for layer, owner in enumerate(owners)):
            raise ConfigError(
                f"SharedCache: owners {tuple(owners)}: each layer attends to its own keys or to those of an earlier "
                "layer that keeps its own, as in (0, 0, 2, 2)"
            )
        self.layers, self.length = len(owners), 0
        self._places = [own.index(owner) for owner in owners]
        self._own, self._stop = set(own), 0
        self._cache = KeyValueCache(
            len(own), batch, kv_heads, head_width, dtype, device, padding=padding
        )

    @property
    def padding(self):
        """As in KeyValueCache."""
        return self._cache.padding

    @property
    def bytes(self):
        """Memory of the tokens stored: `cache_bytes` with the owning layers for L."""
        return self._cache.bytes

    def update(self, layer, k, v):
        """Store (B, G, T, K) keys and values if the layer owns its own; returns those it attends
        to.
        """
        place = self._places[layer]
        if layer in self._own:
            self._stop = self.length + k.shape[2]
            keys, values = self._cache.update(place, k, v)
        else:
            keys, values = (
                part[:, :, : self._stop] for part in self._cache.arrays(self._stop)[place]
            )
        if layer == self.layers - 1:
            self.length = self._stop
        return keys, values

    def crop(self, length):
        """Forget all tokens from `length` on."""
        self._cache.crop(length)
        self.length = length

    def select(self, rows):
        """Keep the given rows, in the given order."""
        self._cache.select(rows)
