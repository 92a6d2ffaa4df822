"""Layers that share keys and values against the model written out with the owner's in the other
layers.
"""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.autograd import attention
from tinylm.errors import ConfigError
from tinylm.generate import ModelLM, cache_bytes
from tinylm.generate.cache.shared import SharedCache, share_every
from tinylm.nn.attention.multi_head import merge_heads, split_heads

T, L = 7, 4
MODEL = make_gpt(context=T, n_layer=L, n_head=4, n_kv_head=2, d_model=8)
IDS = np.random.default_rng(1).integers(0, 5, (2, T))


def written_out(model, ids, owners):
    """Pre-norm blocks in which layer l attends to the keys and values of layer owners[l]."""
    x, kept = model.add_positions(model.tokens(ids), np.arange(ids.shape[1])), []
    for block, owner in zip(model.blocks, owners):
        a = block.attention
        q, *kv = split_heads(a.qkv(block.norms[0](x)), a.heads, a.kv_heads)
        kept.append(kv)
        x = x + a.out(merge_heads(attention(q, *kept[owner], causal=True)))
        x = x + block.feed_forward(block.norms[1](x))
    return model.logits(model.norm(x)).data


@pytest.mark.parametrize("owners", [(0, 0, 2, 2), (0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 2, 3)])
def test_it_equals_the_model_written_out_however_the_text_is_cut(owners):
    offline, lm = written_out(MODEL, IDS, owners), ModelLM(MODEL)
    for borders in ((0, T), (0, 1, 3, T), tuple(range(T + 1))):
        cache = SharedCache(owners, 2, 2, 2, np.float64)
        parts = [lm.logits(IDS[:, a:b], cache) for a, b in zip(borders, borders[1:])]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), offline, rtol=0, atol=1e-12)
        # only the owners' layers are stored
        assert cache.bytes == cache_bytes(len(set(owners)), 2, 2, 2, T, 8)


def test_it_can_be_cut_and_rows_chosen():
    offline, lm = written_out(MODEL, IDS, (0, 0, 2, 2)), ModelLM(MODEL)
    cache = SharedCache((0, 0, 2, 2), 2, 2, 2, np.float64)
    lm.logits(IDS[:, :5], cache)
    cache.crop(3)
    cache.select([1, 0, 0])
    np.testing.assert_allclose(
        lm.logits(IDS[[1, 0, 0], 3:], cache), offline[[1, 0, 0], 3:], rtol=0, atol=1e-12
    )


def test_groups_of_neighbors_and_impossible_owners():
    assert share_every(5, 2) == (0, 0, 2, 2, 4)
    for owners in ((1, 1), (0, 0, 1), ()):
        with pytest.raises(ConfigError, match="owners"):
            SharedCache(owners, 1, 1, 1)


@pytest.mark.parametrize("owners", [(0,), (0, 0, 2, 2), (0, 1, 2)])
def test_its_length_moves_on_with_the_last_layer(owners):
    cache, new = SharedCache(owners, 1, 1, 2), np.ones((1, 1, 3, 2), np.float32)
    for before in (0, 3):
        for layer in range(len(owners)):
            assert cache.length == before  # the positions of one pass are the same in every layer
            keys, _ = cache.update(layer, new, new)
            assert keys.shape == (1, 1, before + 3, 2)
        assert cache.length == before + 3
