"""Families of decoders: their counts, their parts, and every combination of parts counted as it is
built.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import host, plain
from tinylm import gradcheck
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.config import ATTENTION, FEED_FORWARD, NORMS_PER_BLOCK, POSITIONS
from tinylm.models.decoder.gpt import narrowed
from tinylm.models.decoder.presets import DECODERS, differences, preset, tiny
from tinylm.models.decoder.sizes import count_active, count_parameters
from tinylm.nn import ACTIVATIONS, GATES, NORMS

flag, maybe = st.booleans(), st.sampled_from([None, True, False])


def some(choices):
    return st.sampled_from(sorted(choices))


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        dict(
            vocab_size=st.integers(1, 9),
            context=st.integers(1, 5),
            n_layer=st.integers(1, 3),
            n_head=st.sampled_from([2, 4]),
            d_model=st.sampled_from([4, 8]),
            n_kv_head=st.sampled_from([None, 1, 2]),
            d_hidden=st.sampled_from([None, 3]),
            head_width=st.sampled_from([None, 2, 6]),
            qk_norm=st.sampled_from([None, "head", "width"]),
            norm=some(NORMS),
            norm_placement=some(NORMS_PER_BLOCK),
            activation=some({**ACTIVATIONS, **GATES}),
            positions=some(set(POSITIONS)),
            bias=flag,
            tied=flag,
            qkv_bias=maybe,
            norm_bias=maybe,
            embedding_norm=flag,
            attention=st.lists(some(ATTENTION), min_size=1, max_size=2),
            feed_forward=st.lists(some(FEED_FORWARD), min_size=1, max_size=2),
            window=st.just(2),
            experts=st.integers(2, 3),
            experts_per_token=st.integers(1, 2),
        )
    )
)
def test_the_closed_form_counts_what_is_built(options):
    if (
        options["positions"] == "rope"
        and not options["head_width"]
        and options["d_model"] == options["n_head"]
    ):
        options["head_width"] = 2  # rope turns pairs
    config = GPTConfig(**options)
    assert count_parameters(config) == GPT(config).count_parameters()


# Totals as published with the models, in their cards or by their files; PaLM's paper and BLOOM's
# card round as here.
PUBLISHED = {
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "llama-65b": 65_285_660_672,
    "mixtral-8x7b": 46_702_792_704,
    "gemma-2b": 2_506_172_416,
    "gemma-7b": 8_537_680_896,
    "bloom-560m": 559_214_592,
    "bloom-176b": 176_247_271_424,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "qwen2-7b": 7_615_616_512,
    "smollm3-3b": 3_075_098_624,
    "qwen3-0.6b": 596_049_920,
    "phi3-mini": 3_821_079_552,
    "olmo2-1b": 1_484_916_736,
    "pythia-160m": 162_322_944,
    "starcoder2-3b": 3_030_371_328,
    "mpt-7b": 6_649_286_656,
    "opt-125m": 125_239_296 - 2 * 768,
}  # two rows of its positions are no token's


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_their_published_sizes(name):
    assert count_parameters(preset(name)) == PUBLISHED[name]


@pytest.mark.parametrize(
    "name, billions",
    [
        ("palm-540b", 540.35),
        ("falcon-7b", 6.92),
        ("falcon-40b", 41.3),
        ("falcon-180b", 178.6),
        ("llama-33b", 32.5),
        ("gpt3-1.3b", 1.3),
        ("gpt3-6.7b", 6.7),
        ("gpt3-13b", 13.0),
    ],
)
def test_presets_round_to_what_is_printed_of_them(name, billions):
    digits = len(str(billions).partition(".")[2])
    assert round(count_parameters(preset(name)) / 1e9, digits) == pytest.approx(
        billions, abs=1.1 * 10**-digits
    )


def test_mixtral_multiplies_each_token_with_two_experts_of_eight():
    assert (
        round(count_active(preset("mixtral-8x7b")) / 1e9, 1) == 12.9
    )  # Jiang et al. 2024: "13B active"
    assert count_active(preset("llama3-8b")) == count_parameters(preset("llama3-8b"))


def test_a_preset_shows_its_differences_from_gpt_2():
    assert differences(preset("gpt2-xl")) == {}
    assert differences(preset("gpt1")) == {"norm_placement": "post"}
    assert set(differences(preset("llama2-7b"))) == {
        "n_kv_head",
        "norm",
        "activation",
        "positions",
        "bias",
        "tied",
        "norm_eps",
    }
    assert set(differences(preset("bloom-176b"))) == {"positions", "embedding_norm"}
    with pytest.raises(ConfigError, match="did you mean llama3-8b"):
        preset("lama3-8b")


ONE_OF_EACH = [
    "gpt1",
    "gpt2",
    "gpt3-175b",
    "llama2-7b",
    "llama3.1-8b",
    "mistral-7b",
    "mixtral-8x7b",
    "gemma-2b",
    "gemma2-9b",
    "qwen2-7b",
    "falcon-7b",
    "falcon-40b",
    "palm-540b",
    "bloom-176b",
    "switch-base-8",
    "smollm3-3b",
    "qwen3-0.6b",
    "phi3-mini",
    "olmo2-1b",
    "pythia-160m",
    "starcoder2-3b",
    "opt-125m",
    "mpt-7b",
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_each_family_is_causal_and_reads_the_same_through_a_cache(name, rng):
    config = tiny(name)
    assert differences(config).keys() >= differences(preset(name)).keys() - {
        "n_kv_head",
        "head_width",
    }
    model = GPT(config, dtype=np.float64).eval()
    for p in model.parameters():  # away from the start, where attention is nearly uniform
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    ids = rng.integers(0, 31, (2, 8))
    whole = model(ids).numpy()
    changed = ids.copy()
    changed[:, 5:] = (changed[:, 5:] + 3) % 31
    np.testing.assert_allclose(model(changed).numpy()[:, :5], whole[:, :5], rtol=1e-12, atol=1e-13)
    cache = KeyValueCache(config.n_layer, 2, config.kv_heads, config.key_width, np.float64)
    with tl.no_grad():
        parts = [model(ids[:, a:b], cache=cache).numpy() for a, b in ((0, 3), (3, 4), (4, 8))]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_each_family_learns_the_same_on_every_device(device, name, rng):
    ids = rng.integers(0, 31, (2, 8))

    def gradients(where):
        model = GPT(tiny(name), seed=1, dtype=np.float64).to(where)
        tl.cross_entropy(model(plain(ids, where)), plain(np.roll(ids, -1, 1), where)).backward()
        return {
            n: host(p.grad.data) for n, p in model.named_parameters().items() if p.grad is not None
        }

    ours, expected = gradients(device), gradients("cpu")
    assert ours.keys() == expected.keys()
    for n in expected:  # sums in another order
        np.testing.assert_allclose(
            ours[n], expected[n], rtol=1e-9, atol=1e-12 + 1e-10 * np.abs(expected[n]).max()
        )


@pytest.mark.parametrize(
    "name",
    [
        "gemma2-9b",
        "mixtral-8x7b",
        "falcon-40b",
        "bloom-176b",
        "palm-540b",
        "qwen3-0.6b",
        "olmo2-1b",
        "smollm3-3b",
        "pythia-160m",
    ],
)
def test_the_gradient_of_a_family_is_what_differences_say(name, rng):
    config = tiny(
        name,
        vocab_size=5,
        context=4,
        n_head=2,
        n_kv_head=1,
        d_model=4,
        d_hidden=3,
        head_width=4,
        window=2,
        experts=2 * ("experts" in preset(name).feed_forward),
        experts_per_token=2,
    )
    model = GPT(config, dtype=np.float64)
    for p in model.parameters():
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    ids, targets = rng.integers(0, 5, (1, 4)), rng.integers(0, 5, (1, 4))
    assert gradcheck(lambda m: tl.cross_entropy(m(ids), targets), model)


def test_a_window_hides_what_is_further_back(rng):
    config = GPTConfig(
        vocab_size=7,
        context=9,
        n_layer=1,
        n_head=2,
        d_model=8,
        positions="none",
        attention="window",
        window=3,
    )
    model = GPT(config, dtype=np.float64)
    ids = rng.integers(0, 7, (1, 9))
    first = model(ids).numpy()
    changed = ids.copy()
    changed[:, 0] = (changed[:, 0] + 1) % 7
    second = model(changed).numpy()
    assert (second[:, :3] != first[:, :3]).any(-1).all()  # tokens 0, 1 and 2 see token 0
    np.testing.assert_array_equal(second[:, 3:], first[:, 3:])


def test_layers_repeat_their_pattern():
    config = preset("gpt3-175b")
    assert [config.layer("attention", i) for i in range(4)] == ["full", "window", "full", "window"]
    assert GPT(tiny("switch-base-8", n_layer=4)).blocks[3].feed_forward.k == 1


def test_placeholders_take_no_memory():
    model = GPT(preset("llama3-8b"), seed=None)  # 32 GB if it were drawn
    assert model.count_parameters() == count_parameters(model.config)
    assert model.blocks[0].attention.qkv.weight.data.strides == (0, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(attention=("full", "near")), "attention = 'near' is not one of full, window"),
        (dict(attention="window"), "window = None must be at least 1"),
        (dict(feed_forward="experts"), "experts = 0 must be at least 1"),
        (dict(rope_scaling={"name": "more"}), "rope_scaling names 'more', not one of none, linear"),
        (dict(attention_cap=2.0, dropout=0.1), "set dropout to 0"),
        (dict(qk_norm="rms"), "qk_norm = 'rms' is not one of None, head, width"),
        (
            dict(positions="rope", rotation=("rope", "no")),
            "rotation = 'no' is not one of rope, none",
        ),
        (dict(positions="rope", rotation=()), "rotation is empty"),
        (dict(rotation="none"), "of positions 'rope', not 'learned'"),
        (dict(positions="alibi", rotary_width=2), "of positions 'rope', not 'alibi'"),
        (
            dict(positions="rope", rotary_width=3),
            "rotary_width = 3 must be even, from 2 to the head width 64",
        ),
        (
            dict(positions="rope", rotary_width=66),
            "rotary_width = 66 must be even, from 2 to the head width 64",
        ),
    ],
)
def test_impossible_parts_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        GPTConfig(vocab_size=3, **options)


def test_a_configuration_survives_json():
    import json

    for name in DECODERS:
        config = preset(name)
        assert GPTConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def turned_by_hand(x, position, width, base):
    """GPT-NeoX's way: the first `width` numbers in halves, the rest as they are."""
    half = width // 2
    angle = position * base ** (-np.arange(half) / half)
    a, b, rest = x[:half], x[half:width], x[width:]
    return np.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle), rest]
    )


