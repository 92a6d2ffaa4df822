"""Attention weights are those that the model computes with, and shares of them add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.measure.attention_paid import attention_weights, share_of_first
from tinylm.models import GPT, GPTConfig

V, T = 6, 7


def model(**options):
    """Two layers in float64, away from the start, where attention is nearly uniform."""
    settings = {"n_layer": 2, "n_head": 4, "d_model": 8, "positions": "rope"} | options
    made = GPT(GPTConfig(V, T, **settings), seed=1, dtype=np.float64)
    rng = np.random.default_rng(2)
    for p in made.parameters():
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    return made


def ids_of(seed=0, rows=3):
    return np.random.default_rng(seed).integers(0, V, (rows, T))


@pytest.mark.parametrize("heads", [4, 2, 1])
def test_values_weighted_by_them_are_what_the_layer_returns(heads, device):
    gpt, ids = model(n_kv_head=heads).to(device), to_device(ids_of(), device)
    into = []
    first = gpt.blocks[0].attention
    inner = first.out
    first.out = lambda y: into.append(y.data) or inner(y)
    gpt.hidden(ids)
    first.out = inner
    stream = gpt.blocks[0].norms[0](gpt.tokens(ids))
    values = to_cpu(first.qkv(stream).data)[..., -heads * 2 :]  # (B, T, G K), K = 2
    values = values.reshape(3, T, heads, 2).transpose(0, 2, 1, 3).repeat(4 // heads, axis=1)
    weights = to_cpu(attention_weights(gpt, ids))[0]  # (B, H, T, T)
    mixed = (weights @ values).transpose(0, 2, 1, 3).reshape(3, T, 8)
    np.testing.assert_allclose(mixed, to_cpu(into[0]), rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 20), layers=st.integers(1, 3))
def test_every_query_pays_one_and_nothing_to_the_future(seed, layers):
    weights = attention_weights(model(n_layer=layers), ids_of(seed))
    assert weights.shape == (layers, 3, 4, T, T)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)
    assert (np.triu(weights, 1) == 0).all() and (weights >= 0).all()


def test_watching_does_not_change_the_later_layers():
    gpt, ids = model(), ids_of()
    gpt.blocks[1].attention.qkv.weight.data[...] *= 3
    before = attention_weights(gpt, ids)
    np.testing.assert_array_equal(attention_weights(gpt, ids), before)
    # the second layer reads what the first one makes: the same as without watching
    stream = gpt.blocks[0](
        gpt.tokens(ids), rotation=gpt.rotation(np.arange(T), np.dtype(np.float64))
    )
    alone = model(n_layer=1)
    alone.blocks = gpt.blocks[1:]
    alone.tokens = lambda _: stream
    np.testing.assert_allclose(attention_weights(alone, ids)[0], before[1], rtol=1e-12)


def test_a_window_hides_what_lies_before_it():
    weights = attention_weights(model(attention="window", window=3), ids_of())
    assert (np.tril(weights, -3) == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)


def test_shares_of_the_first_tokens_by_hand():
    weights = np.zeros((1, 2, 1, 4, 4))
    weights[0, 0, 0, 2:] = [0.5, 0.25, 0.25, 0]
    weights[0, 1, 0, 2:] = [0.1, 0.3, 0.6, 0]
    np.testing.assert_allclose(share_of_first(weights), [[0.3]])  # (0.5 + 0.1) / 2
    np.testing.assert_allclose(share_of_first(weights, 2), [[0.575]])  # (0.75 + 0.4) / 2
    np.testing.assert_allclose(share_of_first(weights, 3, 3), [[1.0]])


@pytest.mark.parametrize("count, start", [(0, 2), (3, 2), (1, 4)])
def test_queries_before_the_first_tokens_are_refused(count, start):
    with pytest.raises(ShapeError, match="count <= start < T"):
        share_of_first(np.ones((1, 1, 1, 4, 4)) / 4, count, start)


def test_scores_with_a_cap_or_a_bias_are_refused():
    for options in ({"attention_cap": 5.0}, {"positions": "alibi"}, {"kv_sharing": 2}):
        with pytest.raises(ConfigError, match="plain attention"):
            attention_weights(model(**options), ids_of())
