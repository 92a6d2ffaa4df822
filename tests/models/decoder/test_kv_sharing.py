"""A GPT whose layers share keys and values in groups: what it computes, stores and refuses."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import attention
from tinylm.errors import ConfigError
from tinylm.finetune.compress.structured import keep_layers, remove_heads
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.prefix import hidden_prefix, key_value_prefix
from tinylm.finetune.peft.prompt_cache import PrefixedLM, prompt_keys_values
from tinylm.generate import ModelLM, cache_bytes
from tinylm.generate.fast.fastest import fastest
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.published.save import save_pretrained
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.attention.sharing import CrossLayerAttention
from tinylm.optim import AdamW

T = 7
TINY = dict(vocab_size=11, context=T, n_layer=4, n_head=4, n_kv_head=2, d_model=8)
EXACT = 1e-12  # float64, a few roundings of numbers near 1


def make(**options):
    """A GPT in float64 with weights large enough for attention that is not even."""
    model = GPT(GPTConfig(**TINY | dict(kv_sharing=2) | options), dtype=np.float64)
    for p in model.parameters():
        if p.ndim == 2:
            p.data[...] *= 20  # standard deviation 0.4
    return model


@pytest.fixture
def ids(rng):
    return rng.integers(0, 11, (2, T))


@pytest.mark.parametrize("share", [2, 3, 4])
def test_it_computes_cross_layer_attention(share, ids):
    model = make(kv_sharing=share, n_head=2, n_kv_head=2)
    x, pair = model.add_positions(model.tokens(ids), np.arange(T)), None
    for layer, block in enumerate(model.blocks):
        mine = block.attention
        plain = CrossLayerAttention(8, 2, tl.Random(0), 2, layer % share == 0, np.float64)
        W, b = (
            mine.qkv.weight.data,
            mine.qkv.bias.data,
        )  # (8, 8 + 16) of the first, (8, 8) of others
        plain.q.weight.data[...], plain.q.bias.data[...] = W[:, :8], b[:8]
        if plain.kv is not None:
            plain.kv.weight.data[...], plain.kv.bias.data[...] = W[:, 8:], b[8:]
        plain.out = mine.out
        y, pair = plain(block.norms[0](x), pair)
        x = x + y
        x = x + block.feed_forward(block.norms[1](x))
    expected = model.logits(model.norm(x)).numpy()
    np.testing.assert_allclose(model(ids).numpy(), expected, rtol=0, atol=EXACT)


def test_rotations_of_the_shared_keys_are_those_of_their_own_layer(ids):
    model = make(positions="rope")
    rotation = model.rotation(np.arange(T), np.float64)
    x, pair = model.add_positions(model.tokens(ids), np.arange(T)), None
    for layer, block in enumerate(model.blocks):
        a = block.attention
        q, k, v = split_heads(a.qkv(block.norms[0](x)), a.heads, a.kv_heads)
        q = tl.rotary(q, cos=rotation[0], sin=rotation[1])
        if layer % 2 == 0:
            pair = tl.rotary(k, cos=rotation[0], sin=rotation[1]), v
        x = x + a.out(merge_heads(attention(q, *pair, causal=True)))
        x = x + block.feed_forward(block.norms[1](x))
    expected = model.logits(model.norm(x)).numpy()
    np.testing.assert_allclose(model(ids).numpy(), expected, rtol=0, atol=EXACT)


VARIANTS = {
    "plain": {},
    "rope and windows": dict(positions="rope", attention=("full", "window"), window=3),
    "bias and cap": dict(positions="alibi", attention_cap=5.0),
    "normed queries": dict(qk_norm="width", norm_placement="parallel"),
    "odd group": dict(n_layer=5, kv_sharing=3),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_future_does_not_change_the_past(options, ids):
    model = make(**options)
    other = ids.copy()
    other[:, 4:] = (other[:, 4:] + 1) % 11
    a, b = model(ids).numpy(), model(other).numpy()
    assert (a[:, :4] == b[:, :4]).all() and (a[:, 4:] != b[:, 4:]).any()


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_cache_holds_the_first_layer_of_each_group_and_changes_nothing(options, ids):
    model = make(**options)
    offline, lm = model(ids).numpy(), ModelLM(model)
    for borders in ((0, T), (0, 1, 3, T), tuple(range(T + 1))):
        cache = lm.new_cache(2)
        parts = [lm.logits(ids[:, a:b], cache) for a, b in zip(borders, borders[1:])]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), offline, rtol=0, atol=EXACT)
        assert cache.bytes == cache_bytes(2, 2, 2, 2, T, 8)  # two groups in each of the variants
    assert fastest(lm) is lm  # the folded decoder expects keys and values in every layer


def test_the_closed_form_counts_what_is_built():
    choices = dict(kv_sharing=[1, 2, 3, 5], n_kv_head=[None, 1], qk_norm=[None, "head", "width"])
    choices |= dict(bias=[True, False], qkv_bias=[None, True], n_layer=[1, 4])
    for values in itertools.product(*choices.values()):
        config = GPTConfig(**TINY | dict(zip(choices, values)))
        assert count_parameters(config) == GPT(config).count_parameters(), config


def test_the_keys_of_a_group_get_the_gradients_of_all_its_layers(ids):
    model = make()
    first, second = model.blocks[0].attention, model.blocks[1].attention
    full = second.out.weight.data.copy()
    second.out.weight.data[...] = 0  # nothing of the second layer's attention is heard
    tl.cross_entropy(model(ids), ids).backward()
    alone = first.qkv.weight.grad.numpy().copy()
    model.zero_grad()
    second.out.weight.data[...] = full
    tl.cross_entropy(model(ids), ids).backward()
    keys = slice(8, None)  # columns after the queries'
    assert np.abs(first.qkv.weight.grad.numpy() - alone)[:, keys].max() > 1e-6
    assert second.qkv.weight.shape == (8, 8) and second.qkv.weight.grad is not None


def test_it_learns_a_batch_by_heart(ids):
    model = GPT(GPTConfig(**TINY | dict(kv_sharing=2, d_model=16)))
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(60):
        model.zero_grad()
        loss = tl.cross_entropy(model(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.numpy()))
    assert losses[0] > 2 and losses[-1] < 0.3  # log 11 = 2.4 at first


def test_configuration_and_weights_come_back(ids):
    model = make(attention=("full", "window"), window=3)
    config = GPTConfig(**json.loads(json.dumps(dataclasses.asdict(model.config))))
    assert config == model.config
    again = GPT(config, seed=5, dtype=np.float64)
    again.load_state_dict(model.state_dict())
    assert (again(ids).numpy() == model(ids).numpy()).all()


def test_what_cannot_hold_the_sharing_refuses_it_by_name(tmp_path):
    with pytest.raises(ConfigError, match="kv_sharing = 2"):
        save_pretrained(make(), tmp_path / "out")
    with pytest.raises(ConfigError, match="share keys and values"):
        remove_heads(make(), {0: [0]})
    with pytest.raises(ConfigError, match="share keys and values"):
        keep_layers(make(), [0, 2])
    with pytest.raises(ConfigError, match="share keys and values"):
        hidden_prefix(make(), 2)
    with pytest.raises(ConfigError, match="kv_sharing = 0 must be at least 1"):
        GPTConfig(**TINY, kv_sharing=0)
    with pytest.raises(ConfigError, match="layer 1 reads the keys of layer 0"):
        GPTConfig(**TINY, kv_sharing=2, positions="rope", rotation=("rope", "none"))


def test_a_layer_without_its_group_is_named(ids):
    model = make()
    with pytest.raises(ConfigError, match="queries only"):
        model.blocks[1](model.tokens(ids))
    model.blocks[2] = lambda x, **options: x  # as a layer that is skipped
    with pytest.raises(ConfigError, match="layer 3 reads the keys and values of layer 2"):
        model(ids)


def test_a_prompt_as_a_learned_prefix_is_the_prompt(ids):
    model = make()
    keys_values = prompt_keys_values(model, ids[0, :3])
    assert keys_values.shape == (2, 2, 2, 3, 2)  # groups, keys and values, G, n, K
    expected = model(ids[:1]).numpy()[:, 3:]
    lm = PrefixedLM(model, keys_values)
    np.testing.assert_allclose(lm.logits(ids[:1, 3:]), expected, rtol=0, atol=EXACT)
    tuned = key_value_prefix(model, start=keys_values)
    np.testing.assert_allclose(tuned(ids[:1, 3:]).numpy(), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("adapt", [ia3, lambda model: lora(model, "qkv", r=2)])
def test_adapters_begin_with_the_model_itself(adapt, ids):
    model = make()
    expected = model(ids).numpy()
    tuned = adapt(model)
    np.testing.assert_allclose(tuned(ids).numpy(), expected, rtol=0, atol=EXACT)
    tl.cross_entropy(tuned(ids), ids).backward()
    assert all(p.grad is not None for p in tuned.parameters() if p.requires_grad)
