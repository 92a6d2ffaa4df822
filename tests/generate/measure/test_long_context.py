"""Measurements of long context agree with their definitions where the answer is known."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.data.synthetic import long_tasks
from tinylm.errors import DataError, ShapeError
from tinylm.generate import ModelLM, generate, perplexity, sequence_logprob
from tinylm.generate.measure import long_context
from tinylm.generate.measure.long_context import (
    answers_right,
    chunk_losses,
    forgetting_curve,
    last_losses,
)


class Scores:
    """A language model that is a function of the tokens read: ids (B, T) -> logits (B, T, V)."""

    context = None

    def __init__(self, vocab_size, function):
        self.vocab_size, self.function = vocab_size, function

    def new_cache(self, batch, padding=None):
        raise NotImplementedError

    def logits(self, tokens, cache=None):
        return self.function(tokens)

    def next_logits(self, tokens, cache=None):
        return self.function(tokens)[:, -1]


def one_hot(ids, vocab_size):
    return np.eye(vocab_size)[ids]


def test_a_uniform_model_costs_log_v_at_every_context():
    lm = Scores(7, lambda ids: np.zeros((*ids.shape, 7)))
    ids = np.random.default_rng(0).integers(0, 7, (20, 13))  # 20 rows: more than one batch
    for context in (3, 7, 12):
        np.testing.assert_allclose(
            last_losses(lm, ids, 3, context), np.full((20, 3), np.log(7)), rtol=1e-12
        )
    np.testing.assert_allclose(chunk_losses(lm, ids, 4), np.full((20, 12), np.log(7)), rtol=1e-12)


def test_with_the_whole_text_before_them_losses_are_those_of_the_text():
    model, ids = make_gpt(context=16), np.random.default_rng(1).integers(0, 5, (3, 13))
    whole = -sequence_logprob(model, ids, reduction="none")  # (3, 12)
    np.testing.assert_allclose(last_losses(model, ids, 4), whole[:, -4:], rtol=1e-12)
    np.testing.assert_allclose(chunk_losses(model, ids, 12), whole, rtol=1e-12)


def test_one_target_given_c_tokens_is_the_sliding_window_of_stride_one():
    model, ids, c = make_gpt(context=4), np.random.default_rng(2).integers(0, 5, 12), 4
    losses = [
        last_losses(model, ids[None, max(0, i - c) : i + 1], 1).item() for i in range(1, len(ids))
    ]
    assert np.exp(np.mean(losses)) == pytest.approx(
        perplexity(ModelLM(model), ids, stride=1), rel=1e-12
    )


def test_pieces_are_read_one_without_the_other():
    model, ids = make_gpt(context=4), np.random.default_rng(3).integers(0, 5, (2, 13))
    losses = chunk_losses(model, ids, 4)  # three pieces: the context of 4 is never exceeded
    np.testing.assert_allclose(
        losses[:, 4:8], -sequence_logprob(model, ids[:, 4:9], reduction="none"), rtol=1e-12
    )
    with pytest.raises(ShapeError, match="pieces of 5"):
        chunk_losses(model, ids, 5)
    with pytest.raises(ShapeError, match="targets <= context"):
        last_losses(model, ids, 4, 3)


def test_a_row_is_right_where_greedy_decoding_writes_its_answer():
    model, rng = make_gpt(context=16), np.random.default_rng(4)
    prompts = rng.integers(0, 5, (12, 6))
    greedy = np.stack([list(generate(ModelLM(model), row, 3, temperature=0)) for row in prompts])
    greedy[::2, 1] = (greedy[::2, 1] + 1) % 5  # every other answer is wrong in its middle
    right = answers_right(model, np.concatenate([prompts, greedy], axis=1), 3)
    assert right.tolist() == [False, True] * 6


def test_whoever_looks_the_key_up_finds_all_and_a_guess_one_in_ten_to_the_digits():
    digits, V = 2, long_tasks.WORDS + 8

    def look_up(ids):
        """After the n-th token since the second mark: what stood there after the first; without two
        marks, a mark.
        """
        scores = 0.5 * one_hot(np.full(ids.shape, long_tasks.MARK), V)
        for row, tokens in enumerate(ids):
            first, question = np.flatnonzero(tokens == long_tasks.MARK)[[0, -1]]
            for step in range(ids.shape[1] - question if first < question else 0):
                scores[row, question + step, tokens[first + 1 + step]] = 1
        return scores

    rng = np.random.default_rng(5)
    ids = long_tasks.pass_key(long_tasks.random_hay(4000, 20), rng.integers(0, 21, 4000), digits)
    assert answers_right(Scores(V, look_up), ids, digits).all()
    assert not answers_right(
        Scores(V, look_up), long_tasks.without_needle(ids, digits), digits
    ).any()
    guess = answers_right(
        Scores(V, lambda x: np.random.default_rng(6).random((*x.shape, V)) * (np.arange(V) < 10)),
        ids,
        digits,
    )
    # Binomial of 4000 with 1/100: 40, standard deviation 6.3; the fixed scores of a batch of 16
    # double it. Four of them.
    assert abs(guess.sum() - 40) < 4 * 2 * 6.3


def test_without_memory_the_forgetting_curve_is_zero_and_a_copier_has_all_of_it():
    text, n = np.random.default_rng(7).integers(0, 9, 400), 20
    copies, controls = long_tasks.repeated_passages(text, 40, n)
    memoryless = Scores(9, lambda ids: one_hot((ids + 1) % 9, 9))  # looks at the last token alone
    copied, known = forgetting_curve(memoryless, copies, controls)
    # The first target of a half follows the first half, which differs; the other 19 of 20 are given
    # the same token.
    assert abs(copied - known) <= 1 / n
    copier = Scores(
        9, lambda ids: one_hot(np.roll(ids, n - 1, axis=1), 9)
    )  # what stood n before the target
    copied, known = forgetting_curve(copier, copies, controls)
    assert copied == 1 and known < 0.2  # 1/9 by chance
    with pytest.raises(DataError, match="same passages"):
        forgetting_curve(copier, copies, controls[:, ::-1])


def test_a_window_of_attention_cannot_answer_from_beyond_its_receptive_field():
    # Two layers that see 4 tokens each reach 2 * 3 = 6 tokens back; the key lies at least 12 before
    # the question.
    model = make_gpt(
        long_tasks.WORDS + 4, context=64, attention="window", window=4, positions="rope"
    )
    ids = long_tasks.pass_key(long_tasks.random_hay(8, 20, words=4), 3)
    other = ids.copy()
    other[:, 4:7] = (other[:, 4:7] + 1) % 10  # another key in the text
    lm = ModelLM(model)
    assert np.array_equal(lm.logits(ids[:, :-1])[:, -3:], lm.logits(other[:, :-1])[:, -3:])
    assert not np.array_equal(lm.logits(ids[:, :-1])[:, :12], lm.logits(other[:, :-1])[:, :12])


def test_each_token_is_judged_by_itself():
    lm = Scores(3, lambda ids: one_hot(np.zeros_like(ids), 3))
    assert long_context.predicted_right(lm, np.array([[0, 0, 1, 0]]), 3).tolist() == [
        [True, False, True]
    ]


def test_weights_read_on_under_interpolation_and_twice_the_positions_are_then_the_trained_ones():
    # Position interpolation by 2: position 2t turns as t did in training, so no angle is new up to
    # twice the length.
    trained = make_gpt(context=16, positions="rope")
    ids = np.random.default_rng(8).integers(0, 5, (2, 7))
    for scaling, stretch in (
        (None, 1),
        ({"name": "linear", "factor": 2.0}, 2),
        ({"name": "yarn", "factor": 1.0, "trained": 8}, 1),
    ):
        adapted = make_gpt(context=16, positions="rope", rope_scaling=scaling, seed=1)
        adapted.load_state_dict(trained.state_dict())
        np.testing.assert_allclose(
            adapted(ids, positions=stretch * np.arange(7)).data, trained(ids).data, atol=1e-12
        )
