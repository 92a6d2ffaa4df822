"""A cache that layers share: one pair of keys and values for several layers   (book section 2.3.4;
Brandon et al. 2024).

The first layer of a group stores its keys and values, the others attend to those instead of their
own: memory falls by the size of the groups. The model must be trained with the sharing: put into a
model trained without it, the cache changes what that model computes. Read next:
retrieval/neighbors.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache


def share_every(layers: int, group: int) -> tuple[int, ...]:
    """Owners where `group` neighboring layers share: share_every(5, 2) is (0, 0, 2, 2, 4)."""
    return tuple(layer - layer % group for layer in range(layers))


class SharedCache:
    """Keys and values of the owning layers alone.

    owners   L integers: owners[l] is the layer whose keys and values layer l attends to, l itself
             or an earlier owner
    others   as in KeyValueCache
    """

    def __init__(
        self,
        owners: tuple[int, ...],
        batch: int,
        kv_heads: int,
        head_width: int,
        dtype: DType = np.float32,
        device: str = "cpu",
        padding: np.ndarray | None = None,
    ) -> None:
        own = [layer for layer, owner in enumerate(owners) if owner == layer]
        if not own or any(owner not in own or owner > layer for layer, owner in enumerate(owners)):
            raise ConfigError(
                f"SharedCache: owners {tuple(owners)}: each layer attends to its own keys or to "
                "those of an earlier layer that keeps its own, as in (0, 0, 2, 2)"
            )
        self.layers, self.length = len(owners), 0
        # Owners (0, 0, 2, 2) are layers 0 and 1 of the inner cache: slots (0, 0, 1, 1).
        self._slots = [own.index(owner) for owner in owners]
        self._own = set(own)
        self._stop = 0  # tokens in the cache once the present step is stored
        self._cache = KeyValueCache(
            len(own), batch, kv_heads, head_width, dtype, device, padding=padding
        )

    @property
    def padding(self) -> np.ndarray | None:
        """As in KeyValueCache."""
        return self._cache.padding

    @property
    def bytes(self) -> int:
        """Memory of the tokens stored: `cache_bytes` with the owning layers for L."""
        return self._cache.bytes

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store (B, G, T, K) keys and values if the layer is an owner.

        returns  (B, G, length + T, K) keys and values that the layer attends to
        """
        slot = self._slots[layer]
        if layer in self._own:
            self._stop = self.length + k.shape[2]
            keys, values = self._cache.update(slot, k, v)
        else:  # k and v of this layer are dropped: its owner, an earlier layer, has stored its own
            keys, values = self._cache.arrays(self._stop)[slot]  # (B, G, capacity, K) each
            keys, values = keys[:, :, : self._stop], values[:, :, : self._stop]
        if layer == self.layers - 1:
            self.length = self._stop
        return keys, values

    def crop(self, length: int) -> None:
        """Forget all tokens from `length` on."""
        self._cache.crop(length)
        self.length = length

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        self._cache.select(rows)
