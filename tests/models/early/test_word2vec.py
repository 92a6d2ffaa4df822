"""Skip-gram and CBOW: pairs by hand, the loss, its optimum, and vectors of words used alike."""

import numpy as np
import pytest

import tinylm as tl
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.models.early.word2vec import (
    CBOW,
    SkipGram,
    cbow_windows,
    cosine,
    draw_words,
    expected_loss,
    log_sigmoid,
    negative_sampling_loss,
    noise_distribution,
    skip_gram_pairs,
    subsample,
)
from tinylm.optim import Adam


def minimize(loss, parameters, steps, lr=0.05):
    optimizer = Adam(parameters, lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return value.item()


def test_pairs_and_windows_by_hand():
    pairs = sorted(zip(*(part.tolist() for part in skip_gram_pairs([7, 8, 9], 2))))
    assert pairs == [(7, 8), (7, 9), (8, 7), (8, 9), (9, 7), (9, 8)]
    contexts, centers = cbow_windows([1, 2, 3, 4], 1)
    assert contexts.tolist() == [[1, 3], [2, 4]] and centers.tolist() == [2, 3]
    with pytest.raises(ConfigError, match="gives no pair"):
        skip_gram_pairs([1], 2)


def test_the_loss_of_one_pair_by_hand():
    v = np.array([[1.0, 2.0]])
    u = np.array([[0.5, 0.5]])
    drawn = np.array([[[1.0, 0.0], [0.0, -1.0], [2.0, 1.0]]])
    s = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    # u.v = 1.5; drawn . v = 1, -2 and 4
    expected = -np.log(s(1.5)) - np.log(s(-1.0)) - np.log(s(2.0)) - np.log(s(-4.0))
    np.testing.assert_allclose(
        negative_sampling_loss(*map(tl.Tensor, (v, u, drawn))).item(), expected
    )
    np.testing.assert_allclose(
        log_sigmoid(tl.Tensor(np.array([-800.0, 0.0, 800.0]))).numpy(), [-800, -np.log(2), 0]
    )


def test_a_context_is_the_mean_of_its_words_by_hand():
    """Words around 0 and 1 with vectors (1, 0) and (3, 4): their mean is (2, 2)."""
    model = CBOW(3, 2, dtype=np.float64)
    model.words.data[...] = [[1, 0], [3, 4], [9, 9]]
    model.outputs.data[...] = [[0.5, -1], [1, 0], [0.25, 0.25]]
    contexts, centers, drawn = np.array([[0, 1]]), np.array([2]), np.array([[0, 1]])
    assert model.hidden(contexts).numpy().tolist() == [[2, 2]]
    s = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    # the center's u.h = 1; the drawn ones' are -1 and 2
    by_hand = -np.log(s(1.0)) - np.log(s(1.0)) - np.log(s(-2.0))
    assert model.loss(contexts, centers, drawn).item() == pytest.approx(by_hand, rel=1e-12)
    chances = np.exp([-1.0, 2.0, 1.0])  # u.h of all three words
    softmax_loss = -np.log(chances[2] / chances.sum())
    assert model.softmax_loss(contexts, centers).item() == pytest.approx(softmax_loss, rel=1e-12)


@pytest.mark.parametrize("kind", [SkipGram, CBOW])
def test_vectors_start_with_length_1_on_average(kind):
    model = kind(200, 50, dtype=np.float64)
    for table in (model.words, model.outputs):
        # entries of deviation 50**-0.5; the mean square of 10**4 is within 4 sqrt(2 / 10**4)
        assert np.mean(table.numpy() ** 2) * 50 == pytest.approx(1, abs=4 * np.sqrt(2e-4))
    assert not np.array_equal(model.words.numpy(), model.outputs.numpy())
    same, other = (kind(200, 50, seed=seed, dtype=np.float64).words.numpy() for seed in (0, 1))
    assert np.array_equal(model.words.numpy(), same)
    assert not np.array_equal(model.words.numpy(), other)


def test_noise_lies_between_frequencies_and_even_and_is_what_is_drawn():
    p = noise_distribution([16, 1])
    np.testing.assert_allclose(p, [8 / 9, 1 / 9])  # 16**0.75 = 8
    drawn = draw_words(p, (20000,), Random(0))
    assert abs((drawn == 0).mean() - 8 / 9) < 0.009  # four deviations of sqrt(8/81 / 20000)
    assert noise_distribution([1, 0]).tolist() == [1, 0]  # one word, seen once, is all the noise
    with pytest.raises(DataError, match="all counts are zero"):
        noise_distribution([0, 0])


def test_subsampling_thins_out_frequent_words_only():
    text = np.array([0] * 9000 + [1] * 1000)
    # sqrt(0.1 / 0.9) = 1/3 stay of word 0; all of word 1
    kept = subsample(text, Random(0), threshold=0.1)
    assert (kept == 1).sum() == 1000
    assert abs((kept == 0).sum() - 3000) < 180  # four deviations of sqrt(9000 * 2/9) = 45
    assert subsample(np.zeros(0, int), Random(0)).tolist() == []


def test_sampled_losses_average_to_the_expected_loss(rng):
    # Every center and context once, many draws: the mean of the sampled loss is the exact
    # expectation.
    model, counts = SkipGram(4, 3, dtype=np.float64), rng.integers(1, 5, (4, 4))
    centers, contexts = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices((4, 4)))
    noise, K, n = noise_distribution(counts.sum(0)), 3, 800
    exact = expected_loss(model.words @ model.outputs.T, counts, K, noise).item()
    drawn = draw_words(noise, (n * len(centers), K), Random(1))
    sampled = model.loss(np.tile(centers, n), np.tile(contexts, n), drawn).item()
    # Losses of single pairs vary by less than 1 here, so the mean of 800 * 40 of them by less than
    # 1/sqrt(32000) = 0.0056
    assert abs(sampled - exact) < 4 * 0.0056


