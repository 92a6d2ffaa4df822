"""The decoder for large models: the model's own numbers without a copy of its weights, and nearly
so with fewer bits.
"""

import itertools

import numpy as np
import pytest

from tinylm.generate import FastDecoder, ModelLM, generate
from tinylm.generate.fast import fastest as fastest_module
from tinylm.generate.fast.direct import DirectDecoder, decoding_speed, memory_bandwidth
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.fast.folded import supports
from tinylm.nn import ACTIVATIONS, GATES

IDS = np.random.default_rng(0).integers(0, 5, (1, 8))
PARTS = list(
    itertools.product(
        ["layer", "rms"],
        [*ACTIVATIONS, *GATES],
        ["learned", "rope"],
        [True, False],
        [True, False],
        [4, 1],
    )
)
MORE = dict(
    head_width=6,
    attention_scale=0.3,
    embedding_scale=3.0,
    logit_cap=2.0,
    norm_eps=1e-3,
    qkv_bias=True,
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
            np.abs(step_by_step(DirectDecoder(model), IDS) - expected).max()
            / np.abs(expected).max()
        )
        assert error < tolerance, (norm, activation, positions, bias, tied, groups)


@pytest.mark.parametrize("decoder", [FastDecoder, DirectDecoder])
def test_widths_scales_and_caps_of_other_families_are_followed(gpt, decoder):
    model = gpt(
        n_kv_head=1, norm="rms", activation="geglu_tanh", positions="rope", bias=False, **MORE
    )
    expected = ModelLM(model).logits(IDS)
    assert supports(model) and np.abs(expected).max() < 2  # the cap
    np.testing.assert_allclose(step_by_step(decoder(model), IDS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decoder", [FastDecoder, DirectDecoder])
def test_pairs_that_do_not_turn_are_followed(gpt, decoder):
    model = gpt(d_model=16, n_head=2, positions="rope", rotary_width=4)
    expected = ModelLM(model).logits(IDS)
    assert supports(model)
    np.testing.assert_allclose(step_by_step(decoder(model), IDS), expected, rtol=0, atol=1e-12)


def test_other_parts_take_the_models_own_path(gpt):
    for parts in (
        dict(positions="alibi"),
        dict(positions="rope", attention="window", window=2),
        dict(attention_cap=3.0),
        dict(embedding_norm=True),
        dict(norm_placement="parallel"),
        dict(norm_placement="sandwich"),
        dict(feed_forward="experts", experts=2),
        dict(qk_norm="head"),
        dict(qk_norm="width"),
        dict(positions="rope", rotation=("rope", "none")),
    ):
        assert not supports(gpt(**parts))


def test_weights_are_read_where_they_lie(gpt):
    model = gpt(bias=False)
    lm = DirectDecoder(model)
    assert all(
        np.shares_memory(layer[0].weight, block.attention.qkv.weight.data)
        for layer, block in zip(lm.layers, model.blocks)
    )
    assert np.shares_memory(lm.head.weight, model.tokens.weight.data)
    # every matrix once, and the table as output weights: all but positions, gains, biases
    table = model.positions.table.weight.size
    assert lm.weight_bytes() == 8 * (sum(p.size for p in model.parameters() if p.ndim == 2) - table)


def test_a_large_model_is_decoded_so_by_generate(gpt, monkeypatch):
    model = gpt(dtype=np.float32, context=16)
    whole = list(generate(model, [1, 2], 40, seed=4))
    monkeypatch.setattr(fastest_module, "LARGE", 0)
    assert isinstance(fastest(ModelLM(model)), DirectDecoder)
    assert list(generate(model, [1, 2], 40, seed=4)) == whole


@pytest.mark.parametrize("bits, error", [(8, 0.02), (4, 0.3)])
def test_fewer_bits_are_nearly_the_same(gpt, bits, error):
    # 8 bits: a weight is off by 1/254 of the largest of its block at most, 4 bits: by 1/30 of the
    # range
    model = gpt(
        dtype=np.float32, d_model=64, d_hidden=128, norm="rms", bias=False, n_layer=1, vocab_size=5
    )
    expected = ModelLM(model).logits(IDS)
    lm = DirectDecoder(model, bits)
    assert 0 < np.abs(step_by_step(lm, IDS) - expected).max() / np.abs(expected).max() < error
    assert lm.weight_bytes() < DirectDecoder(model).weight_bytes() * (0.3 if bits == 8 else 0.2)


def test_speed_is_measured(gpt):
    measured = decoding_speed(DirectDecoder(gpt(dtype=np.float32)), tokens=4)
    assert measured["tokens_per_second"] * measured["seconds"] == pytest.approx(1)
    assert measured["share"] == pytest.approx(
        measured["bytes_per_token"] / measured["seconds"] / measured["bandwidth"]
    )
    assert memory_bandwidth(8, 1) > 1e7
