"""A prefix kept once for all rows: the attention is that to the prefix copied into each row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.generate.small import make_gpt
from tinylm.autograd import attention
from tinylm.finetune.peft import prompt_cache
from tinylm.finetune.peft.prompt_cache import PrefixedLM, prompt_keys_values, shares_prefix
from tinylm.generate.cache.shared_prefix import SharedPrefixCache, attend
from tinylm.models import GPT

PREFIX = [3, 1, 4, 1, 2]


def parts(B, G, R, T, S, n, K=3, J=3, seed=0, size=1.0):
    """Queries, keys and values of a prefix, keys and values of a text, drawn."""
    rng = np.random.default_rng(seed)
    shapes = ((B, G * R, T, K), (G, n, K), (G, n, J), (B, G, S, K), (B, G, S, J))
    return [size * rng.normal(size=shape) for shape in shapes]


def joined(q, prefix_k, prefix_v, k, v, mask, scale):
    """The plain twin: attention to the prefix copied in front of each row's text."""
    B, S = len(q), k.shape[2]
    k, v = (
        np.concatenate([np.broadcast_to(first, (B, *first.shape)), then], axis=2)
        for first, then in ((prefix_k, k), (prefix_v, v))
    )
    if mask is not None:
        before = np.ones((*mask.shape[:-1], k.shape[2] - S), bool)
        mask = np.concatenate([before, mask], axis=-1)
    return attention(q, k, v, mask=mask, causal=True, scale=scale).numpy()


@given(
    B=st.integers(1, 3),
    G=st.integers(1, 2),
    R=st.integers(1, 3),
    T=st.integers(1, 4),
    past=st.integers(0, 3),
    n=st.integers(1, 5),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_attention_to_the_prefix_copied_into_each_row(B, G, R, T, past, n, masked, seed):
    arrays, mask = parts(B, G, R, T, past + T, n, J=2, seed=seed), None
    if masked:  # rows begin with some padding, up to all of the old columns
        padding = np.random.default_rng(seed).integers(0, past + 1, B)
        mask = (np.arange(past + T) >= padding[:, None])[:, None, None]
    found = attend(*arrays, mask, 0.7)
    np.testing.assert_allclose(found, joined(*arrays, mask, 0.7), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 8, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_any_size_are_stable(size, dtype):
    q, *others = parts(2, 2, 2, 3, 4, 5, size=size)  # scores up to a hundred times size squared
    q[0] *= -1
    q[:, :, 0] = 0  # even weights beside those of one key
    arrays = [x.astype(dtype) for x in (q, *others)]
    found = attend(*arrays, None, 1.0)
    assert found.dtype == dtype
    exact = joined(*(x.astype(np.float64) for x in arrays), None, 1.0)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3 * size)
    if dtype == np.float64:
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("far", ["prefix", "text"])
def test_keys_of_one_part_may_be_far_below_those_of_the_other(far):
    q, prefix_k, prefix_v, k, v = parts(1, 1, 1, 1, 3, 4)
    q[...], prefix_k[...], k[...] = 1.0, 300.0, 300.0
    if far == "prefix":
        prefix_k *= -1
        mean = v.mean(axis=2)
    else:
        k *= -1
        mean = prefix_v.mean(axis=1)[None]
    found = attend(q, prefix_k, prefix_v, k, v, None, 1.0)
    np.testing.assert_allclose(found[:, :, 0], mean, rtol=1e-12)


def test_scores_far_below_zero_keep_their_digits():
    q, prefix_k, prefix_v, k, v = parts(1, 1, 2, 2, 3, 4)
    q[...], prefix_k[...], k[...] = 1.0, -40.0, -40.0  # e^-120 is no float32
    arrays = [x.astype(np.float32) for x in (q, prefix_k, prefix_v, k, v)]
    exact = joined(q, prefix_k, prefix_v, k, v, None, 1.0)
    np.testing.assert_allclose(attend(*arrays, None, 1.0), exact, rtol=1e-5, atol=1e-6)


def test_a_cache_stores_the_text_and_attends_to_all_of_it_by_and_by():
    q, prefix_k, prefix_v, k, v = parts(2, 2, 2, 5, 5, 4)
    cache = SharedPrefixCache(np.stack([np.stack([prefix_k, prefix_v])]), 2)
    found = [
        cache.attend(0, *(tl.Tensor(x[:, :, a:b]) for x in (q, k, v))).numpy()
        for a, b in ((0, 2), (2, 3), (3, 5))
    ]
    assert cache.length == 5
    exact = joined(q, prefix_k, prefix_v, k, v, None, 3**-0.5)  # the usual scale, of K = 3
    np.testing.assert_allclose(np.concatenate(found, axis=2), exact, rtol=1e-12, atol=1e-12)


def test_the_prefix_is_not_copied():
    keys_values = np.zeros((2, 2, 2, 1000, 4))
    cache = SharedPrefixCache(keys_values, 64, capacity=3)
    assert cache.prefix is keys_values
    assert cache._array.nbytes == 2 * 2 * 64 * 2 * 3 * 4 * 8  # room for three tokens a row


@pytest.mark.parametrize(
    "changes, shared",
    [
        ({}, True),
        ({"positions": "rope"}, True),
        ({"positions": "none"}, True),
        ({"n_head": 4, "n_kv_head": 2}, True),
        ({"attention": ("full", "window"), "window": 3}, False),
        ({"positions": "alibi"}, False),
        ({"attention_cap": 5.0}, False),
        ({"kv_sharing": 2}, False),
        ({"dtype": np.float16}, False),
    ],
    ids=str,
)
def test_where_distances_or_scores_are_changed_the_prefix_is_copied(monkeypatch, changes, shared):
    model = make_gpt(context=16, **{"n_head": 2, **changes})
    assert shares_prefix(model) == shared
    if not shared:
        return
    lm = PrefixedLM(model, prompt_keys_values(model, PREFIX))
    ids = np.array([[0, 0, 4, 2], [1, 3, 3, 1]])
    caches = [lm.new_cache(2, np.array([2, 0]))]
    monkeypatch.setattr(prompt_cache, "shares_prefix", lambda model: False)
    caches.append(lm.new_cache(2, np.array([2, 0])))
    assert [type(cache) is SharedPrefixCache for cache in caches] == [True, False]
    once, copied = (
        np.concatenate([lm.logits(part, cache) for part in (ids[:, :3], ids[:, 3:])], axis=1)
        for cache in caches
    )
    np.testing.assert_allclose(once[0, 2:], copied[0, 2:], rtol=0, atol=1e-11)
    np.testing.assert_allclose(once[1], copied[1], rtol=0, atol=1e-11)


def test_a_model_of_other_parts_gets_a_copy():
    class Changed(GPT):
        """A GPT whose attention may be another."""

    model = make_gpt()
    model.__class__ = Changed
    assert not shares_prefix(model)
    plain = make_gpt()
    plain.blocks[1].attention.__class__ = type("Other", (type(plain.blocks[1].attention),), {})
    assert not shares_prefix(plain)