def test_negative_sampling_factorizes_pointwise_mutual_information(rng):
    # Levy & Goldberg 2014: with unigram noise and enough dimensions, u_o . v_c = PMI(c, o) - log K.
    counts, K = rng.integers(1, 20, (4, 4)).astype(float), 2
    model, noise = SkipGram(4, 4, dtype=np.float64), counts.sum(0) / counts.sum()
    minimize(
        lambda: expected_loss(model.words @ model.outputs.T, counts, K, noise),
        model.parameters(),
        1500,
        lr=0.03,
    )
    pmi = np.log(counts * counts.sum() / np.outer(counts.sum(1), counts.sum(0)))
    np.testing.assert_allclose((model.words @ model.outputs.T).numpy(), pmi - np.log(K), atol=1e-3)


def test_a_full_softmax_reaches_the_conditional_entropy_of_the_corpus(rng):
    centers, contexts = skip_gram_pairs(rng.integers(0, 4, 30), 1)
    counts = np.zeros((4, 4))
    np.add.at(counts, (centers, contexts), 1)
    p = counts / counts.sum(1, keepdims=True)
    entropy = -(counts / counts.sum() * np.log(np.where(p > 0, p, 1))).sum()
    model = SkipGram(4, 4, dtype=np.float64)
    assert (
        entropy
        <= minimize(lambda: model.softmax_loss(centers, contexts), model.parameters(), 800)
        < entropy + 0.002
    )


@pytest.mark.parametrize("kind", [SkipGram, CBOW])
def test_words_used_alike_get_vectors_alike(kind):
    # Twelve words in four classes of three; a text walks through the classes and picks any word of
    # each.
    rng = np.random.default_rng(0)
    text = (np.arange(4000) % 4) * 3 + rng.integers(0, 3, 4000)
    model, noise, stream = kind(12, 6, seed=1), noise_distribution(np.bincount(text)), Random(2)
    pairs = skip_gram_pairs(text, 1) if kind is SkipGram else cbow_windows(text, 1)
    # a third will do; 3 shares no factor with the period of the text
    pick = np.arange(0, len(pairs[0]), 3)
    minimize(
        lambda: model.loss(
            pairs[0][pick], pairs[1][pick], draw_words(noise, (len(pick), 4), stream)
        ),
        model.parameters(),
        80,
    )
    similar, same = cosine(model.words.numpy()), np.arange(12)[:, None] // 3 == np.arange(12) // 3
    within = similar[same & ~np.eye(12, dtype=bool)]
    assert within.mean() > similar[~same].mean() + 0.5


def test_repeated_words_collect_all_their_gradients():
    model = SkipGram(3, 2, dtype=np.float64)
    model.softmax_loss(np.array([1, 1]), np.array([0, 2])).backward()
    first = model.words.grad.numpy().copy()
    model.zero_grad()
    for context in (0, 2):  # the mean of two pairs: half of each
        (model.softmax_loss(np.array([1]), np.array([context])) * 0.5).backward()
    np.testing.assert_allclose(model.words.grad.numpy(), first, rtol=1e-12)
