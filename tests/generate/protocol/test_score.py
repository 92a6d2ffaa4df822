"""Scores of strings: the chain rule, padding, the start token, perplexity, and the most probable
string.
"""

import itertools
import math

import numpy as np
import pytest

from tinylm.autograd import cross_entropy
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import EnumerableLM, ModelLM, generate
from tinylm.generate.protocol.score import (
    conditional_logprob,
    exhaustive_map,
    perplexity,
    sequence_logprob,
    token_logprobs,
)
from tinylm.optim import AdamW, FlatParameters


def train_a_little(model, ids, steps=60):
    flat = FlatParameters(model.named_parameters())
    optimizer = AdamW(flat)
    for _ in range(steps):
        flat.zero_grad()
        cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
        optimizer.step(2e-2)


@pytest.mark.parametrize("trained", [False, True], ids=["untrained", "trained"])
def test_probabilities_of_all_strings_over_three_letters_sum_to_one(gpt, trained):
    model = gpt(vocab_size=3, context=4)
    if trained:
        train_a_little(model, np.array([[0, 1, 2, 0, 1], [0, 2, 2, 1, 0]]))
        assert sequence_logprob(model, [0, 1, 2, 0, 1]) > math.log(
            0.2
        )  # chance is 1/81, the best is 1/2
    strings = np.array(
        [(0, *rest) for rest in itertools.product(range(3), repeat=4)]
    )  # 81 of them after x_0 = 0
    assert abs(np.exp(sequence_logprob(model, strings)).sum() - 1) < 1e-12


def test_with_an_end_token_finished_strings_and_unfinished_mass_sum_to_one(gpt):
    model, eos, T = gpt(vocab_size=3, context=4), 2, 4
    finished = [(0, *rest, eos) for n in range(T) for rest in itertools.product(range(2), repeat=n)]
    unfinished = [(0, *rest) for rest in itertools.product(range(2), repeat=T)]
    mass = sum(math.exp(sequence_logprob(model, string)) for string in finished + unfinished)
    assert abs(mass - 1) < 1e-12


def test_the_logprob_is_the_log_of_the_product_and_does_not_underflow(gpt):
    lm = ModelLM(gpt(context=2000))
    ids = np.random.default_rng(0).integers(0, 5, 2001)
    terms = sequence_logprob(lm, ids, reduction="none")
    np.testing.assert_allclose(
        sequence_logprob(lm, ids[:9]), math.log(np.prod(np.exp(terms[:8]))), rtol=1e-12
    )
    assert np.prod(np.exp(terms)) == 0.0  # 5^-2000 is far below the smallest float64
    assert (
        -2000 * 10 < sequence_logprob(lm, ids) < -2000
    )  # log 5 = 1.6 a token, spread parameters make it more


def test_the_start_token_gets_no_term_but_matters(gpt):
    terms = sequence_logprob(gpt(), [0, 1, 2], reduction="none")
    assert terms.shape == (2,)
    assert sequence_logprob(gpt(), [3]) == 0.0
    assert sequence_logprob(gpt(), [3], reduction="none").shape == (0,)  # x_0 alone: no terms
    assert (sequence_logprob(gpt(), [4, 1, 2], reduction="none") != terms).all()


@pytest.mark.parametrize("pad", [0, 3])
def test_padding_changes_nothing(gpt, pad):
    model, rows = gpt(), [[0, 1, 2, 3], [4, 1], [2], [0, 3, 3, 2, 1, 4]]  # the last is full
    padded = np.array([row + [pad] * (6 - len(row)) for row in rows])
    lengths = [4, 2, 1, 6]
    sums = sequence_logprob(model, padded, lengths)
    np.testing.assert_allclose(
        sums, [sequence_logprob(model, row) for row in rows], rtol=0, atol=1e-12
    )
    assert (sequence_logprob(model, padded, lengths, reduction="none")[1, 1:] == 0).all()