def test_where_only_the_first_pairs_turn_scores_are_those_of_a_head_turned_in_part(rng):
    model = GPT(
        GPTConfig(
            vocab_size=3,
            context=9,
            n_layer=1,
            n_head=1,
            d_model=8,
            positions="rope",
            rotary_width=4,
        )
    )
    cos, sin = model.rotation(np.arange(9), np.float64)
    q, k = rng.normal(size=(2, 8))
    order = [0, 1, 4, 5, 2, 3, 6, 7]  # a, half of the rest, b, half of the rest

    def turned(x, t):
        a, b = np.split(x[order], 2)
        return np.concatenate([a * cos[t] - b * sin[t], a * sin[t] + b * cos[t]])

    for i, j in ((0, 0), (5, 2), (8, 0)):
        expected = turned_by_hand(q, i, 4, 1e4) @ turned_by_hand(k, j, 4, 1e4)
        assert turned(q, i) @ turned(k, j) == pytest.approx(expected, rel=1e-12)


def test_a_layer_without_rotation_does_not_read_positions(rng):
    sizes = dict(vocab_size=7, context=9, n_layer=1, n_head=2, d_model=8, positions="rope")
    ids, later = rng.integers(0, 7, (1, 6)), np.array([0, 3, 4, 6, 7, 8])
    still, turning = (
        GPT(GPTConfig(**sizes, rotation=word), dtype=np.float64) for word in ("none", "rope")
    )
    np.testing.assert_array_equal(still(ids).numpy(), still(ids, positions=later).numpy())
    assert np.abs(turning(ids).numpy() - turning(ids, positions=later).numpy()).max() > 1e-6


