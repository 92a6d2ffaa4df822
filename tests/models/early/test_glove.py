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
