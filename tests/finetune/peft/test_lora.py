"""LoRA: what it starts from, what it trains, and that it can be folded away and back."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, encoder, gpt
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.compress.prune import prune
from tinylm.finetune.freezing import count_trainable, trainable
from tinylm.finetune.peft.adapters import houlsby
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.lora import LoRA, PackedLoRA, columns_of, lora
from tinylm.finetune.peft.merging import bake, merge, unmerge
from tinylm.finetune.peft.quantized_base import QuantizedLinear, quantize_linears
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.wrap import (
    load_trained,
    places,
    read_trained,
    save_trained,
    trained_state,
    unwrap,
)
from tinylm.generate import generate
from tinylm.models.published.formats.safetensors import write_safetensors
from tinylm.nn import Linear, Module
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.language.causal import CausalLM
from tinylm.train.step import random_streams
from tinylm.train.trainer import Trainer


def learnt(model, seed=0):
    """The model after its trained parts have taken any values."""
    for p in trainable(model).values():
        p.data[...] = Random(seed, "learnt").normal(p.shape, np.float64) * 0.3
    return model


def test_before_training_the_model_is_the_base_to_the_bit():
    model = gpt()
    before = model(IDS).numpy()
    assert np.array_equal(lora(model, r=3)(IDS).numpy(), before)


def test_only_a_and_b_learn_and_there_are_r_times_in_plus_out_of_them():
    # qkv (8, 24), out (8, 8), hidden (8, 12), feed-forward out (12, 8), in two layers, at r = 3
    assert_only_these_learn(lora(gpt(), r=3), 2 * 3 * ((8 + 24) + (8 + 8) + (8 + 12) + (12 + 8)))


def test_queries_and_values_alone_change_with_a_pair_each():
    model = lora(
        gpt(n_kv_head=1), "qkv", r=2, parts="qv"
    )  # K = 4: columns q 0..8, k 8..12, v 12..16
    attention = model.blocks[0].attention
    assert attention.qkv.columns == [(0, 8), (12, 16)]
    assert_only_these_learn(model, 2 * 2 * ((8 + 8) + (8 + 4)))
    change = attention.qkv.change(np.ones((1, 8))).numpy()
    assert (
        np.all(change[:, 8:12] == 0) and np.all(change[:, :8] != 0) and np.all(change[:, 12:] != 0)
    )


def test_cross_attention_has_keys_and_values_and_no_other_parts():
    cross = encoder("bart-base").decoder.blocks[0].cross  # 2 heads of 4: keys 0..8, values 8..16
    assert columns_of(cross, "kv", "v") == [(8, 16)]
    with pytest.raises(ConfigError, match="^kv of a CrossAttention has no parts q"):
        columns_of(cross, "kv", "q")
    with pytest.raises(ConfigError, match="no parts"):
        lora(gpt(), "hidden", parts="q")


@pytest.mark.parametrize("name", ["bert-base-uncased", "bart-base", "t5-small", "albert-base-v2"])
def test_it_goes_around_linears_of_encoders_and_encoder_decoders(name):
    model = encoder(name)
    inputs = (IDS,) if "bert" in name else (IDS, IDS[:, :3])
    before = model(*inputs).numpy()
    lora(model, "attention.qkv", r=1)
    assert np.array_equal(model(*inputs).numpy(), before)
    learnt(model)
    changed = model(*inputs).numpy()
    assert not np.allclose(changed, before)
    assert np.allclose(
        merge(model)(*inputs).numpy(), changed, rtol=0, atol=1e-12 * abs(changed).max()
    )
    # each set of shared weights counts once: ALBERT's two layers are one
    layers = {"bert-base-uncased": 2, "bart-base": 4, "t5-small": 4, "albert-base-v2": 1}[name]
    width = model.config.n_head * getattr(model.config, "key_width", 4)
    assert count_trainable(model) == layers * (8 + 3 * width)


# The rule of thumb for sums of a few hundred products of size one: some 10 roundings of the type.
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_merged_equals_unmerged_and_unmerging_restores_the_bits(dtype, tolerance):
    model = learnt(lora(gpt(dtype), r=2, alpha=4))
    base = {n: p.data.copy() for n, p in model.named_parameters().items()}
    apart = model(IDS).numpy()
    together = merge(model)(IDS).numpy()
    assert np.abs(together - apart).max() <= tolerance * np.abs(apart).max()
    assert not np.array_equal(
        model.blocks[0].attention.qkv.base.weight.data, base["blocks.0.attention.qkv.base.weight"]
    )
    merge(model)  # twice is once
    unmerge(model)
    assert all(np.array_equal(p.data, base[n]) for n, p in model.named_parameters().items())
    assert np.array_equal(model(IDS).numpy(), apart)


def test_a_baked_model_is_plain_again_and_generates_the_same():
    model = learnt(lora(gpt(), "qkv", "hidden", r=2))
    names = set(gpt().named_parameters().keys())
    said = list(generate(model, [1, 2], 8, temperature=1.0, seed=4))
    bake(model)
    assert set(model.named_parameters().keys()) == names and not places(model, LoRA)
    assert (
        list(generate(model, [1, 2], 8, temperature=1.0, seed=4)) == said
    )  # by the fast decoder now


def test_alpha_over_r_scales_the_change():
    base = Linear(3, 5, Random(0), dtype=np.float64)
    one, two = (LoRA(base, r=2, alpha=alpha, rng=Random(1)) for alpha in (2, 6))
    for part in (one, two):
        part.b.data[...] = 1
    x = np.ones((1, 3))
    assert np.allclose(
        two.change(x).numpy(), 3 * one.change(x).numpy(), rtol=1e-14
    )  # 6/2 against 2/2
    assert np.allclose(one.change(x).numpy(), x @ one.a.numpy() @ one.b.numpy(), rtol=1e-14)


def test_dropout_acts_on_the_change_alone_and_only_while_training():
    model = learnt(lora(gpt(), "hidden", r=2, dropout=0.5))
    calm = model(IDS).numpy()
    assert np.array_equal(model(IDS).numpy(), calm)
    model.train()
    assert not np.array_equal(model(IDS).numpy(), calm)


def test_a_task_is_kept_as_its_own_arrays_and_put_on_another_copy_of_the_base(tmp_path):
    tuned = learnt(lora(gpt(), "qkv", r=2))
    save_trained(tuned, tmp_path / "task.safetensors", {"r": "2"})
    assert (tmp_path / "task.safetensors").stat().st_size < 8 * count_trainable(
        tuned
    ) + 2000  # arrays and a header
    other = lora(gpt(), "qkv", r=2, seed=5)
    read_trained(other, tmp_path / "task.safetensors")
    assert np.array_equal(other(IDS).numpy(), tuned(IDS).numpy())
    with pytest.raises(CheckpointError, match="missing blocks.0.feed_forward"):
        load_trained(lora(gpt(), "hidden", r=2), trained_state(tuned))
    with pytest.raises(CheckpointError, match="of another shape"):
        load_trained(lora(gpt(), "qkv", r=3), trained_state(tuned))


def in_the_old_layout(model, state):
    """A state as older versions named it: one matrix as one range of columns, a.0 and b.0."""
    old = dict(state)
    for prefix, _, _, part in places(model, LoRA):
        for letter in "ab":
            old[f"{prefix}.{letter}.0"] = old.pop(f"{prefix}.{letter}")
        old[f"{prefix}.columns"] = np.array([[0, part.b.shape[1]]])
    return old


def test_files_of_older_versions_load(tmp_path):
    tuned = learnt(lora(gpt(), "qkv", "hidden", r=2))
    path = tmp_path / "old.safetensors"
    write_safetensors(path, in_the_old_layout(tuned, trained_state(tuned)))
    other = lora(gpt(), "qkv", "hidden", r=2, seed=5)
    read_trained(other, path)
    assert np.array_equal(other(IDS).numpy(), tuned(IDS).numpy())
    whole = lora(gpt(), "qkv", "hidden", r=2, seed=6)
    whole.load_state_dict(in_the_old_layout(tuned, tuned.state_dict()))
    assert np.array_equal(whole(IDS).numpy(), tuned(IDS).numpy())


def test_packed_over_all_columns_is_the_plain_one():
    base, x = Linear(3, 5, Random(0), dtype=np.float64), Tensor(np.ones((2, 3)))
    plain = LoRA(base, 2, 4, Random(1))
    packed = PackedLoRA(base, [(0, 5)], 2, 4, Random(1))
    plain.b.data[...] = packed.b[0].data[...] = 1
    assert np.array_equal(packed(x).numpy(), plain(x).numpy())
    assert np.array_equal(packed.folded()[0], plain.folded()[0])


def test_a_second_change_goes_around_what_has_none():
    model = lora(lora(gpt(), "qkv", r=2), r=3)
    ranks = {name: part.a.shape[1] for name, _, _, part in places(model, LoRA)}
    assert len(ranks) == 8  # four maps in each of two layers, each changed once
    assert {name: r for name, r in ranks.items() if r == 2}.keys() == {
        "blocks.0.attention.qkv",
        "blocks.1.attention.qkv",
    }


def test_a_map_without_biases_is_merged_too():
    model = learnt(lora(gpt(bias=False), r=2))
    apart = model(IDS).numpy()
    np.testing.assert_allclose(merge(model)(IDS).numpy(), apart, rtol=0, atol=1e-12)


def test_unwrapping_without_merging_gives_the_base_back():
    model = gpt()
    before = model(IDS).numpy()
    unwrap(learnt(lora(model, r=2)), LoRA)
    assert np.array_equal(model(IDS).numpy(), before) and not places(model, LoRA)


def test_a_pattern_that_matches_nothing_is_refused_before_anything_changes():
    model = gpt()
    with pytest.raises(
        ConfigError, match="no part is named like qvk; there are blocks.0.attention.qkv"
    ):
        lora(model, "qvk")
    assert count_trainable(model) == model.count_parameters()
    with pytest.raises(ConfigError, match="rank 9"):
        lora(gpt(), "qkv", r=9)
    with pytest.raises(ConfigError, match="nothing to merge"):
        merge(gpt())


@pytest.mark.parametrize("kind, bytes_a_weight", [("Q8_0", 1.125), ("Q4_1", 0.75)])
def test_it_learns_over_a_frozen_quantized_base(kind, bytes_a_weight):
    sizes = dict(d_model=64, d_hidden=64, n_head=2)  # two blocks of 32: Q4 stores them in pairs
    model, floats = gpt(np.float32, **sizes), gpt(np.float32, **sizes)
    before, after = quantize_linears(model, kind=kind)
    assert before == 4 * 2 * 6 * 64 * 64  # qkv takes three squares of 64
    assert after == before / 4 * bytes_a_weight  # codes, and float32 scales (and offsets) of blocks
    for _, _, _, q in places(floats, Linear):
        packed = QuantizedLinear(q, kind)
        q.weight.data[...] = packed.matrix.dequantize().T  # the same values, as floats
    expected = floats(IDS).numpy()
    # The same sums of 64 terms, but BLAS may add them in another order: sqrt(64) roundings of 6e-8
    # of the logits' size in each of eight products one after the other, four a layer, make 4e-6;
    # measured 8e-7.
    assert np.allclose(model(IDS).numpy(), expected, rtol=0, atol=4e-6 * np.abs(expected).max())
    for m in (model, floats):
        lora(m, "qkv", "attention.out", r=4)
    quantized = model.blocks[0].attention.qkv.base
    codes = quantized.matrix.codes.copy()
    assert_only_these_learn(model, 2 * 4 * ((64 + 192) + (64 + 64)), learning_rate=0.01)
    assert_only_these_learn(floats, 2 * 4 * ((64 + 192) + (64 + 64)), learning_rate=0.01)
    assert np.array_equal(quantized.matrix.codes, codes)
    # the same training over the same values: apart by float32 rounding through six steps of Adam,
    # which divides by sqrt(v)
    assert np.allclose(model(IDS).numpy(), floats(IDS).numpy(), rtol=0, atol=1e-3)
    with pytest.raises(ConfigError, match="QuantizedLinear cannot take"):
        merge(model)


def test_a_model_without_linear_maps_is_refused_and_stays_trainable():
    model = gpt()
    prune(model, 0.5)  # its maps are seen through a mask now
    with pytest.raises(ConfigError, match="no Linear.*bake"):
        lora(model, r=2)
    assert trainable(model)


@pytest.mark.parametrize("change", [lambda model: houlsby(model, 2), ia3])
def test_what_would_train_nothing_is_refused(change):
    model = Classifier(encoder(), 2).out  # a Linear alone
    model.tokens, model.config = encoder().tokens, encoder().config
    with pytest.raises(ConfigError, match="nothing would be trained"):
        change(model)
    assert trainable(model)


class Bare(Module):
    """A language model of one parameter, without a stream of random numbers."""

    def __init__(self):
        self.table = Linear(5, 5, Random(0, "table"), bias=False, dtype=np.float64)

    def __call__(self, ids):
        return self.table(Tensor(np.eye(5)[ids]))  # (B, T) -> (B, T, 5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_module_without_random_numbers_is_trained_with_a_change_beside_it(dropout):
    model, rows = lora(Bare(), r=2, dropout=dropout), np.array([[0, 1, 2, 3], [4, 3, 2, 1]])
    assert len(random_streams(model)) == (dropout > 0)  # a stream of its own, only where it draws
    optimizer = AdamW(FlatParameters(trainable(model)))
    trainer = Trainer(model, CausalLM(), optimizer, lambda step, a, b: rows[a:b], 2, 0.05)
    first = trainer.advance().loss
    trainer.run(20)
    assert trainer.advance().loss < first
    again = lora(Bare(), r=2, dropout=dropout)
    draws = [lora(Bare(), r=2, dropout=dropout, seed=s).train()(rows).numpy() for s in (0, 0)]
    np.testing.assert_array_equal(*draws)  # the same seed, the same bits
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again.eval()(rows).numpy(), model.eval()(rows).numpy())