def test_conditional_logprob_is_the_difference_of_two_sequence_logprobs(gpt):
    x, y = [0, 3, 1], [2, 2, 4]
    together = sequence_logprob(gpt(), x + y) - sequence_logprob(gpt(), x)
    assert abs(conditional_logprob(gpt(), x, y) - together) < 1e-12
    assert conditional_logprob(gpt(), x, []) == 0
    assert conditional_logprob(gpt(), x, y, reduction="none").shape == (3,)


def test_perplexity_of_a_uniform_model_is_the_vocabulary_size():
    uniform = EnumerableLM([np.full((4,) * (i + 1), 0.25) for i in (1, 2, 3)])
    for stride in 1, 2, 3:
        assert abs(perplexity(uniform, [0, 1, 2, 3, 3, 2, 1, 0], stride) - 4) < 1e-12


def test_perplexity_of_a_long_text_scores_each_token_once_with_what_fits_before_it(gpt):
    lm, ids = ModelLM(gpt(context=4)), np.random.default_rng(2).integers(0, 5, 11)
    for stride in 1, 3, 4:
        total = 0.0
        for first in range(1, 11, stride):
            last = min(first + stride, 11)
            for i in range(first, last):  # windows of 5 tokens end where the stride ends
                total += conditional_logprob(lm, ids[max(0, last - 5) : i], ids[i : i + 1])
        assert abs(perplexity(lm, ids, stride) - math.exp(-total / 10)) < 1e-9


def garden_path():
    """b looks better than c, but what follows b is undecided: Pr(b .) = .6 * .5, Pr(c c) = .4 * .9."""
    first = np.tile([0.0, 0.6, 0.4], (3, 1))
    second = np.tile([1.0, 0.0, 0.0], (3, 3, 1))
    second[:, 1] = [0.5, 0.5, 0.0]
    second[:, 2] = [0.05, 0.05, 0.9]
    return EnumerableLM([first, second])


def test_greedy_is_not_always_the_most_probable_string():
    lm = garden_path()
    greedy = list(generate(lm, [0], 2, temperature=0))
    best, score = exhaustive_map(lm, [0], 2)
    assert greedy == [1, 0] and best == (2, 2)
    assert math.isclose(math.exp(conditional_logprob(lm, [0], greedy)), 0.30, rel_tol=1e-12)
    assert math.isclose(math.exp(score), 0.36, rel_tol=1e-12)


def test_the_exhaustive_search_finds_the_best_of_all_strings_also_early_ended_ones():
    lm = EnumerableLM.random(4, 3, seed=6, eos=3)
    strings, probabilities = lm.all_strings(bos=1)
    best, score = exhaustive_map(lm, [1], 3, eos=3)
    assert math.isclose(math.exp(score), probabilities.max(), rel_tol=1e-12)
    assert (*best, 3, 3, 3)[:3] == tuple(strings[probabilities.argmax()])


class Counted:
    """A language model that counts the strings it is asked to score."""

    def __init__(self, lm):
        self.lm, self.vocab_size, self.context, self.asked = lm, lm.vocab_size, lm.context, 0
        self.new_cache, self.next_logits = lm.new_cache, lm.next_logits

    def logits(self, tokens, cache=None):
        self.asked += len(tokens)
        return self.lm.logits(tokens, cache)


def test_a_string_ends_with_its_first_end_token_and_is_tried_once():
    # The model goes on after token 2: .5 that it comes first, then every token is as likely.
    first = np.tile([0.25, 0.25, 0.5], (3, 1))
    tables = [first, np.full((3, 3, 3), 1 / 3), np.full((3, 3, 3, 3), 1 / 3)]
    lm = Counted(EnumerableLM(tables))
    best, score = exhaustive_map(lm, [0], 3, eos=2)
    assert best == (2,) and math.isclose(math.exp(score), 0.5, rel_tol=1e-12)
    # Ended by the first token: 1; by the second: 2; of three tokens: 2 * 2 * 3.
    assert lm.asked == 1 + 2 + 12
    # Without an end token 2 is a token like the others: .5 / 9 for each of the strings after it.
    best, score = exhaustive_map(lm, [0], 3)
    assert best == (2, 0, 0) and math.isclose(math.exp(score), 0.5 / 9, rel_tol=1e-12)


