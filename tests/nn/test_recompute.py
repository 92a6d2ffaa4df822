"""Blocks that are computed twice give the same bits, and keep less."""

import tracemalloc

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import first_order_only
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.generate.cache import KeyValueCache
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn.recompute import recompute_blocks

V, B = 11, 3
SIZES = dict(n_layer=3, n_head=2, d_model=8)


def gpt(**options):
    return lambda: GPT(GPTConfig(vocab_size=V, context=300, **SIZES | options), seed=1)


def encoder(**options):
    return lambda: Encoder(EncoderConfig(V, 20, head="token", **SIZES | options), seed=1)


def t5():
    c = Seq2SeqConfig(V, 20, positions="t5", norm="rms", bias=False, dropout=0.2, **SIZES)
    return Seq2Seq(c, seed=1)


MODELS = {
    "gpt": (gpt(), 10),
    "gpt with dropout": (gpt(dropout=0.2), 10),
    "long rows, whose attention goes in blocks": (gpt(), 300),
    "rotary, rms, gated": (gpt(positions="rope", norm="rms", activation="swiglu", bias=False), 10),
    "a bias of scores that is learnt": (gpt(positions="t5", dropout=0.1), 10),
    "post-norm": (gpt(norm_placement="post"), 10),
    "sandwich": (gpt(norm_placement="sandwich"), 10),
    "two branches at once": (gpt(norm_placement="parallel", dropout=0.1), 10),
    "grouped heads and windows": (
        gpt(n_head=4, n_kv_head=2, attention=("window", "full"), window=4),
        10,
    ),
    "experts without a penalty": (gpt(feed_forward=("experts",), experts=3), 10),
    "bert": (encoder(dropout=0.1), 12),
    "layers with one set of weights": (encoder(layer_groups=1), 12),
}


def gradients(model, T, seed=0):
    """(loss, {name: gradient}) of a step in training."""
    model.train()
    rng = np.random.default_rng(seed)
    ids, weights = rng.integers(0, V, (B, T)), rng.normal(size=(B, T, V)).astype(np.float32)
    with first_order_only():
        loss = (model(ids) * weights).sum()
    loss.backward()
    named = model.named_parameters().items()
    return loss.data, {name: p.grad.data for name, p in named if p.grad is not None}


def same(one, other):
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1].keys() == other[1].keys() and len(one[1]) > 3
    for name, array in one[1].items():
        assert array.tobytes() == other[1][name].tobytes(), name


@pytest.mark.parametrize("kind", MODELS)
def test_losses_and_gradients_are_the_same_bits(kind):
    make, T = MODELS[kind]
    same(gradients(make(), T), gradients(recompute_blocks(make()), T))


def test_blocks_that_read_an_encoder_and_share_a_bias_are_computed_twice_too():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, V, (B, 7)), rng.integers(0, V, (B, 5))
    weights = rng.normal(size=(B, 5, V)).astype(np.float32)
    found = []
    for model in (t5().train(), recompute_blocks(t5()).train()):
        loss = (model(source, target) * weights).sum()
        loss.backward()
        found.append((loss.data, {n: p.grad.data for n, p in model.named_parameters().items()}))
    same(*found)


def test_the_two_models_of_electra_are_computed_twice():
    shape = EncoderConfig(V, 20, head="token", **SIZES)
    model = recompute_blocks(Electra(EncoderConfig(V, 20, head="replaced", **SIZES), shape))
    marked = [module for module in model.modules() if getattr(module, "recompute", False)]
    assert len(marked) == 2 * SIZES["n_layer"]


def test_second_derivatives_go_through_a_block_that_is_computed_twice():
    ids = np.random.default_rng(0).integers(0, V, (2, 6))
    found = []
    for model in (gpt()().train(), recompute_blocks(gpt()()).train()):
        table = model.tokens.weight
        (g,) = tl.grad(model(ids)[0, 0, 0], [table], create_graph=True)
        (g * g).sum().backward()
        found.append(table.grad.data)
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-7)


def test_a_step_keeps_less_memory():
    def peak(model):
        gradients(model, 64)  # what is made once is there
        tracemalloc.start()
        try:
            gradients(model, 64)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    deep = gpt(n_layer=12, d_model=16)
    # Of twelve blocks' results those of one stay, and twelve inputs.
    assert peak(recompute_blocks(deep())) < 0.5 * peak(deep())


def test_outside_of_training_nothing_is_computed_twice():
    calls = []
    model = recompute_blocks(gpt()()).eval()
    block = model.blocks[0]
    inner = block.feed_forward

    def counted(x):
        calls.append(1)
        return inner(x)

    block.feed_forward = counted
    model(np.zeros((1, 3), int)).sum().backward()
    assert len(calls) == 1
    model.train()(np.zeros((1, 3), int)).sum().backward()
    assert len(calls) == 3


def test_a_cache_is_filled_once():
    model, ids = recompute_blocks(gpt()()).train(), np.arange(6)[None]
    cache = KeyValueCache(SIZES["n_layer"], 1, SIZES["n_head"], 4)
    model(ids[:, :4], cache)
    rest = model(ids[:, 4:], cache)
    np.testing.assert_allclose(rest.data, model(ids).data[:, 4:], rtol=1e-4, atol=1e-6)
    assert cache.length == 6


def test_models_that_cannot_are_refused_by_name():
    xlnet = XLNet(XLNetConfig(V, **SIZES))
    with pytest.raises(ConfigError, match="XLNet has no blocks of one stream"):
        recompute_blocks(xlnet)
    shared = gpt(n_layer=4, kv_sharing=2)()
    with pytest.raises(ConfigError, match="share keys and values"):
        recompute_blocks(shared)
    assert not any(block.recompute for block in shared.blocks)  # refused before anything is set


def test_the_names_of_parameters_and_the_random_numbers_stay():
    plain, twice = gpt(dropout=0.5)(), recompute_blocks(gpt(dropout=0.5)())
    assert list(plain.named_parameters().keys()) == list(twice.named_parameters().keys())
    gradients(plain, 10)
    gradients(twice, 10)
    assert isinstance(twice.rng, Random) and plain.rng.counter == twice.rng.counter
