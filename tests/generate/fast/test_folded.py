"""The fast decoder: the model's own numbers, for every combination of parts it claims to support."""

import itertools
import tracemalloc

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import FastDecoder, ModelLM, generate
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.fast.folded import supports
from tinylm.nn import ACTIVATIONS, GATES, Linear

IDS = np.random.default_rng(0).integers(0, 5, (1, 8))
BOTH = [True, False]
PARTS = list(
    itertools.product(
        ["layer", "rms"], [*ACTIVATIONS, *GATES], ["learned", "rope"], BOTH, BOTH, [4, 2, 1]
    )
)


def step_by_step(lm, ids):
    cache = lm.new_cache(1)
    return np.stack([lm.next_logits(ids[:, t : t + 1], cache) for t in range(ids.shape[1])], axis=1)


# Largest difference over the largest logit: a few dozen roundings, each 6e-8 in float32 and 1e-16
# in float64.
@pytest.mark.parametrize(
    "dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)], ids=["float32", "float64"]
)
def test_logits_are_the_models_for_every_combination_of_parts(gpt, dtype, tolerance):
    for norm, activation, positions, bias, tied, groups in PARTS:
        model = gpt(
            dtype=dtype,
            n_head=4,
            d_model=16,
            norm=norm,
            activation=activation,
            positions=positions,
            bias=bias,
            tied=tied,
            n_kv_head=groups,
        )
        expected = ModelLM(model).logits(IDS)
        error = (
            np.abs(step_by_step(FastDecoder(model), IDS) - expected).max() / np.abs(expected).max()
        )
        assert error < tolerance, (norm, activation, positions, bias, tied, groups)


def test_a_hidden_width_of_its_own_is_supported(gpt):
    model = gpt(d_hidden=11)
    np.testing.assert_allclose(
        step_by_step(FastDecoder(model), IDS), ModelLM(model).logits(IDS), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("decoder", [FastDecoder, DirectDecoder])
@pytest.mark.parametrize("sharp", [300.0, -300.0])
def test_scores_too_large_or_too_small_for_the_exponential_are_survived(gpt, sharp, decoder):
    model = gpt(dtype=np.float32, n_layer=1)
    # One direction of queries and keys that makes every score about `sharp`: exp() of it leaves
    # float32.
    attention = model.blocks[0].attention
    attention.qkv.bias.data[:8] = np.sqrt(300.0)
    attention.qkv.bias.data[8:16] = sharp / np.sqrt(300.0) / 2
    expected = ModelLM(model).logits(IDS)
    with np.errstate(over="raise", invalid="raise"):  # mended, and not by way of a warning
        got = step_by_step(decoder(model), IDS)
    # a score of 300 carries 300 * 6e-8 of rounding into the exponent: 2e-5, times a few
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("decoder", [FastDecoder, DirectDecoder])
def test_a_few_tokens_are_read_by_the_decoder_itself_also_into_a_cache_without_room(gpt, decoder):
    model = gpt()
    fast, expected = decoder(model), ModelLM(model).logits(IDS)
    asked, inner = [], fast._prompts.next_logits
    fast._prompts.next_logits = lambda ids, cache: asked.append(ids.shape[1]) or inner(ids, cache)
    cache = ModelLM(model).new_cache(1)  # it grows with every token
    assert cache.capacity == 0
    for start, stop in ((0, 1), (1, 2), (2, 6)):
        got = fast.next_logits(IDS[:, start:stop], cache)
        np.testing.assert_allclose(got, expected[:, stop - 1], rtol=0, atol=1e-12)
    assert asked == []
    fast.next_logits(IDS[:, :5])  # five at once are a matrix product
    assert asked == [5]


def test_a_long_input_is_read_at_once_into_the_same_cache(gpt):
    model = gpt(positions="rope")
    fast, cache = FastDecoder(model), FastDecoder(model).new_cache()
    expected = ModelLM(model).logits(IDS)
    parts = [fast.next_logits(IDS[:, :6], cache), fast.next_logits(IDS[:, 6:7], cache)]
    parts.append(fast.logits(IDS[:, 7:], cache)[:, 0])
    np.testing.assert_allclose(np.stack(parts, axis=1), expected[:, 5:], rtol=0, atol=1e-12)
    cache.crop(2)
    np.testing.assert_allclose(
        fast.next_logits(IDS[:, 2:5], cache), expected[:, 4], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(fast.logits(IDS), expected, rtol=0, atol=1e-12)


def test_generate_uses_it_for_a_single_prompt_and_says_the_same(gpt):
    model = gpt(dtype=np.float32, context=16)
    assert isinstance(fastest(ModelLM(model)), FastDecoder)

    class Plain(ModelLM):
        """Not to be replaced: takes the model's own path."""

    plain = Plain(model)
    plain.model = lambda *args, **kwargs: model(*args, **kwargs)
    for options in {"temperature": 0}, {"seed": 4}:
        assert list(generate(model, [1, 2], 60, **options)) == list(
            generate(plain, [1, 2], 60, **options)
        )


def test_other_models_take_the_models_own_path(gpt):
    for changes in {"norm_placement": "post"}, {"norm_placement": "branch"}:
        lm = ModelLM(gpt(**changes))
        assert fastest(lm) is lm
    model = gpt()

    class Adapter(Linear):
        """A linear map that does something more; its kind is not known to the decoder."""

    model.blocks[0].attention.out = Adapter(8, 8, Random(0), dtype=np.float64)
    assert not supports(model)
    with pytest.raises(ConfigError, match="use ModelLM"):
        FastDecoder(model)


def test_its_weights_are_a_snapshot(gpt):
    model = gpt()
    fast = FastDecoder(model)
    before = step_by_step(fast, IDS[:, :3])
    for parameter in model.parameters():
        parameter.data[...] = 0
    np.testing.assert_array_equal(step_by_step(fast, IDS[:, :3]), before)


def test_batches_and_bad_tokens_are_refused_as_by_the_model(gpt):
    fast = FastDecoder(gpt())
    with pytest.raises(ShapeError, match="ModelLM for batches"):
        fast.new_cache(2)
    with pytest.raises(DataError, match="token id 5 is outside the vocabulary of 5"):
        fast.next_logits(np.array([[5]]), fast.new_cache())
    with pytest.raises(DataError, match="token id -1"):
        fast.next_logits(np.array([[-1]]), fast.new_cache())
    cache = fast.new_cache()
    fast.next_logits(IDS, cache)
    with pytest.raises(ShapeError, match="past the context of 8"):
        fast.next_logits(IDS[:, :1], cache)


@pytest.mark.parametrize("decoder", [FastDecoder, DirectDecoder])
def test_a_long_context_takes_memory_only_as_far_as_it_is_read(gpt, decoder):
    model = gpt(positions="rope", context=1 << 24)
    ids = np.arange(1030) % 5
    tracemalloc.start()
    try:
        lm = decoder(model)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20  # a number for each would be 64 MB
    finally:
        tracemalloc.stop()
    plain, cache = ModelLM(model), lm.new_cache()
    lm.logits(ids[None, :1020], cache)  # 10 steps more pass the first 1024
    said = [lm.next_logits(ids[None, t : t + 1], cache)[0] for t in range(1020, 1030)]
    expected = plain.logits(ids[None])[0, 1020:]
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-5)
