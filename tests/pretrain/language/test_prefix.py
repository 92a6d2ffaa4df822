"""Prefix LM: the mask, the two forms, and that the prefix is not scored."""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import decoder, encoder
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.denoising.seq2seq import seq2seq_batch
from tinylm.pretrain.language.prefix import PrefixLM, PrefixTask, prefix_mask, prefix_split
from tinylm.pretrain.visible import causal_mask, full_mask
from tinylm.pretrain.words import Words

PUPPIES = Words("The puppies are frolicking outside the house .")


@pytest.mark.parametrize("T", [1, 4, 7])
def test_the_mask_lies_between_causal_and_full(T):
    assert np.array_equal(prefix_mask(T, 0), causal_mask(T)) and np.array_equal(
        prefix_mask(T, 1), causal_mask(T)
    )
    assert np.array_equal(prefix_mask(T, T), full_mask(T))
    for k in range(T + 1):
        assert prefix_mask(T, k).sum() == T * (T + 1) // 2 + k * (k - 1) // 2
    assert np.array_equal(
        prefix_mask(T, np.arange(T)), np.stack([prefix_mask(T, k) for k in range(T)])
    )


def test_the_book_s_sentence_is_split_into_source_and_target():
    source, target = prefix_split(PUPPIES.ids("The puppies are frolicking outside the house ."), 4)
    batch = seq2seq_batch([(source, target)], PUPPIES.special, end=False)
    assert " ".join(PUPPIES.show(batch.inputs[0])) == "[CLS] The puppies are frolicking"
    assert " ".join(PUPPIES.show(batch.decoder[0])) == "<s> outside the house"
    assert " ".join(PUPPIES.show(batch.targets[0])) == "outside the house ."


def test_only_what_follows_the_prefix_is_predicted():
    x = np.array([[5, 6, 7, 8, 9]])
    batch = PrefixLM().with_prefix(x, np.array([3]))
    assert batch.inputs.tolist() == [[5, 6, 7, 8]] and batch.targets.tolist() == [
        [IGNORE, IGNORE, 8, 9]
    ]
    assert np.array_equal(batch.mask[0], prefix_mask(4, 3))


def test_a_prefix_of_one_token_is_causal_language_modeling():
    batch = PrefixLM(longest=0.0).make_batch(np.array([[5, 6, 7, 8, 9]]), Random(0))
    assert batch.targets.tolist() == [[6, 7, 8, 9]] and np.array_equal(
        batch.mask[0], causal_mask(4)
    )


def test_prefixes_are_of_every_length_and_leave_something_to_predict(rng):
    x = rng.integers(0, 9, (400, 6))
    counts = (PrefixLM().make_batch(x, Random(0)).targets != IGNORE).sum(1)
    assert set(counts) == {1, 2, 3, 4, 5}
    lengths = {
        len(PrefixTask()(row, np.full((5, 7), u))[0])
        for row, u in zip(x, np.linspace(0, 0.999, 400))
    }
    assert lengths == {1, 2, 3, 4, 5}


def test_the_prefix_is_seen_from_both_sides_and_the_rest_from_one():
    """Derivatives of hidden states by embeddings: the zero pattern is the mask."""
    model, k = encoder(languages=0, n_layer=2), 3
    batch = PrefixLM().with_prefix(np.array([[0, 1, 2, 3, 1, 0]]), np.array([k]))
    e = tl.Tensor(model.embed(batch.inputs).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    h = model.hidden(batch.inputs, mask=batch.mask)
    for i in range(5):
        (g,) = tl.grad(h[0, i, 0], [e], retain_graph=True)
        assert np.array_equal(np.abs(g.numpy()[0]).max(-1) > 1e-12, prefix_mask(5, k)[i])


def test_a_causal_model_is_refused():
    batch = PrefixLM().with_prefix(np.array([[0, 1, 2, 3]]), np.array([2]))
    with pytest.raises(ConfigError, match="attention is causal"):
        PrefixLM().loss(decoder(), batch)


def test_the_first_number_says_how_long_the_prefix_of_a_task_is():
    ids, draws = np.arange(10), np.full((5, 11), 0.5)
    for number, k in ((0.0, 1), (0.5, 5), (0.999, 9)):  # nine lengths, and one token is left
        draws[0, 0], draws[0, 1], draws[1, 0] = number, 1 - number, 1 - number
        source, target = PrefixTask()(ids, draws)
        assert source.tolist() == list(range(k)) and target.tolist() == list(range(k, 10))


@pytest.mark.parametrize(
    "shares, lengths",
    [((0.3, 0.6), {3, 4, 5, 6}), ((0.3, 0.3), {3}), ((1.0, 1.0), {9}), ((0.0, 0.0), {1})],
)
def test_a_prefix_takes_the_shares_asked_for_but_leaves_a_token(shares, lengths):
    found = set()
    for number in np.linspace(0, 0.999, 50):
        draws = np.full((5, 11), number)
        found.add(len(PrefixTask(*shares)(np.arange(10), draws)[0]))
    assert found == lengths
    # In one stack the prefix counts inputs: eleven tokens are ten inputs, all of them at most.
    rows = PrefixLM(*shares).make_batch(np.zeros((100, 11), int), Random(0))
    counts = (rows.targets == IGNORE).sum(1) + 1
    assert set(counts) == {10 if k == 9 else k for k in lengths}


def test_two_tokens_are_the_shortest_row():
    batch = PrefixLM().make_batch(np.array([[4, 7]]), Random(0))
    assert batch.inputs.tolist() == [[4]] and batch.targets.tolist() == [[7]]
    source, target = PrefixTask()(np.array([4, 7]), np.full((5, 3), 0.999))
    assert source.tolist() == [4] and target.tolist() == [7]
    with pytest.raises(ShapeError):
        PrefixLM().make_batch(np.array([[4]]), Random(0))
