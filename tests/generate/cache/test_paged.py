"""Blocks, tables and counts under random use: always the contiguous cache's content, never a lost
block.
"""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.generate.small import make_gpt
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import ModelLM, cache_bytes
from tinylm.generate.cache.paged import BlockTable, PagedCache, PagePool

BLOCKS, SIZE, L, G, K = 12, 3, 2, 2, 1


class PagedAgainstPlain(RuleBasedStateMachine):
    """Tables in a small pool beside plain lists of the numbers that were written."""

    tables = Bundle("tables")

    def __init__(self):
        super().__init__()
        self.pool, self.next, self.live = PagePool(BLOCKS, SIZE, L, G, K, np.float64), 0, []

    @rule(target=tables)
    def begin(self):
        entry = [BlockTable(), []]
        self.live.append(entry)
        return entry

    @rule(entry=tables, n=st.integers(1, 5))
    def append(self, entry, n):
        table, numbers = entry
        before = list(table.blocks), table.length, self.pool.counts.copy(), list(self.pool.free)
        try:
            self.pool.reserve(table, n)
        except ConfigError:  # the pool is full: nothing has changed
            assert (table.blocks, table.length, self.pool.free) == (before[0], before[1], before[3])
            assert (self.pool.counts == before[2]).all()
            return
        new = np.arange(self.next, self.next + n, dtype=float)
        self.next += n
        for layer in range(L):
            k = np.broadcast_to(new[None, :, None], (G, n, K)) + 1000 * layer
            self.pool.write(table, layer, k, -k)
        table.length += n
        numbers += new.tolist()

    @rule(target=tables, entry=tables)
    def fork(self, entry):
        copy = [self.pool.fork(entry[0]), list(entry[1])]
        self.live.append(copy)
        return copy

    @rule(entry=tables, share=st.floats(0, 1))
    def crop(self, entry, share):
        length = int(share * len(entry[1]))
        self.pool.crop(entry[0], length)
        del entry[1][length:]

    @rule(entry=consumes(tables))
    def release(self, entry):
        self.pool.crop(entry[0], 0)
        self.live = [other for other in self.live if other is not entry]

    @invariant()
    def every_table_holds_what_was_written(self):
        for table, numbers in self.live:
            assert table.length == len(numbers)
            for layer in range(L):
                k, v = self.pool.read(table, layer, table.length)
                assert k.shape == (G, len(numbers), K)
                np.testing.assert_array_equal(
                    k, np.broadcast_to(np.array(numbers)[None, :, None], k.shape) + 1000 * layer
                )
                np.testing.assert_array_equal(v, -k)

    @invariant()
    def no_block_is_lost_or_counted_wrong(self):
        held = np.bincount(
            [block for table, _ in self.live for block in table.blocks], minlength=BLOCKS
        )
        np.testing.assert_array_equal(self.pool.counts, held)
        assert sorted(self.pool.free) == np.flatnonzero(held == 0).tolist()

    @invariant()
    def less_than_a_block_is_wasted_by_each(self):
        assert all(len(table.blocks) * SIZE - table.length < SIZE for table, _ in self.live)


def test_tables_in_a_pool_behave_like_plain_lists_under_any_use():
    run_state_machine_as_test(
        PagedAgainstPlain, settings=settings(max_examples=30, stateful_step_count=30)
    )


T = 8
MODEL = make_gpt(context=T, n_head=4, n_kv_head=2)
IDS = np.random.default_rng(1).integers(0, 5, (2, T))


@pytest.mark.parametrize("size", [1, 3, 8, 16])
def test_a_model_reads_the_same_from_pages(size):
    lm, pool = ModelLM(MODEL), PagePool(40, size, 2, 2, 2, np.float64)
    cache = PagedCache(pool, 2)
    parts = [lm.logits(IDS[:, a:b], cache) for a, b in ((0, 3), (3, 4), (4, T))]
    # float64 rounding of a few hundred additions of numbers near 1
    np.testing.assert_allclose(np.concatenate(parts, axis=1), lm.logits(IDS), rtol=0, atol=1e-12)
    assert pool.bytes == cache_bytes(
        2, 2, 2, 2, -(-T // size) * size, 8
    )  # whole blocks for each row
    cache.release()
    assert pool.bytes == 0 and len(pool.free) == 40


def test_beams_share_their_past_and_part_where_they_differ():
    lm, pool = ModelLM(MODEL), PagePool(40, 2, 2, 2, 2, np.float64)
    cache = PagedCache(pool, 2)
    lm.logits(IDS[:, :5], cache)
    assert len(pool.free) == 40 - 6  # two rows of 5 tokens: 3 blocks each
    cache.select([0, 0, 0, 1])
    assert len(pool.free) == 40 - 6  # copies cost nothing yet
    tokens = np.array([[1], [2], [3], [4]])
    after = lm.logits(tokens, cache)
    assert len(pool.free) == 40 - 6 - 2  # two of three copies of the half-full block
    whole = lm.logits(np.concatenate([IDS[[0, 0, 0, 1], :5], tokens], axis=1))
    np.testing.assert_allclose(after[:, 0], whole[:, 5], rtol=0, atol=1e-12)
    cache.crop(4)
    np.testing.assert_allclose(
        lm.logits(tokens, cache)[:, 0],
        lm.logits(np.concatenate([IDS[[0, 0, 0, 1], :4], tokens], axis=1))[:, 4],
        rtol=0,
        atol=1e-12,
    )


def test_selected_rows_keep_their_padding():
    lm, pool = ModelLM(MODEL), PagePool(40, 2, 2, 2, 2, np.float64)
    pages, plain = PagedCache(pool, 2, padding=[0, 3]), lm.new_cache(2, padding=[0, 3])
    for cache in pages, plain:
        lm.logits(IDS[:, :5], cache)
        cache.select([1, 0, 1])
    assert pages.padding.tolist() == [3, 0, 3]
    rest = IDS[[1, 0, 1], 5:]
    np.testing.assert_allclose(lm.logits(rest, pages), lm.logits(rest, plain), rtol=0, atol=1e-12)


def test_the_last_block_of_a_pool_can_be_used():
    pool = PagePool(2, 2, 1, 1, 1, np.float64)
    cache, part = PagedCache(pool, 1), np.arange(4.0).reshape(1, 1, 4, 1)
    np.testing.assert_array_equal(cache.update(0, part, -part)[1], -part)  # 2 blocks of 2 hold 4
    assert pool.free == [] and cache.length == 4


def test_a_full_pool_and_wrong_shapes_say_what_is_missing():
    pool = PagePool(2, 2, 1, 1, 1)
    cache, part = PagedCache(pool, 1), np.zeros((1, 1, 5, 1))
    with pytest.raises(ConfigError, match="3 blocks are needed and 2 of 2 are free"):
        cache.update(0, part, part)
    with pytest.raises(ShapeError, match=r"\(1, 1, T, 1\)"):
        cache.update(0, np.zeros((2, 1, 1, 1)), part)
    right = np.zeros((1, 1, 1, 1))
    for k, v in ((right, right[..., :0]), (right[0], right[0])):
        with pytest.raises(ShapeError, match=r"\(1, 1, T, 1\)"):
            cache.update(0, k, v)
    for place in range(5):
        sizes = [1] * 5
        sizes[place] = 0
        with pytest.raises(ConfigError, match="each must be 1 or more"):
            PagePool(*sizes)
