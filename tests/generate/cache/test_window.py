"""Caches of fixed size against a mask over everything; the vectors of the book's notes; memory that
stops growing.
"""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.autograd import Tensor, attention, rotary
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import ModelLM, cache_bytes, generate
from tinylm.generate.cache.window import WindowCache
from tinylm.generate.protocol.streaming import StreamingLM, rotary_turn
from tinylm.nn import rotary_angles

T = 14
MODEL = make_gpt(
    context=T, n_head=4, n_kv_head=2, positions="rope", norm="rms", activation="swiglu"
)
IDS = np.random.default_rng(1).integers(0, 5, (2, T))
VALUES = np.array([[1.0, 0], [0, 1], [1, 1], [2, -1]])


def window_mask(T, window, sinks):
    i, j = np.arange(T)[:, None], np.arange(T)
    return (i - j < window) | (j < sinks)  # (T, T); the causal mask comes on top


@pytest.mark.parametrize("window, sinks", [(1, 0), (4, 0), (3, 2), (5, 1), (20, 0), (10, 4)])
def test_one_token_at_a_time_equals_the_mask_in_all_layers(window, sinks):
    lm = StreamingLM(MODEL, window, sinks)
    offline = MODEL(IDS, mask=window_mask(T, window, sinks)).data
    # float64, sums in another order: rounding of a few hundred additions of numbers near 1
    np.testing.assert_allclose(lm.logits(IDS), offline, rtol=0, atol=1e-12)
    cache = lm.new_cache(2)
    parts = [lm.logits(IDS[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, T))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), offline, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "window, sinks, expected", [(2, 0, [11 / 7, -1 / 7]), (1, 1, [1.8, -0.8]), (4, 0, [1.2, 0.1])]
)
def test_worked_example_of_four_tokens(window, sinks, expected):
    # scores log 1 .. log 4: weights 1, 2, 3, 4 before they are normalized over what is visible
    cache = WindowCache(1, 1, 1, 2, window, sinks, np.float64)
    for weight, value in zip((1, 2, 3, 4), VALUES):
        k = np.array([2**0.5 * np.log(weight), 0.7]).reshape(1, 1, 1, 2)
        keys, values = cache.update(0, k, value.reshape(1, 1, 1, 2))
    out = attention(
        Tensor(np.array([1.0, 0]).reshape(1, 1, 1, 2)), Tensor(keys), Tensor(values)
    ).data[0, 0, 0]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def turned(x, positions):
    cos, sin = rotary_angles(positions, x.shape[-1], dtype=np.float64)
    return rotary(Tensor(x), cos=cos, sin=sin).data


def test_shifted_sinks_meet_queries_at_distances_inside_the_cache(rng):
    # the definition: keys before rotation, given the positions 0 .. stored - 1 in the cache anew at
    # every step
    B, G, K, window, sinks, n = 1, 2, 6, 3, 2, 12
    k, v, q = (rng.normal(size=(n, B, G, 1, K)) for _ in range(3))
    cache = WindowCache(1, B, G, K, window, sinks, np.float64, turn=rotary_turn(K))
    for t in range(n):
        keys, values = cache.update(0, turned(k[t], np.array([t])), v[t])
        got = attention(Tensor(turned(q[t], np.array([t]))), Tensor(keys), Tensor(values)).data
        held = [j for j in range(t + 1) if j < sinks or t - j < window]
        places = np.arange(len(held))
        raw, rows = (np.concatenate([part[j] for j in held], axis=2) for part in (k, v))
        want = attention(
            Tensor(turned(q[t], places[-1:])), Tensor(turned(raw, places)), Tensor(rows)
        ).data
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_memory_stops_growing_and_follows_the_formula():
    lm = StreamingLM(MODEL, window=4, sinks=2)
    cache = lm.new_cache(3)
    for t in range(10):
        lm.next_logits(np.zeros((3, 1), int), cache)
        assert cache.bytes == cache_bytes(
            2, 3, 2, 2, min(t + 1, 6), 8
        )  # L, B, G, K = 8 / 4, float64
    assert cache.bytes == cache._array.nbytes