def test_as_many_strings_as_the_limit_are_tried_and_no_more(monkeypatch):
    lm = EnumerableLM([np.full((3,) * (i + 1), 1 / 3) for i in (1, 2)])
    monkeypatch.setattr("tinylm.generate.protocol.score.MOST_STRINGS", 9)
    assert len(exhaustive_map(lm, [0], 2)[0]) == 2  # 3^2 strings
    monkeypatch.setattr("tinylm.generate.protocol.score.MOST_STRINGS", 8)
    with pytest.raises(ConfigError, match=r"3\^2 strings are too many"):
        exhaustive_map(lm, [0], 2)


def test_of_equally_probable_strings_the_first_in_the_order_of_ids_is_returned():
    uniform = EnumerableLM([np.full((3,) * (i + 1), 1 / 3) for i in (1, 2)])
    assert exhaustive_map(uniform, [1], 2)[0] == (0, 0)
    # The first string tried, (0,), has probability 0: log Pr -inf is beaten by any other.
    assert exhaustive_map(EnumerableLM([np.tile([0.0, 1.0], (2, 1))]), [0], 1)[0] == (1,)


def test_perplexity_takes_any_text_that_has_a_term(gpt):
    lm = EnumerableLM([np.tile([0.2, 0.8], (2, 1))])
    assert math.isclose(perplexity(lm, [0, 1]), 1 / 0.8, rel_tol=1e-12)  # one term: 1 / Pr
    for ids in [0], [[0, 1]]:
        with pytest.raises(ShapeError, match="at least 2 tokens"):
            perplexity(lm, ids)
    endless = ModelLM(gpt(context=16))
    endless.context = None  # reads any length: the window is the whole text, 2 terms here
    assert perplexity(endless, [0, 1, 2], stride=2) == perplexity(endless, [0, 1, 2])
    with pytest.raises(ConfigError, match="stride 3 is not between 1 and the context, 2"):
        perplexity(endless, [0, 1, 2], stride=3)


def test_bad_input_is_refused(gpt):
    with pytest.raises(DataError, match="token id 9 is outside the vocabulary of 5"):
        sequence_logprob(gpt(), [0, 9])
    with pytest.raises(ShapeError, match="at least x_0"):
        sequence_logprob(gpt(), [])
    with pytest.raises(ShapeError, match="at least x_0"):
        sequence_logprob(gpt(), [[[0, 1]]])
    with pytest.raises(ShapeError, match="context of 8"):
        sequence_logprob(gpt(), [0] * 10)
    with pytest.raises(ShapeError, match="lengths"):
        sequence_logprob(gpt(), [[0, 1]], lengths=[3])
    with pytest.raises(ShapeError, match="context x is empty"):
        conditional_logprob(gpt(), [], [1])
    with pytest.raises(ConfigError, match="stride 9"):
        perplexity(gpt(), [0, 1, 2], stride=9)
    with pytest.raises(ConfigError, match="too many"):
        exhaustive_map(gpt(), [0], 9)


def test_logprobs_of_many_tokens_are_those_of_each(rng):
    logits, targets = rng.normal(size=(7, 2**19)), rng.integers(0, 2**19, 7)  # two rows at a time
    each = [token_logprobs(row[None], [target])[0] for row, target in zip(logits, targets)]
    np.testing.assert_array_equal(token_logprobs(logits, targets), each)
    # the log of the mean of e^x, x normal, is 0.5; over 2^19 of them its standard error is 0.002
    np.testing.assert_allclose(
        each, logits[np.arange(7), targets] - math.log(2**19) - 0.5, rtol=0, atol=0.02
    )
