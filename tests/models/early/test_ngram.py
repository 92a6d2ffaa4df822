"""n-gram models: counts by hand, sums of one, smoothing's limits, entropy of texts that are known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.autograd import cross_entropy, embedding
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import generate, generate_batch, perplexity
from tinylm.models.early.ngram import (
    SMOOTHINGS,
    NGramLM,
    best_by_counting,
    block_entropy,
    conditional_entropy,
    windows,
)
from tinylm.nn import normal_parameter
from tinylm.optim import Adam

ABRACADABRA = np.array([0, 1, 4, 0, 2, 0, 3, 0, 1, 4, 0])  # a b r a c a d a b r a


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.integers(1, 4),
    st.sampled_from(sorted(SMOOTHINGS)),
)
def test_probabilities_after_every_context_sum_to_one(tokens, order, smoothing):
    lm = NGramLM(order, 4, smoothing).fit(np.array(tokens))
    contexts = np.array(
        list(itertools.product(range(5), repeat=order - 1)), int
    )  # all, seen or not; 4 is the beginning
    p = lm.distribution(contexts)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-12)
    assert (p >= 0).all()
    if smoothing not in ("mle",):
        assert (p > 0).all()  # what was never seen is possible


def test_bigram_counts_by_hand():
    # After a (5 times, the last with nothing behind it): b twice, c once, d once.
    lm = NGramLM(2, 5, "mle").fit(ABRACADABRA)
    np.testing.assert_allclose(lm.distribution([0]), [0, 0.5, 0.25, 0.25, 0])
    np.testing.assert_allclose(lm.distribution([lm.bos]), [1, 0, 0, 0, 0])  # the text begins with a
    np.testing.assert_allclose(
        NGramLM(2, 5, "add_k", 0.5).fit(ABRACADABRA).prob([0], 1), (2 + 0.5) / (4 + 0.5 * 5)
    )
    # 0.7 * 2/4 + 0.3 * (0.7 * 2/11 + 0.3 * 1/5)
    np.testing.assert_allclose(
        NGramLM(2, 5, "interpolated").fit(ABRACADABRA).prob([0], 1),
        0.35 + 0.3 * (0.7 * 2 / 11 + 0.06),
    )
    assert lm.count_parameters() == 5 + 8  # a b c d r; ^a ab br ra ac ca ad da


def test_kneser_ney_counts_what_a_word_follows_not_how_often_it_stands():
    # "San Francisco" four times; "glasses" after two different words. Words: 0 San, 1 Francisco, 2
    # my, 3 your, 4 glasses.
    text = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 4, 3, 4])
    d = 0.5
    lm = NGramLM(2, 5, "kneser_ney", d).fit(text)
    # Bigram kinds: ^San, San Francisco, Francisco San, Francisco my, my glasses, glasses your, your
    # glasses: 7. Before San: ^ and Francisco (2), before Francisco: San (1), my 1, your 1, glasses
    # 2. At order 1, with 5 kinds of words:
    unigram = (np.array([2, 1, 1, 1, 2]) - d) / 7 + d * 5 / 7 / 5
    after_my = d * 1 / 1 * unigram  # seen once after "my", one kind: glasses
    after_my[4] += 1 - d
    np.testing.assert_allclose(lm.distribution([2]), after_my, rtol=1e-12)
    absolute = NGramLM(2, 5, "absolute", d).fit(text)
    assert lm.prob([2], 1) < lm.prob([2], 0)  # Francisco only ever follows San
    assert absolute.prob([2], 1) == absolute.prob([2], 0)  # by frequency the two are alike


def test_no_smoothing_at_zero_and_uniform_at_infinity():
    mle, contexts = NGramLM(2, 5, "mle").fit(ABRACADABRA), np.arange(5)[:, None]
    for smoothing, option, expected in (
        ("add_k", 1e-12, mle.distribution(contexts)),
        ("add_k", 1e12, 0.2),
        ("interpolated", 1.0, mle.distribution(contexts)),
    ):
        found = NGramLM(2, 5, smoothing, option).fit(ABRACADABRA).distribution(contexts)
        np.testing.assert_allclose(found, expected, atol=1e-11)


def test_discounts_are_estimated_from_what_was_seen_once_and_twice():
    lm = NGramLM(2, 5, "absolute").fit(
        ABRACADABRA
    )  # bigrams: ^a, ac, ca, ad, da once, ab, br, ra twice
    assert lm.options[1] == 5 / (5 + 2 * 3) and lm.options[0] == 2 / (
        2 + 2 * 2
    )  # words: c, d once, b, r twice


def test_counting_maximizes_the_likelihood_of_the_training_text(rng):
    lm = NGramLM(2, 5, "mle").fit(ABRACADABRA)
    best = lm.logprob(ABRACADABRA).sum()
    table = lm.distribution(np.arange(6)[:, None])
    before = np.concatenate([[5], ABRACADABRA[:-1]])
    np.testing.assert_allclose(np.log(table[before, ABRACADABRA]).sum(), best)
    for _ in range(50):
        moved = table * np.exp(0.1 * rng.normal(size=table.shape))
        moved /= moved.sum(-1, keepdims=True)
        assert np.log(moved[before, ABRACADABRA]).sum() < best


def test_a_network_that_maps_one_token_to_scores_learns_the_table_of_counts():
    scores = normal_parameter((5, 5), Random(0), 0.1, np.float64)
    optimizer = Adam([scores], lr=0.1)
    for _ in range(600):
        optimizer.zero_grad()
        cross_entropy(embedding(ABRACADABRA[:-1], scores), ABRACADABRA[1:]).backward()
        optimizer.step()
    p = np.exp(scores.numpy())
    p /= p.sum(-1, keepdims=True)
    # Zero counts are approached, not reached: their scores fall like the logarithm of the number of
    # steps.
    np.testing.assert_allclose(
        p, NGramLM(2, 5, "mle").fit(ABRACADABRA).distribution(np.arange(5)[:, None]), atol=0.01
    )


def test_an_unigram_model_is_the_frequencies_and_perplexity_is_that_of_the_definition():
    lm = NGramLM(1, 5, "mle").fit(ABRACADABRA)
    p = np.bincount(ABRACADABRA) / 11
    np.testing.assert_allclose(lm.distribution(np.zeros(0)), p)
    np.testing.assert_allclose(lm.perplexity(ABRACADABRA), np.exp(-(p * np.log(p)).sum()))


def test_sampled_text_has_the_frequencies_of_the_model():
    lm = NGramLM(2, 5, "mle").fit(ABRACADABRA)
    text = lm.sample(4000, Random(0), prompt=[0])
    after_a = text[1:][text[:-1] == 0]
    # about 1900 draws with p = 1/2, 1/4, 1/4: deviation below 0.0115; four of them
    np.testing.assert_allclose(
        np.bincount(after_a, minlength=5) / len(after_a), [0, 0.5, 0.25, 0.25, 0], atol=0.046
    )


def test_generate_decodes_from_counts():
    lm = NGramLM(3, 5, "kneser_ney").fit(ABRACADABRA)
    assert list(generate(lm, [0, 1], 2, temperature=0)) == [4, 0]  # ab -> r -> a
    batch = generate_batch(lm, [[0, 1], [2], [3, 0, 1, 4]], 5, seed=3)
    assert batch == [
        list(generate(lm, prompt, 5, seed=3 + r))
        for r, prompt in enumerate([[0, 1], [2], [3, 0, 1, 4]])
    ]


def test_logits_with_a_cache_are_those_without(rng):
    lm, tokens = NGramLM(3, 5, "absolute").fit(ABRACADABRA), rng.integers(0, 5, (2, 6))
    cache, whole = lm.new_cache(2), lm.logits(tokens)
    np.testing.assert_array_equal(
        np.concatenate([lm.logits(tokens[:, :4], cache), lm.logits(tokens[:, 4:], cache)], 1), whole
    )
    cache.crop(3)
    cache.select([1, 1])
    np.testing.assert_array_equal(lm.next_logits(tokens[[1, 1], 3:], cache), whole[[1, 1], -1])
    padded = lm.new_cache(1, np.array([2]))
    np.testing.assert_array_equal(
        lm.logits(np.concatenate([[[0, 0]], tokens[:1]], 1), padded)[:, 2:], whole[:1]
    )


def test_windows_begin_before_the_text():
    np.testing.assert_array_equal(windows([[5, 6, 7]], 2, 9), [[[9, 5], [5, 6], [6, 7]]])
    np.testing.assert_array_equal(
        windows([[5, 6, 7]], 1, 9, padding=np.array([1])), [[[9], [6], [7]]]
    )


def test_entropies_of_known_texts(rng):
    assert conditional_entropy([0], 0, 27) == np.log2(27)
    alternating = np.array([0, 1] * 50)
    assert (
        conditional_entropy(alternating, 1) == 1
        and abs(conditional_entropy(alternating, 2)) < 1e-12
    )
    uniform = rng.integers(
        0, 4, 20000
    )  # 3 * 4**2 degrees of freedom / (2 * 20000 ln 2) = 0.002 bits too low
    assert abs(conditional_entropy(uniform, 3) - 2) < 0.01
    assert block_entropy(uniform, 0) == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_entropy_given_more_of_the_past_never_rises(tokens):
    F = [conditional_entropy(tokens, n) for n in range(1, 6)]
    assert (
        all(later <= sooner + 1e-9 for sooner, later in zip(F, F[1:])) and F[-1] >= -1e-9
    )  # rounding of sums of logarithms


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="smoothing 'none' is not one of mle"):
        NGramLM(2, 5, "none")
    with pytest.raises(ConfigError, match="must fit 63 bits"):
        NGramLM(5, 50257)
    with pytest.raises(ConfigError, match="count first"):
        NGramLM(2, 5).prob([0], 1)
    with pytest.raises(DataError, match="token id 5 is outside the vocabulary of 5"):
        NGramLM(2, 5).fit([0, 5])
    with pytest.raises(ShapeError, match="cannot be cut to 3"):
        NGramLM(2, 5).new_cache(1).crop(3)


def test_perplexity_of_generate_agrees(rng):
    lm = NGramLM(3, 5).fit(ABRACADABRA)
    tokens = rng.integers(0, 5, 12)
    np.testing.assert_allclose(
        perplexity(lm, tokens), np.exp(-lm.logprob(tokens)[1:].mean())
    )  # x_0 is given there


def test_kneser_ney_of_order_3_backs_off_to_kinds_of_trigrams():
    """Nothing is discounted; "aa" was never seen, so what follows a is counted: ab after ^ and d,
    ac after r, ad after c.
    """
    lm = NGramLM(3, 5, "kneser_ney", 0.0).fit(ABRACADABRA)
    np.testing.assert_allclose(lm.distribution([0, 0]), [0, 0.5, 0.25, 0.25, 0], rtol=1e-12)
    # After "ra" the text went on with c once, and ended.
    np.testing.assert_allclose(lm.distribution([4, 0]), [0, 0, 1, 0, 0], rtol=1e-12)


def test_the_best_by_counting_is_the_best_order_in_bits_per_byte():
    text = "the cat sat on the mat; the dog sat on the cät. " * 6
    held_out = "the dog sat on the mat; the cät sat."
    ids = {c: i for i, c in enumerate(sorted(set(text)))}

    def bits(order):
        lm = NGramLM(order, len(ids)).fit([ids[c] for c in text])
        nats = -lm.logprob([ids[c] for c in held_out]).sum()
        return nats / np.log(2) / len(held_out.encode())

    expected = min((bits(order), order) for order in (2, 3, 4))
    assert best_by_counting(text, held_out, (2, 3, 4)) == pytest.approx(expected, rel=1e-12)


def test_orders_that_do_not_fit_are_left_out():
    # 3,000 characters: (V + 1)^5 fits 63 bits, (V + 1)^6 does not.
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    assert best_by_counting(text, text, (5, 6))[1] == 5
    assert str(best_by_counting("aaaa", "aa", (3,))[0]) == "0.0"
    with pytest.raises(ConfigError, match="no order of \\[6, 7\\] fits"):
        best_by_counting(text, text, (6, 7))
