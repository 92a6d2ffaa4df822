"""IA3: three vectors a layer, ones at first, and foldable."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, encoder, gpt
from tinylm.backend import Random
from tinylm.finetune.freezing import count_trainable, trainable
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.merging import bake, merge, unmerge


def test_before_training_the_model_is_the_base_to_the_bit():
    model = gpt(n_kv_head=1)
    before = model(IDS).numpy()
    assert np.array_equal(ia3(model)(IDS).numpy(), before)


@pytest.mark.parametrize(
    "changes",
    [{}, dict(n_kv_head=1, activation="swiglu", norm="rms", positions="rope", bias=False)],
)
def test_only_three_vectors_a_layer_learn(changes):
    model = ia3(gpt(**changes))
    G, K, F = model.config.kv_heads, 4, 12
    assert len(trainable(model)) == 2 * 3
    assert_only_these_learn(model, 2 * (2 * G * K + F))


def test_a_layer_that_reads_the_keys_of_another_has_no_vectors_for_them():
    # keys and values of the first layer, 8 numbers each, which the second reads; 12 hidden units
    model = ia3(gpt(positions="rope", kv_sharing=2))
    assert count_trainable(model) == 2 * 8 + 2 * 12


def test_queries_are_not_scaled_and_keys_and_values_are():
    qkv = ia3(gpt()).blocks[0].attention.qkv
    for scale, value in zip(qkv.scales, (2.0, 3.0)):
        scale.data[...] = value
    x = np.random.default_rng(0).normal(size=(1, 8))
    expected = qkv.base(x).numpy() * np.repeat(
        [1.0, 2.0, 3.0], 8
    )  # 2 heads of 4: 8 columns of each
    assert np.allclose(qkv(x).numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_merged_equals_unmerged_and_unmerging_restores_the_bits(dtype, tolerance):
    model = ia3(gpt(dtype))
    for p in trainable(model).values():
        p.data[...] = 1 + 0.5 * Random(1).normal(p.shape, np.float64)
    base, apart = model.state_dict(), model(IDS).numpy()
    assert np.abs(merge(model)(IDS).numpy() - apart).max() <= tolerance * np.abs(apart).max()
    unmerge(model)
    assert all(np.array_equal(array, base[name]) for name, array in model.state_dict().items())
    assert set(bake(model).named_parameters().keys()) == set(gpt().named_parameters().keys())
    assert np.abs(model(IDS).numpy() - apart).max() <= tolerance * np.abs(apart).max()


def test_in_an_encoder_decoder_it_scales_cross_attention_too():
    model, inputs = encoder("t5-small"), (IDS, IDS[:, :3])
    before = model(*inputs).numpy()
    assert np.array_equal(ia3(model)(*inputs).numpy(), before)
    c = model.config
    width = c.n_head * c.key_width
    assert count_trainable(model) == 2 * (2 * width + 12) + 2 * (
        4 * width + 12
    )  # encoder layers; decoder layers
