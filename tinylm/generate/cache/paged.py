"""A paged cache: keys and values in blocks of a shared pool   (Kwon et al. 2023, PagedAttention).

Sequences of unknown length need no room reserved: each has a table of blocks, like the pages of a
process, and less than one block is wasted. Copies of a sequence (beam search, several samples of
one prompt) share its blocks. Each block has a reference count, and a shared block is copied before
it is written to. A kernel would read the blocks in place; here they are gathered for attention,
which costs time, not stored memory. Read next: quantized.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.backend import DType
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import cache_bytes, check_padding, checked_crop


class BlockTable:
    """One sequence: the blocks that hold its tokens, in order, and how many tokens there are."""

    def __init__(self, blocks: Sequence[int] = (), length: int = 0) -> None:
        self.blocks, self.length = list(blocks), length


class PagePool:
    """Blocks of keys and values, a list of the free ones, and a reference count for each.

    blocks       number of blocks;  block_size tokens in one
    layers, kv_heads, head_width, dtype, device  as in KeyValueCache
    """

    def __init__(
        self,
        blocks: int,
        block_size: int,
        layers: int,
        kv_heads: int,
        head_width: int,
        dtype: DType = np.float32,
        device: str = "cpu",
    ) -> None:
        if min(blocks, block_size, layers, kv_heads, head_width) < 1:
            raise ConfigError(
                f"PagePool: blocks {blocks}, block_size {block_size}, layers {layers}, "
                f"kv_heads {kv_heads}, head_width {head_width}: each must be 1 or more"
            )
        self.block_size = block_size
        self.layers = layers
        self.kv_heads = kv_heads
        self.head_width = head_width
        self.dtype, self.device = np.dtype(dtype), device
        self.counts = np.zeros(blocks, np.int64)  # tables that hold each block
        self.free = list(range(blocks))[::-1]  # a stack: block 0 is taken first
        shape = layers, 2, blocks, kv_heads, block_size, head_width
        self._array = backend.backend(device).module.zeros(shape, self.dtype)

    @property
    def bytes(self) -> int:
        """Memory of the blocks in use, empty places in them included."""
        tokens = (len(self.counts) - len(self.free)) * self.block_size
        return cache_bytes(
            self.layers, 1, self.kv_heads, self.head_width, tokens, self.dtype.itemsize
        )

    def reserve(self, table: BlockTable, tokens: int) -> None:
        """Make room in a table for `tokens` more, in blocks that no other table holds.

        raises  ConfigError if the pool has too few free blocks; the table is then unchanged
        """
        needed = -(-(table.length + tokens) // self.block_size)  # blocks, rounded up
        first = table.length // self.block_size  # the block of the next token
        shared = []
        for i in range(first, min(needed, len(table.blocks))):
            if self.counts[table.blocks[i]] > 1:
                shared.append(i)
        more = max(needed - len(table.blocks), 0)
        if len(shared) + more > len(self.free):
            raise ConfigError(
                f"PagePool: {len(shared) + more} blocks are needed and {len(self.free)} of "
                f"{len(self.counts)} are free; make a larger pool, or release sequences"
            )
        for i in shared:  # copy on write
            old, new = table.blocks[i], self._new()
            self._array[:, :, new] = self._array[:, :, old]  # all layers, keys and values
            table.blocks[i] = new
            self._release(old)
        table.blocks += [self._new() for _ in range(more)]

    def write(self, table: BlockTable, layer: int, k: np.ndarray, v: np.ndarray) -> None:
        """Store keys and values of T tokens, (G, T, K) each, in the room that `reserve` made."""
        for i, t in enumerate(range(table.length, table.length + k.shape[1])):
            block, slot = table.blocks[t // self.block_size], t % self.block_size
            self._array[layer, 0, block, :, slot] = k[:, i]
            self._array[layer, 1, block, :, slot] = v[:, i]

    def read(self, table: BlockTable, layer: int, length: int) -> np.ndarray:
        """Keys and values of a table's first `length` tokens: (G, length, K) twice."""
        held = table.blocks[: -(-length // self.block_size)]
        blocks = self._array[layer][:, held]  # (2, n, G, size, K), a copy
        _, n, G, size, K = blocks.shape
        # (2, n, G, size, K) -> (2, G, n, size, K) -> (2, G, n size, K): tokens in order again.
        joined = blocks.transpose(0, 2, 1, 3, 4).reshape(2, G, n * size, K)
        return joined[:, :, :length]

    def fork(self, table: BlockTable) -> BlockTable:
        """A second table of the same tokens; nothing is copied until one of them grows."""
        self.counts[table.blocks] += 1
        return BlockTable(table.blocks, table.length)

    def crop(self, table: BlockTable, length: int) -> None:
        """Forget a table's tokens from `length` on and release the blocks that become empty."""
        table.length = checked_crop(length, table.length)
        kept = -(-length // self.block_size)  # blocks, rounded up
        for block in table.blocks[kept:]:
            self._release(block)
        del table.blocks[kept:]

    def _new(self):
        block = self.free.pop()
        self.counts[block] = 1
        return block

    def _release(self, block):
        self.counts[block] -= 1
        if self.counts[block] == 0:
            self.free.append(block)


class PagedCache:
    """The cache of B rows in a PagePool, with the methods of KeyValueCache (key_value.py).

    pool     a PagePool, which several caches may share
    padding  as in KeyValueCache

    Call `release` at the end to give the blocks back to the pool.
    """

    def __init__(self, pool: PagePool, batch: int, padding: np.ndarray | None = None) -> None:
        self.pool, self.length = pool, 0
        self.tables = [BlockTable() for _ in range(batch)]
        self.padding = check_padding(padding, batch)

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store T new tokens of a layer and return all of the layer's.

        k, v     (B, G, T, K) arrays
        returns  (B, G, length + T, K) keys and values
        """
        pool, B = self.pool, len(self.tables)
        T = k.shape[2] if k.ndim == 4 else 0
        expected = B, pool.kv_heads, T, pool.head_width
        if k.shape != expected or v.shape != expected:
            raise ShapeError(
                f"PagedCache.update: k {k.shape} and v {v.shape} do not fit a cache of "
                f"(B, G, T, K) = ({B}, {pool.kv_heads}, T, {pool.head_width})"
            )
        stop, module = self.length + T, backend.backend(pool.device).module
        shape = B, pool.kv_heads, stop, pool.head_width
        keys, values = module.empty(shape, pool.dtype), module.empty(shape, pool.dtype)
        for b, table in enumerate(self.tables):
            if layer == 0:  # a block holds its tokens for all layers, so room is made once
                pool.reserve(table, T)
            pool.write(table, layer, k[b], v[b])
            keys[b], values[b] = pool.read(table, layer, stop)
            if layer == pool.layers - 1:
                table.length = stop
        if layer == pool.layers - 1:
            self.length = stop
        return keys, values

    def crop(self, length: int) -> None:
        """Forget all tokens from `length` on."""
        for table in self.tables:
            self.pool.crop(table, length)
        self.length = length

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order; copies of a row share its blocks."""
        rows = [int(row) for row in rows]
        # Fork before releasing, so that blocks of kept rows never become free in between.
        chosen = [self.pool.fork(self.tables[row]) for row in rows]
        self.release()
        self.tables = chosen
        if self.padding is not None:
            self.padding = self.padding[rows]

    def release(self) -> None:
        """Give all blocks back to the pool."""
        for table in self.tables:
            self.pool.crop(table, 0)
        self.tables = []
