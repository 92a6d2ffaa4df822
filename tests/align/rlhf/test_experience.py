"""Log-probabilities, values and rewards of responses stand at their own tokens."""

import numpy as np
import pytest

from tests.align.rlhf.small import critic, experience_of, listed, rollout_of
from tests.align.small import gpt
from tinylm.align.rlhf import experience
from tinylm.align.rlhf.experience import assess, make_policy_batch
from tinylm.align.rlhf.methods import A2C, RLOO
from tinylm.align.rlhf.models import FourModels
from tinylm.errors import DataError
from tinylm.generate import ModelLM
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain.batch import IGNORE

POLICY = listed()  # [0], [1, 0] and [1, 1] after the prompt [1, 0]; 0 ends a response
ROWS = np.arange(3)
REFERENCE = gpt(vocab_size=2, seed=3)
SCORES = np.array([1.0, -0.5, 2.0])


def assessed(value=None, policy=POLICY, **options):
    models = FourModels(policy.model, None, REFERENCE, value)
    rollout = rollout_of(policy, ROWS, temperature=options.get("temperature", 1.0))
    return assess(models, rollout, SCORES, **options)


def by_hand(model, response):
    """log-probabilities of a response's tokens, from one next-token distribution at a time."""
    found, text = [], [1, 0]
    for token in response:
        logits = ModelLM(model).next_logits(np.array([text]))[0]
        found.append(logits[token] - np.log(np.exp(logits).sum()))
        text.append(token)
    return found


@pytest.mark.parametrize("name, model", [("old", POLICY.model), ("reference", REFERENCE)])
def test_log_probabilities_are_those_of_the_tokens(name, model):
    found = getattr(assessed(), name)
    for row, response in zip(found, ([0], [1, 0], [1, 1])):
        np.testing.assert_allclose(row[: len(response)], by_hand(model, response), atol=1e-12)
    assert found[0, 1] == 0  # nothing counts there


def test_values_are_of_the_state_before_each_token():
    """V(s_t) reads x and y_<t alone: for y_1 the prompt."""
    value = critic()
    found = assessed(value).values
    np.testing.assert_allclose(found[:, 0], value(np.array([[1, 0]])).data[0, -1], atol=1e-12)
    np.testing.assert_allclose(found[1:, 1], value(np.array([[1, 0, 1]])).data[0, -1], atol=1e-12)
    assert found[0, 1] == 0


def test_responses_are_evaluated_alike_in_batches_of_any_size():
    one, other = assessed(critic(), batch_size=1), assessed(critic(), batch_size=3)
    for name in ("old", "reference", "values"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)


def test_old_log_probabilities_are_taken_without_dropout():
    policy = listed()
    policy.model = GPT(GPTConfig(2, 24, 1, 2, 8, dropout=0.5), 0, np.float64)
    policy.model.train()
    again = [assessed(policy=policy, temperature=2.0).old for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert policy.model.training


def test_the_reward_stands_at_the_last_token_and_the_penalty_at_every_one():
    found = assessed()
    assert found.rewards().tolist() == [[1.0, 0], [0, -0.5], [0, 2.0]]
    d = found.old - found.reference
    np.testing.assert_allclose(found.rewards(0.5), found.rewards() - 0.5 * d, atol=1e-15)
    np.testing.assert_allclose(found.divergence(), d.sum(axis=1), rtol=1e-14)


def test_a_truncated_response_may_have_a_reward_of_its_own():
    """[1, 1] has no end mark: nothing is put there, and its last token gets the reward."""
    found = assessed()
    assert found.rollout.truncated.tolist() == [False, False, True]
    assert found.rewards(missing_end=-3.0).tolist() == [[1.0, 0], [0, -0.5], [0, -3.0]]


def test_another_sampler_than_the_policy_is_found():
    models = FourModels(REFERENCE, None)
    with pytest.raises(DataError, match="differ by .* before the first update"):
        assess(models, rollout_of(POLICY, ROWS), SCORES)


@pytest.mark.parametrize("drawn_at, assessed_at", [(1.0, 2.0), (2.0, 1.0), (2.0, 2.1)])
def test_another_temperature_than_that_of_sampling_is_found(drawn_at, assessed_at):
    models = FourModels(POLICY.model, None)
    rollout = rollout_of(POLICY, ROWS, temperature=drawn_at)
    with pytest.raises(DataError, match="differ by .* before the first update"):
        assess(models, rollout, SCORES, assessed_at)
    assess(models, rollout, SCORES, drawn_at)


def test_numbers_of_tokens_stand_in_the_columns_of_the_targets():
    value = critic()
    models = FourModels(POLICY.model, None, REFERENCE, value)
    found = experience_of(POLICY, A2C(), ROWS, SCORES, models)
    batch = make_policy_batch(found.samples())
    counted = batch.targets != IGNORE
    assert counted.tolist() == [[False, True, False], [False, True, True], [False, True, True]]
    for name in experience.PLACED:
        array, wanted = getattr(batch, name), getattr(found, name)
        np.testing.assert_array_equal(array[counted], wanted[found.counted])
        assert (array[~counted] == 0).all()


def test_one_number_of_a_response_stays_one():
    models = FourModels(POLICY.model, None, REFERENCE)
    found = experience_of(POLICY, RLOO(group=3), ROWS, SCORES, models)
    batch = make_policy_batch(found.samples())
    np.testing.assert_array_equal(batch.advantages, found.advantages)
    assert batch.values is None and batch.returns is None


def test_a_row_weighs_by_its_tokens_or_as_one():
    models = FourModels(POLICY.model, None, REFERENCE)
    samples = experience_of(POLICY, RLOO(group=3), ROWS, SCORES, models).samples()
    by_tokens, by_rows = make_policy_batch(samples), make_policy_batch(samples, per_token=False)
    assert by_tokens.weight.tolist() == [1, 2, 2] and by_tokens.tokens == 5
    assert by_rows.weight.tolist() == [1, 1, 1] and by_rows.tokens == 3
    assert by_tokens.rows(1, 3).tokens == 4


def test_the_temperature_of_sampling_is_that_of_the_log_probabilities():
    found = assessed(temperature=2.0).old
    logits = ModelLM(POLICY.model).next_logits(np.array([[1, 0]]))[0] / 2
    wanted = logits[0] - np.log(np.exp(logits).sum())
    assert found[0, 0] == pytest.approx(wanted, rel=1e-12)
