"""The weights are those that the model's own operations mix its values by."""

import numpy as np
import pytest

from tinylm.autograd.engine.tensor import observers
from tinylm.errors import ShapeError
from tinylm.generate.measure.attention_paid import attention_weights
from tinylm.generate.measure.attention_traced import attention_rollout, traced_attention
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig

SIZES = {"vocab_size": 11, "n_layer": 2, "n_head": 4, "d_model": 32}
IDS = np.array([[3, 1, 4, 1, 5, 9, 2, 6]])


def gpt(**options):
    return GPT(GPTConfig(**SIZES, context=16, **options), 1, np.float64).eval()


MODELS = {
    "learned": lambda: gpt(),
    "rope, shared keys": lambda: gpt(positions="rope", n_kv_head=2),
    "alibi": lambda: gpt(positions="alibi"),
    "t5": lambda: gpt(positions="t5"),
    "window": lambda: gpt(positions="rope", attention="window", window=3),
    "qk norm": lambda: gpt(positions="rope", qk_norm="head"),
    "encoder": lambda: Encoder(EncoderConfig(**SIZES, context=16), 1, np.float64).eval(),
    "encoder, rope": lambda: Encoder(
        EncoderConfig(**SIZES, context=16, positions="rope"), 1, np.float64
    ).eval(),
}


def mixed(traced):
    """What the heads of an attention give: weights @ values, each head with its group's values."""
    B, H, T, S = traced.weights.shape
    values = np.repeat(traced.values, H // traced.values.shape[1], axis=1)
    return traced.weights @ values


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_mix_the_values_to_what_the_operation_returned(name):
    model, returned = MODELS[name](), []

    def keep(label, args, result, options):
        if label in ("attention", "self_attention"):
            returned.append(result.data)

    observers.append(keep)
    try:
        traced = traced_attention(lambda: model.hidden(IDS))
    finally:
        observers.remove(keep)
    assert len(traced) == len(returned) == SIZES["n_layer"]
    for found, result in zip(traced, returned):
        if result.ndim == 3:  # heads side by side: (B, T, H K) -> (B, H, T, K)
            result = result.reshape(*result.shape[:2], SIZES["n_head"], -1).swapaxes(1, 2)
        np.testing.assert_allclose(mixed(found), result, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.weights.sum(axis=-1), 1, rtol=1e-12)


@pytest.mark.parametrize("name", ["learned", "rope, shared keys", "window"])
def test_they_equal_those_that_attention_weights_gives(name):
    model = MODELS[name]()
    traced = traced_attention(lambda: model.hidden(IDS))
    expected = attention_weights(model, IDS)
    np.testing.assert_allclose([t.weights for t in traced], expected, rtol=1e-12)


def test_a_window_and_the_future_are_hidden():
    traced = traced_attention(lambda: MODELS["window"]().hidden(IDS))[0]
    far = ~np.broadcast_to(traced.seen, traced.weights.shape)
    assert traced.causal and (traced.weights[far] == 0).all() and far.sum() > 0
    i, j = np.indices(far.shape[2:])
    np.testing.assert_array_equal(~far[0, 0], (j <= i) & (i - j < 3))


def test_a_bias_by_position_is_handed_over():
    alibi = traced_attention(lambda: MODELS["alibi"]().hidden(IDS))[1]
    lower = np.tri(8, dtype=bool)
    i, j = np.indices((8, 8))
    # ALiBi with four heads: -(i - j) times 2^-2, 2^-4, 2^-6, 2^-8.
    slopes = 2.0 ** -np.array([2, 4, 6, 8])[:, None, None]
    bias = np.broadcast_to(alibi.bias, (1, 4, 8, 8)) if alibi.bias.ndim == 4 else alibi.bias
    np.testing.assert_allclose(np.squeeze(bias)[:, lower], (-(i - j) * slopes)[:, lower])
    assert traced_attention(lambda: MODELS["learned"]().hidden(IDS))[0].bias is None


def test_a_decoder_takes_turns_between_itself_and_its_source():
    config = Seq2SeqConfig(**SIZES, context=16, positions="t5")
    model = Seq2Seq(config, 1, np.float64).eval()
    shapes = [t.weights.shape[2:] for t in traced_attention(lambda: model(IDS, IDS[:, :5]))]
    assert shapes == [(8, 8)] * 2 + [(5, 5), (5, 8)] * 2


def test_rollout_multiplies_the_layers():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), (3, 2, 5))  # (L, H, T, T), rows sum to 1
    rolled = attention_rollout(weights)
    by_hand = np.eye(5)
    for layer in weights:
        by_hand = (0.5 * (layer[0] + layer[1]) / 2 + 0.5 * np.eye(5)) @ by_hand
    np.testing.assert_allclose(rolled[-1], by_hand)
    np.testing.assert_allclose(rolled.sum(axis=-1), 1)


def test_heads_that_look_at_themselves_pass_everything_on():
    alone = np.broadcast_to(np.eye(4), (3, 2, 4, 4))
    np.testing.assert_array_equal(attention_rollout(alone), np.broadcast_to(np.eye(4), (3, 4, 4)))


def test_rollout_is_of_self_attention():
    with pytest.raises(ShapeError, match="self-attention"):
        attention_rollout(np.ones((1, 1, 2, 3)))


def test_the_observer_leaves_with_the_call():
    with pytest.raises(ZeroDivisionError):
        traced_attention(lambda: 1 / 0)
    assert observers == []
