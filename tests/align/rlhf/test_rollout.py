"""What is drawn is the policy's own distribution, and what is recorded of it is what is trained."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy
from tinylm.align.logprobs import frozen_logprobs
from tinylm.align.rlhf.rollout import check_prompts, roll_out, rounding, row_streams
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.instructions import InstructionTuning

PROMPTS = [[1], [2, 0], [1, 1, 2]]
SEEDS = [3, 1, 4]


def tokens_of(rollout, model, temperature=1.0):
    batch = InstructionTuning().make_batch(rollout.examples())
    logp, counted = frozen_logprobs(model, batch, temperature)
    return [row[held] for row, held in zip(logp, counted)]


def test_a_response_ends_with_its_mark_or_is_truncated():
    found = roll_out(gpt(), PROMPTS * 8, 4, list(range(24)), eos=0)
    assert found.truncated.any() and not found.truncated.all()
    for row, response, cut in zip(found.counted, found.responses, found.truncated):
        assert row.tolist() == [True] * len(response) + [False] * (4 - len(response))
        assert (response[-1] == 0) == (not cut)
        assert 0 not in response[:-1]
        assert not cut or len(response) == 4  # nothing is added at the end
    assert (found.ids[~found.counted] == 0).all()
    np.testing.assert_array_equal(found.lengths, [len(one) for one in found.responses])


def test_without_an_end_mark_no_response_is_truncated():
    found = roll_out(gpt(), PROMPTS, 3, SEEDS)
    assert found.counted.all() and not found.truncated.any()


def test_the_end_mark_may_be_the_id_that_fills_the_batch():
    """Which tokens are real is known by length: an end mark 0 is counted, the filling 0 is not."""
    model = gpt()
    found = roll_out(model, PROMPTS * 8, 4, list(range(24)), eos=0)
    assert not found.truncated.all()
    for response, cut in zip(found.responses, found.truncated):
        assert cut or response[-1:] == [0]
    for response, logs in zip(found.responses, tokens_of(found, model)):
        assert len(logs) == len(response)


@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.5])
def test_log_probabilities_while_drawing_are_those_of_a_forward_pass(temperature):
    """Cached and in one batch, against one pass over each row."""
    model = gpt()
    found = roll_out(model, PROMPTS, 4, SEEDS, eos=0, temperature=temperature)
    for drawn, held, logs in zip(found.drawn, found.counted, tokens_of(found, model, temperature)):
        np.testing.assert_allclose(drawn[held], logs, rtol=0, atol=1e-12)


def test_a_temperature_below_1_magnifies_rounding():
    assert rounding(np.float32) == rounding(np.float32, 2.0) == 1e-3
    assert rounding(np.float32, 0.1) == pytest.approx(1e-2)
    assert rounding(np.float64, 0.5) == pytest.approx(2e-9)


def test_a_response_does_not_depend_on_the_rows_beside_it():
    whole = roll_out(gpt(), PROMPTS, 4, SEEDS, eos=0)
    for r, prompt in enumerate(PROMPTS):
        alone = roll_out(gpt(), [prompt], 4, [SEEDS[r]], eos=0)
        assert alone.responses == [whole.responses[r]]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_responses_follow_the_policy_at_its_temperature(temperature):
    policy = ListedPolicy(gpt(vocab_size=2), [[1, 0]], 2, eos=0)
    n = 2000
    found = roll_out(policy.model, [[1, 0]] * n, 2, range(n), eos=0, temperature=temperature)
    wanted = np.exp(policy.logprobs(temperature).data[0])
    share = [np.mean([y == one for y in found.responses]) for one in ([0], [1, 0], [1, 1])]
    # four standard deviations of a share of n
    np.testing.assert_allclose(share, wanted, atol=4 * 0.5 / np.sqrt(n))


def test_the_streams_of_rows_do_not_depend_on_who_draws_them():
    whole = row_streams(1, 5, 0, 8)
    assert row_streams(1, 5, 3, 6) == whole[3:6]
    assert len(set(whole + row_streams(1, 6, 0, 8) + row_streams(2, 5, 0, 8))) == 24


def test_rows_are_taken_and_joined():
    found = roll_out(gpt(), PROMPTS, 4, SEEDS, eos=0)
    again = found.take(np.array([2])).joined(found.take(np.array([0, 1])))
    assert again.prompts == [PROMPTS[2], PROMPTS[0], PROMPTS[1]]
    assert again.responses == [found.responses[r] for r in (2, 0, 1)]
    np.testing.assert_array_equal(again.truncated, found.truncated[[2, 0, 1]])
    np.testing.assert_array_equal(again.drawn, found.drawn[[2, 0, 1]])
    assert len(again) == 3


def test_what_has_no_gradient_is_refused():
    with pytest.raises(ConfigError, match="no gradient"):
        roll_out(gpt(), PROMPTS, 4, SEEDS, temperature=0.0)
    with pytest.raises(ConfigError, match="max_tokens 0"):
        roll_out(gpt(), PROMPTS, 0, SEEDS)


def test_a_window_that_would_slide_is_refused():
    """21 tokens and 4 more, of which the last is not read: 24, as many as the context."""
    model = gpt(context=24)
    check_prompts(model, [[1] * 21], 4)
    check_prompts(model, [[1] * 20], 4, last=True)  # a reward is read at the last one, too
    with pytest.raises(DataError, match="has 21 tokens, and 4 are to follow"):
        check_prompts(model, [[1] * 21], 4, last=True)
    with pytest.raises(DataError, match="prompt 1 has 22 tokens"):
        check_prompts(model, [[1], [1] * 22], 4)
    with pytest.raises(DataError, match="prompt 0 is empty"):
        check_prompts(model, [[]], 4)


def test_rounding_is_that_of_the_dtype():
    assert rounding(np.float64) == 1e-9
    assert rounding(np.float32) == 1e-3