def test_without_sinks_a_window_is_all_that_is_kept():
    plain = StreamingLM(MODEL, 3)
    assert (plain.sinks, plain.shift) == (0, False)
    np.testing.assert_array_equal(plain.logits(IDS), StreamingLM(MODEL, 3, sinks=0).logits(IDS))
    assert np.abs(plain.logits(IDS) - StreamingLM(MODEL, 3, sinks=1).logits(IDS)).max() > 1e-6


def test_a_text_far_beyond_the_context_goes_on():
    lm = StreamingLM(MODEL, window=4, sinks=1, shift=True)
    assert len(list(generate(lm, [1], 5 * T, seed=0))) == 5 * T
    # within the cache it is the plain model
    greedy = list(generate(StreamingLM(MODEL, 20, 4, shift=True), [1], 10, temperature=0))
    assert greedy == list(generate(ModelLM(MODEL), [1], 10, temperature=0))


def test_rows_can_be_selected_and_cropped_while_nothing_is_forgotten():
    lm = StreamingLM(MODEL, window=5, sinks=1)
    offline = MODEL(IDS, mask=window_mask(T, 5, 1)).data
    cache = lm.new_cache(2)
    lm.logits(IDS[:, :6], cache)
    cache.crop(3)
    cache.select([1, 1, 0])
    rest = lm.logits(IDS[[1, 1, 0], 3:], cache)
    np.testing.assert_allclose(rest, offline[[1, 1, 0], 3:], rtol=0, atol=1e-12)
    cache.crop(T)
    with pytest.raises(ShapeError, match="cannot go back to 3"):
        cache.crop(3)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="RoPE"):
        StreamingLM(make_gpt(), 4)
    with pytest.raises(ShapeError, match="padding"):
        StreamingLM(MODEL, 4).new_cache(2, np.array([0, 1]))
    with pytest.raises(ShapeError, match="one token at a time"):
        WindowCache(1, 1, 1, 2, 4).update(0, np.zeros((1, 1, 3, 2)), np.zeros((1, 1, 3, 2)))
    with pytest.raises(ConfigError, match="window 0"):
        WindowCache(1, 1, 1, 2, 0)


@pytest.mark.parametrize(
    "parts, message",
    [
        (dict(rotation=("rope", "none")), "rotation rope, none"),
        (dict(rotary_width=2), "rotary_width 2"),
    ],
)
def test_keys_that_turn_in_part_are_not_turned_back_in_the_cache(parts, message):
    model = make_gpt(
        context=T, d_model=16, n_head=4, n_layer=2, positions="rope", qk_norm="head", **parts
    )
    with pytest.raises(ConfigError, match=message):
        StreamingLM(model, 4, 1, shift=True)
    offline = model(IDS, mask=window_mask(T, 4, 1)).data  # without shifting they stay as they are
    np.testing.assert_allclose(StreamingLM(model, 4, 1).logits(IDS), offline, rtol=0, atol=1e-12)


def test_a_stream_reads_without_dropout_and_leaves_the_model_as_it_was():
    model = make_gpt(context=T, n_head=2, positions="rope", dropout=0.5)
    lm = StreamingLM(model, window=4, sinks=1)
    expected = model.eval()(IDS, mask=window_mask(T, 4, 1)).data
    for training in (True, False):
        model.train(training)
        np.testing.assert_allclose(lm.logits(IDS), expected, rtol=0, atol=1e-12)
        assert all(part.training == training for part in model.modules())
    np.testing.assert_array_equal(lm.next_logits(IDS), lm.logits(IDS)[:, -1])


def test_a_window_cache_goes_back_only_to_what_it_still_holds():
    lm = StreamingLM(MODEL, window=2, sinks=1)
    cache = lm.new_cache(2)
    lm.logits(IDS[:, :3], cache)  # all three slots are full, and nothing is forgotten yet
    cache.crop(3)
    for length in (-1, 4):
        with pytest.raises(ShapeError, match="3 tokens were read into 3 slots"):
            cache.crop(length)
    cache.crop(0)
    assert cache.stored == 0 and cache.bytes == 0
