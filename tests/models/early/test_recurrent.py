"""Recurrent language models: states of one size, reading in parts, padding, decoding, learning."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.generate import generate, generate_batch
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM, detach
from tinylm.optim import AdamW
from tinylm.pretrain import CausalLM

KINDS = ("rnn", "gru", "lstm", "mamba")


def model(cell="lstm", n_layer=2, **options):
    return RecurrentLM(
        RecurrentConfig(7, 8, n_layer, cell, d_state=4, **options), seed=0, dtype=np.float64
    )


@pytest.mark.parametrize("cell", KINDS)
def test_logits_do_not_see_the_future_and_go_on_from_a_state(rng, cell):
    lm, ids = model(cell), rng.integers(0, 7, (2, 9))
    whole = lm(ids).numpy()
    first, state = lm.read(ids[:, :4])
    rest, _ = lm.read(ids[:, 4:], detach(state))
    np.testing.assert_allclose(
        np.concatenate([first.numpy(), rest.numpy()], 1), whole, rtol=1e-10, atol=1e-12
    )
    assert whole.shape == (2, 9, 7)


@pytest.mark.parametrize("cell", KINDS)
def test_the_state_has_the_same_bytes_however_much_was_read(rng, cell):
    lm, sizes = model(cell), set()
    cache = lm.new_cache(1)
    for T in (1, 30, 200):
        lm.next_logits(rng.integers(0, 7, (1, T)), cache)
        sizes.add(cache.bytes)
    # per layer: H numbers, 2 H for the LSTM; Mamba: E = 16 channels, 3 inputs of the convolution
    # and 4 states each
    assert (
        sizes == {2 * 8 * {"rnn": 8, "gru": 8, "lstm": 16, "mamba": 16 * (3 + 4)}[cell]}
        and cache.length == 231
    )


@pytest.mark.parametrize("cell", KINDS)
def test_a_batch_generates_what_each_prompt_gives_alone(cell):
    lm, prompts = model(cell), [[1, 2, 3, 4, 5], [6], [0, 3, 3]]
    assert generate_batch(lm, prompts, 6, seed=4) == [
        list(generate(lm, p, 6, seed=4 + r)) for r, p in enumerate(prompts)
    ]


def test_a_cut_cache_reads_again_and_rows_can_be_chosen(rng):
    lm, ids = model(), rng.integers(0, 7, (2, 8))
    whole, cache = lm.logits(ids), lm.new_cache(2)
    lm.logits(ids[:, :6], cache)
    cache.crop(4)
    np.testing.assert_allclose(lm.logits(ids[:, 4:6], cache), whole[:, 4:6], rtol=1e-10, atol=1e-12)
    cache.select([1, 1, 0])
    np.testing.assert_allclose(
        lm.next_logits(ids[[1, 1, 0], 6:], cache), whole[[1, 1, 0], -1], rtol=1e-10, atol=1e-12
    )


def test_padding_is_not_read_wherever_the_columns_are_cut(rng):
    lm, ids = model("gru"), rng.integers(0, 7, (1, 5))
    padded, alone = np.concatenate([rng.integers(0, 7, (1, 3)), ids], 1), lm.logits(ids)
    for cut in (1, 3, 5):
        cache = lm.new_cache(1, np.array([3]))
        out = np.concatenate(
            [lm.logits(padded[:, :cut], cache), lm.logits(padded[:, cut:], cache)], 1
        )
        np.testing.assert_allclose(out[:, 3:], alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell,tied", [("lstm", True), ("gru", False)])
def test_it_learns_a_cycle(cell, tied):
    lm, objective = RecurrentLM(RecurrentConfig(5, 12, 1, cell, tied=tied), seed=0), CausalLM()
    optimizer = AdamW(lm.named_parameters(), lr=0.02, weight_decay=0.0)
    batch = objective.make_batch(np.arange(24)[None] % 5)
    for _ in range(80):
        optimizer.zero_grad()
        loss, _ = objective.loss(lm, batch)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert list(generate(lm, [3], 4, temperature=0)) == [4, 0, 1, 2]


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="cell 'elman' is not one of rnn, gru, lstm, mamba"):
        model("elman")
    with pytest.raises(DataError, match="token id 9 is outside the vocabulary of 7"):
        model().next_logits([[9]])


def test_layers_stand_around_a_residual_stream():
    """A layer that gives back what it reads doubles a stream of norm 1, which the last norm undoes:
    the logits are the products of the embeddings.
    """
    lm = RecurrentLM(RecurrentConfig(3, 4, 2), dtype=np.float64)
    signs = np.array([[1.0, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])  # mean 0, variance 1
    lm.tokens.weight.data[...] = signs
    lm.layers = [lambda x, state: (x, state)] * 2
    logits = lm(np.array([[0, 1, 2]])).numpy()[0]
    np.testing.assert_allclose(logits, 4 * np.eye(3), rtol=1e-4, atol=1e-12)  # norms add 1e-5