@pytest.mark.parametrize("kind", ["head", "width"])
def test_normed_queries_and_keys_do_not_feel_how_large_they_are_projected(kind, rng):
    sizes = dict(
        vocab_size=7,
        context=9,
        n_layer=1,
        n_head=2,
        d_model=8,
        positions="rope",
        bias=False,
        norm_eps=1e-12,
    )
    model = GPT(GPTConfig(**sizes, qk_norm=kind), dtype=np.float64)
    ids = rng.integers(0, 7, (1, 6))
    weight = model.blocks[0].attention.qkv.weight.data
    weight[...] = rng.normal(size=weight.shape)
    before = model(ids).numpy()
    weight[:, :16] *= 100  # queries and keys, not values
    np.testing.assert_allclose(model(ids).numpy(), before, rtol=1e-9)
    weight[:, :4] *= 2  # the first head's queries alone
    changed = np.abs(model(ids).numpy() - before).max() > 1e-6
    assert changed == (kind == "width")


def test_a_part_of_a_name_gets_the_four_nearest_and_anything_else_the_command():
    with pytest.raises(ConfigError) as told:
        preset("gptj")
    assert str(told.value) == "no model 'gptj': did you mean gpt2 or gpt1 or gpt2-xl or gpt3-13b?"
    with pytest.raises(ConfigError) as told:
        preset("whisper")
    assert str(told.value) == "no model 'whisper': `tinylm models` lists them"


def test_a_window_and_a_mask_hide_what_either_hides():
    """Two queries of columns 2 and 3, four keys, a window of two: i - j < 2."""
    queries, keys = np.arange(2, 4), np.arange(4)
    near = np.array([[0, 1, 1, 1], [0, 0, 1, 1]], bool)  # the causal mask comes later
    np.testing.assert_array_equal(narrowed(None, queries, keys, 2), near)
    tokens = np.array([[1, 1, 1, 1], [1, 1, 0, 1]], bool)[:, None, None]  # (B, 1, 1, S)
    both = narrowed(tokens, queries, keys, 2)
    assert both.shape == (2, 1, 2, 4)
    np.testing.assert_array_equal(both[:, 0], [near, [[0, 1, 0, 1], [0, 0, 0, 1]]])
    # A window as long as the keys hides nothing, one token fewer hides the first from the last.
    assert narrowed(None, queries, keys, 4) is None
    np.testing.assert_array_equal(narrowed(tokens, queries, keys, 4), tokens)
    assert narrowed(None, queries, keys, 3).sum() == 7
