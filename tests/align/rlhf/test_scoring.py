"""Rewards of responses: functions of ids and of texts, reward models, and what is no reward."""

import numpy as np
import pytest

from tests.align.rlhf.test_models import reward_model
from tinylm.align.rewards import RewardEnsemble
from tinylm.align.rlhf import of_texts, policy_trainer
from tinylm.align.rlhf.rollout import Rollout
from tinylm.align.rlhf.scoring import score_responses
from tinylm.errors import ConfigError, DataError
from tinylm.models import GPT, GPTConfig
from tinylm.tokenizers import ByteTokenizer

IDS = np.array([[2, 0, 0], [1, 2, 2]])
COUNTED = np.array([[True, True, False], [True, True, True]])
ROLLOUT = Rollout([[1], [2, 1]], IDS, COUNTED, np.array([False, True]), np.zeros((2, 3)))


def test_a_function_gets_prompt_and_response_with_its_end_mark():
    seen = []

    def reward(prompt, response):
        seen.append((prompt, response))
        return len(response)

    found = score_responses(reward, ROLLOUT)
    assert seen == [([1], [2, 0]), ([2, 1], [1, 2, 2])]
    assert found.tolist() == [2.0, 3.0] and found.dtype == np.float64


def test_a_reward_model_reads_the_whole_text():
    model = reward_model()
    found = score_responses(model, ROLLOUT)
    np.testing.assert_allclose(found, model.score([[1, 2, 0], [2, 1, 1, 2, 2]]), rtol=1e-14)
    both = RewardEnsemble((model.score, model.score))
    np.testing.assert_allclose(score_responses(both, ROLLOUT), found, rtol=1e-14)


def test_a_verifier_of_texts_reads_the_response_without_its_end_mark():
    tokenizer = ByteTokenizer()
    verify = of_texts(lambda prompt, answer: float(prompt + answer == "1+1=2"), tokenizer, eos=0)
    assert verify(list(b"1+1="), [*b"2", 0]) == 1.0
    assert verify(list(b"1+1="), list(b"2")) == 1.0  # cut off before its end mark
    assert verify(list(b"1+1="), [*b"3", 0]) == 0.0
    empty = of_texts(lambda prompt, answer: float(answer == ""), tokenizer, eos=0)
    assert empty(list(b"1"), [0]) == 1.0 and empty(list(b"1"), []) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_is_a_finite_number(value):
    with pytest.raises(DataError, match=r"the reward of the response \[1, 2, 2\] is"):
        score_responses(lambda x, y: value if len(y) == 3 else 1.0, ROLLOUT)


@pytest.mark.parametrize("value", [1e300, -2e15])
def test_a_reward_whose_square_would_overflow_is_refused_with_the_reason(value):
    with pytest.raises(
        DataError, match=r"response \[1, 2, 2\] is .* beyond 1e\+15 losses overflow"
    ):
        score_responses(lambda x, y: value if len(y) == 3 else 1.0, ROLLOUT)
    assert score_responses(lambda x, y: 1e15, ROLLOUT).tolist() == [1e15, 1e15]


@pytest.mark.parametrize("method", ["ppo", "a2c", "grpo", "rloo"])
def test_the_largest_reward_that_is_accepted_overflows_nowhere(method):
    """In float32; with rewards that differ, so that there are advantages."""
    group = {"grpo": 2, "rloo": 2}.get(method, 1)
    trainer = policy_trainer(
        GPT(GPTConfig(3, 24, 1, 2, 8, positions="rope"), 0, np.float32),
        [[1], [2, 1]],
        lambda x, y: 1e15 * (-1) ** len(y),
        method,
        max_tokens=3,
        eos=0,
        batch_size=2,
        group=group,
    )
    assert all(np.isfinite(one["loss"]) for one in trainer.run(2))


def test_what_is_no_reward_is_refused():
    with pytest.raises(ConfigError, match="a reward is a function .* not int"):
        score_responses(3, ROLLOUT)
