"""Encoders whose queries and keys turn, in the place of learned positions."""

import numpy as np
import pytest

from tests.models.encoder.test_encoder import EXACT, IDS, embedded, model
from tinylm.autograd import Tensor, softmax
from tinylm.autograd.check.gradcheck import gradcheck
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.compress.early_exit import EarlyExit, unchanged_for
from tinylm.finetune.compress.length_adaptive import shortened
from tinylm.finetune.peft.prefix import hidden_prefix
from tinylm.models.encoder.encoder import EncoderConfig
from tinylm.models.published.published_form import published_form

ROPE = dict(positions="rope", segments=0)


def test_only_the_order_of_tokens_counts_and_not_where_they_begin():
    rope = model(**ROPE)
    h = rope.hidden(IDS).numpy()
    np.testing.assert_allclose(rope.hidden(IDS, positions=np.arange(5) + 40).numpy(), h, atol=EXACT)
    order = np.array([3, 0, 4, 1, 2])
    moved = rope.hidden(IDS[:, order], positions=order).numpy()
    np.testing.assert_allclose(moved, h[:, order], rtol=0, atol=EXACT)
    assert np.abs(rope.hidden(IDS[:, order]).numpy() - h[:, order]).max() > 1e-3
    assert rope.positions is None


def test_padding_in_front_or_behind_changes_nothing():
    rope = model(**ROPE)
    alone = rope.hidden(IDS[:1]).numpy()
    for front, behind in ((2, 0), (0, 2), (1, 1)):
        padded = np.pad(IDS[:1], ((0, 0), (front, behind)), constant_values=6)
        mask = np.pad(np.ones((1, 5), bool), ((0, 0), (front, behind)))
        found = rope.hidden(padded, mask=mask).numpy()[:, front : front + 5]
        np.testing.assert_allclose(found, alone, rtol=0, atol=EXACT)


def test_scores_are_those_of_complex_numbers_that_turn():
    """The first layer's attention by hand: pair i of a head is a complex number, and turns by
    position * base^(-2i/K).
    """
    rope = model(n_layer=1, **ROPE)
    c, block = rope.config, rope.blocks[0]
    x = rope.embed(IDS[:1]).numpy()[0]  # (T, D)
    H, K = c.n_head, c.d_model // c.n_head
    qkv = x @ block.attention.qkv.weight.numpy() + block.attention.qkv.bias.numpy()
    q, k, v = (part.reshape(5, H, K).swapaxes(0, 1) for part in np.split(qkv, 3, axis=1))
    angles = np.arange(5)[:, None] * 10000.0 ** (-np.arange(0, K, 2) / K)
    cos, sin = rope.rotation(IDS[:1])
    np.testing.assert_allclose(cos + 1j * sin, np.exp(1j * angles), rtol=0, atol=EXACT)
    half = K // 2  # the library pairs channel i with i + K/2
    turned = [(z[..., :half] + 1j * z[..., half:]) * np.exp(1j * angles) for z in (q, k)]
    scores = np.real(turned[0] @ turned[1].conj().swapaxes(1, 2)) / np.sqrt(K)
    heads = softmax(Tensor(scores), axis=-1).numpy() @ v  # (H, T, K)
    merged = heads.swapaxes(0, 1).reshape(5, H * K)
    expected = merged @ block.attention.out.weight.numpy() + block.attention.out.bias.numpy()
    found = block.attention(Tensor(x[None]), rotation=(cos, sin)).numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_gradients():
    rope = model(n_layer=1, **ROPE)
    assert gradcheck(lambda e: embedded(rope, e), rope.embed(IDS[:1]).numpy())


def test_leaving_early_is_leaving_in_the_table_of_all_exits():
    exits = EarlyExit(model(n_layer=3, **ROPE), 2, seed=1)
    mask = np.array([[False, True, True, True, True], [True] * 5])
    every = exits(IDS, mask=mask).numpy()
    logits, layers = exits.infer(IDS, unchanged_for(1), mask)
    np.testing.assert_allclose(logits, every[layers - 1, np.arange(2)], rtol=0, atol=1e-10)


def test_what_has_no_meaning_with_it_is_refused():
    with pytest.raises(ConfigError, match="an even number"):
        EncoderConfig(positions="rope", d_model=6, n_head=2)
    with pytest.raises(ConfigError, match="not one of learned, rope"):
        EncoderConfig(positions="alibi")
    rope = model(**ROPE)
    with pytest.raises(ShapeError, match="do not fit the context"):
        rope.hidden(np.ones((1, rope.config.context + 1), int))
    with pytest.raises(ConfigError, match="learned positions only"):
        shortened(rope, IDS, [4] * rope.config.n_layer)
    with pytest.raises(ConfigError, match="key_value_prefix"):
        hidden_prefix(model(**ROPE), 2)
    with pytest.raises(ConfigError, match="positions = 'rope' is in no bert"):
        published_form(model(activation="gelu", **ROPE))
