"""Rewards of responses: functions of ids and of texts, reward models, and what is no reward."""

import numpy as np
import pytest

from tests.align.rlhf.test_models import reward_model
from tinylm.align.rewards import RewardEnsemble
from tinylm.align.rlhf import of_texts
from tinylm.align.rlhf.rollout import Rollout
from tinylm.align.rlhf.scoring import score_responses
from tinylm.errors import ConfigError, DataError
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


def test_what_is_no_reward_is_refused():
    with pytest.raises(ConfigError, match="a reward is a function .* not int"):
        score_responses(3, ROLLOUT)
