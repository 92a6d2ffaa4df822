"""GloVe: counts and weights by hand, a perfect fit, and the likeness of words used alike."""

import numpy as np
import pytest

from tinylm.errors import DataError
from tinylm.models.early.glove import GloVe, cooccurrences, pair_weights
from tinylm.models.early.word2vec import cosine
from tinylm.optim import Adam


def fitted(counts, d_model, steps=600, lr=0.05):
    i, j = np.nonzero(counts)
    model = GloVe(len(counts), d_model, dtype=np.float64)
    optimizer = Adam(model.named_parameters(), lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        loss = model.loss(i, j, counts[i, j], most=10.0)
        loss.backward()
        optimizer.step(lr * (1 - step / steps))
    return model, loss.item()


def test_nearer_words_count_more():
    i, j, counts = cooccurrences([0, 1, 2], 2, 3)
    assert dict(zip(zip(i.tolist(), j.tolist()), counts)) == {
        (0, 1): 1,
        (1, 0): 1,
        (1, 2): 1,
        (2, 1): 1,
        (0, 2): 0.5,
        (2, 0): 0.5,
    }
    with pytest.raises(DataError, match="have no pair"):
        cooccurrences([0], 2, 3)


def test_weights_grow_to_one():
    np.testing.assert_allclose(
        pair_weights(np.array([0.0, 1.0, 16.0, 20.0]), most=16.0), [0, 1 / 8, 1, 1]
    )  # (1/16)^(3/4) = 1/8


def test_with_enough_dimensions_every_count_is_met():
    counts = np.random.default_rng(0).integers(1, 20, (4, 4)).astype(float)
    model, loss = fitted(counts, 4)
    assert loss < 1e-6  # four dimensions and biases hold any table of four words
    i, j = np.nonzero(counts)
    np.testing.assert_allclose(np.exp(model.scores(i, j).numpy()), counts[i, j], rtol=1e-3)


def test_pairs_that_never_occur_are_not_listed_and_weigh_nothing():
    i, j, counts = cooccurrences([0, 1, 0, 1, 3], 1, 5)
    assert 2 not in i and 4 not in j and (counts > 0).all()


def test_words_used_alike_get_vectors_alike():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 2, 4000)  # words 0-2 stand beside 6-8, words 3-5 beside 9-11
    text = np.stack(
        [groups * 3 + rng.integers(0, 3, 4000), 6 + groups * 3 + rng.integers(0, 3, 4000)], 1
    ).reshape(-1)
    i, j, counts = cooccurrences(text, 1, 12)
    table = np.zeros((12, 12))
    table[i, j] = counts
    model, _ = fitted(table, 3)
    near = cosine(model.words.numpy())
    assert near[0, 1:3].min() > near[0, 3:6].max()


def test_the_loss_of_two_pairs_by_hand():
    """f(X) (w . w~ + b + b~ - log X)^2, added up."""
    model = GloVe(2, 2, dtype=np.float64)
    model.words.data[...] = [[1, 2], [0, 1]]
    model.contexts.data[...] = [[3, -1], [2, 2]]
    model.word_bias.data[...] = [[0.5], [0]]
    model.context_bias.data[...] = [[0.25], [-1]]
    i, j, counts = np.array([0, 1]), np.array([0, 1]), np.array([16.0, 1024.0])
    assert model.scores(i, j).numpy().tolist() == [1.75, 1.0]  # 3 - 2 + 0.75 and 0 + 2 - 1
    # 16 of at most 256 weigh (1/16)^(3/4) = 1/8, 1024 weigh 1
    expected = (1.75 - np.log(16)) ** 2 / 8 + (1 - np.log(1024)) ** 2
    assert model.loss(i, j, counts, most=256.0).item() == pytest.approx(expected, rel=1e-12)
    assert model.vectors().tolist() == [[4, 1], [2, 3]]  # w + w~


def test_vectors_start_with_half_the_unit_length_and_biases_at_0():
    model = GloVe(200, 50, dtype=np.float64)
    for table in (model.words, model.contexts):
        # entries of deviation 50^-1/2 / 2; the mean square of 10^4 is within 4 sqrt(2 / 10^4)
        assert np.mean(table.numpy() ** 2) * 200 == pytest.approx(1, abs=4 * np.sqrt(2e-4))
    assert not np.array_equal(model.words.numpy(), model.contexts.numpy())
    assert not model.word_bias.numpy().any() and not model.context_bias.numpy().any()


def test_a_window_reaches_as_far_as_the_text_does():
    i, j, counts = cooccurrences([0, 1, 0], 9, 3)
    # 0 1 and 1 0 next to each other on either side; 0 and 0 at distance 2, in both directions
    assert sorted(zip(i.tolist(), j.tolist(), counts)) == [(0, 0, 1), (0, 1, 2), (1, 0, 2)]
