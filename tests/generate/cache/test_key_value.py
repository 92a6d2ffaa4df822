"""The key-value cache: the same numbers as without it, in the memory the formula says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import KeyValueCache, ModelLM, cache_bytes

T = 8
MODELS = [
    make_gpt(context=T),
    make_gpt(context=T, n_head=4, n_kv_head=2, positions="rope", norm="rms", activation="swiglu"),
]
IDS = np.random.default_rng(1).integers(0, 5, (2, T))
WHOLE = [ModelLM(model).logits(IDS) for model in MODELS]


@settings(max_examples=40)
@given(cuts=st.sets(st.integers(1, T - 1)), which=st.sampled_from([0, 1]))
def test_any_chunking_of_the_prompt_gives_the_uncached_logits(cuts, which):
    lm = ModelLM(MODELS[which])
    cache, borders = lm.new_cache(2), [0, *sorted(cuts), T]
    parts = [lm.logits(IDS[:, start:stop], cache) for start, stop in zip(borders, borders[1:])]
    # float64 rounding of a few hundred additions of numbers near 1
    np.testing.assert_allclose(np.concatenate(parts, axis=1), WHOLE[which], rtol=0, atol=1e-12)


def test_a_cropped_cache_goes_on_as_if_the_rest_had_not_been_read():
    lm = ModelLM(MODELS[0])
    cache = lm.new_cache(2)
    lm.logits(np.zeros((2, 6), int), cache)
    cache.crop(0)
    lm.logits(IDS[:, :5], cache)
    cache.crop(3)
    np.testing.assert_allclose(lm.logits(IDS[:, 3:], cache), WHOLE[0][:, 3:], rtol=0, atol=1e-12)


def test_selected_rows_go_on_alone_also_twice():
    lm = ModelLM(MODELS[1])
    cache = lm.new_cache(2)
    lm.logits(IDS[:, :4], cache)
    cache.select([1, 1, 0])
    after = lm.logits(IDS[[1, 1, 0], 4:], cache)
    np.testing.assert_allclose(after, WHOLE[1][[1, 1, 0], 4:], rtol=0, atol=1e-12)


def test_selected_rows_keep_their_padding():
    lm, padded = ModelLM(MODELS[0]), IDS.copy()
    padded[1] = np.roll(padded[1], 3)  # row 1 begins with three columns of padding
    cache = lm.new_cache(2, padding=[0, 3])
    lm.logits(padded[:, :5], cache)
    cache.select([1, 0, 1])
    assert cache.padding.tolist() == [3, 0, 3]
    after = lm.logits(padded[[1, 0, 1], 5:], cache)
    np.testing.assert_allclose(after[1], WHOLE[0][0, 5:], rtol=0, atol=1e-12)
    # Two tokens of row 1 were read, the next three follow.
    np.testing.assert_allclose(after[[0, 2]], WHOLE[0][[1, 1], 2:5], rtol=0, atol=1e-12)


def test_bytes_follow_the_formula():
    lm = ModelLM(
        make_gpt(context=T, n_layer=3, n_head=4, n_kv_head=2, d_model=16, dtype=np.float32)
    )
    cache = lm.new_cache(5)
    lm.logits(np.zeros((5, 7), int), cache)
    assert (
        cache.bytes == cache_bytes(3, 5, 2, 4, 7, 4) == 2 * 3 * 5 * 2 * 4 * 7 * 4
    )  # 2 L B G K length itemsize
    assert cache.length == 7


def test_room_grows_by_doubling_and_keeps_what_is_stored(rng):
    cache = KeyValueCache(1, 1, 2, 3, np.float64)
    stored = rng.normal(size=(1, 2, 9, 3))
    rooms = []
    for t in range(9):
        k, v = cache.update(0, stored[:, :, t : t + 1], -stored[:, :, t : t + 1])
        rooms.append(cache.capacity)
    assert rooms == [1, 2, 4, 4, 8, 8, 8, 8, 16]
    np.testing.assert_array_equal(k, stored)
    np.testing.assert_array_equal(v, -stored)


def test_capacity_asked_for_is_made_at_once():
    cache = KeyValueCache(1, 1, 1, 1, capacity=10)
    cache.update(0, np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))
    assert cache.capacity == 10


def test_keys_of_the_wrong_shape_are_refused_with_both_shapes():
    with pytest.raises(ShapeError, match=r"k \(1, 2, 1, 3\).*\(1, 1, T, 3\)"):
        KeyValueCache(1, 1, 1, 3).update(0, np.zeros((1, 2, 1, 3)), np.zeros((1, 2, 1, 3)))
    right = np.zeros((1, 1, 1, 3))
    for k, v in ((right, right[..., :2]), (right[..., :2], right), (right[0], right[0])):
        with pytest.raises(ShapeError, match=r"\(1, 1, T, 3\)"):
            KeyValueCache(1, 1, 1, 3).update(0, k, v)


def test_cropping_beyond_the_end_and_empty_sizes_are_refused():
    with pytest.raises(ShapeError, match="holds 0 tokens and cannot be cut to 1"):
        KeyValueCache(1, 1, 1, 1).crop(1)
    for sizes in (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0):
        with pytest.raises(ConfigError, match="each must be 1 or more"):
            KeyValueCache(*sizes)
    with pytest.raises(ShapeError, match="padding"):
        KeyValueCache(1, 2, 1, 1, padding=[1])
