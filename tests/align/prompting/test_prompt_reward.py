import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.small import gpt
from tinylm.align.prompting.prompt_policy import PromptPolicy, train_prompt_policy
from tinylm.align.prompting.prompt_reward import (
    ClassificationReward,
    class_gaps,
    piecewise,
    z_scores,
)
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.protocol.weights import weights_hash


def test_the_gap_is_to_the_best_of_the_other_classes():
    probabilities = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]
    assert class_gaps(probabilities, [0, 1]) == pytest.approx([0.2, -0.5])
    assert class_gaps([0.9, 0.1], 1) == pytest.approx(-0.8)
    # (K prompts, n inputs, C) with the classes of the inputs
    assert class_gaps(np.ones((4, 2, 3)) / 3, [2, 0]).shape == (4, 2)
    with pytest.raises(DataError, match="two classes"):
        class_gaps([[1.0]], [0])


def test_the_slope_of_the_reward_changes_where_the_prediction_becomes_right():
    # lambda_1 = 180 for wrong ones, lambda_2 = 200 for right ones
    assert piecewise([-0.5, 0.0, 0.25]).tolist() == [-90, 0, 50]
    assert piecewise([-1.0, 1.0], wrong=3, right=5).tolist() == [-3, 5]


def test_prompts_are_compared_on_each_input():
    # the second input is easier with both prompts: that is no merit of either
    found = z_scores([[1.0, 10.0], [3.0, 14.0]])
    assert found.tolist() == [[-1, -1], [1, 1]]


def test_an_input_without_a_difference_says_nothing():
    found = z_scores([[0.1, 0.1], [0.1, 0.4], [0.1, 0.7]])
    assert found[:, 0].tolist() == [0, 0, 0] and found[2, 1] > 1
    assert z_scores(np.zeros((3, 1))).tolist() == [[0]] * 3


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(0.1, 9), st.floats(-9, 9))
def test_scale_and_level_of_an_input_do_not_count(rewards, scale, level):
    rewards = np.round(np.array(rewards)[:, None], 3)
    np.testing.assert_allclose(z_scores(rewards * scale + level), z_scores(rewards), atol=1e-6)
    assert abs(z_scores(rewards).sum()) < 1e-6


WORDS, EXAMPLES = [" bad", " good"], [("fine", 1), ("poor", 0)]


def scored(p):
    """Scores of both words, with probability p of the second."""
    return {" bad": float(np.log(1 - p)), " good": float(np.log(p))}


SCRIPT = {
    "fine A": scored(0.9),
    "poor A": scored(0.2),
    "fine B": scored(0.6),
    "poor B": scored(0.7),
}


def reward(**options):
    return ClassificationReward(ScriptedLM(SCRIPT), EXAMPLES, WORDS, **options)


def test_a_prompt_is_worth_what_another_model_does_with_it():
    plain = reward(compare=False)
    assert plain.probabilities([" A", " B"])[..., 1] == pytest.approx(
        np.array([[0.9, 0.2], [0.6, 0.7]])
    )
    # gaps .8 and .6 of A; .2 and -.4 of B
    assert plain([" A", " B"]) == pytest.approx([200 * 0.7, (200 * 0.2 - 180 * 0.4) / 2])
    assert plain.accuracy([" A", " B"]).tolist() == [1, 0.5]
    # of two prompts that differ, one is at +1 on each input, the other at -1
    assert reward()([" A", " B"]) == pytest.approx([1, -1])


def test_the_prompt_may_stand_before_the_text():
    lm = ScriptedLM({"A: fine": scored(0.9), "A: poor": scored(0.2)})
    found = ClassificationReward(lm, EXAMPLES, WORDS, "{prompt}: {text}", compare=False)(["A"])
    assert found == pytest.approx([140])


def test_a_policy_learns_the_prompt_with_which_another_model_classifies_best():
    # prompts are one of the tokens 0 .. 2; with token 2 the other model is right
    texts = ["X", "Y", "Z"]
    table = {
        f"{text}{z}": scored(p)
        for z, good, bad in (("X", 0.4, 0.6), ("Y", 0.6, 0.55), ("Z", 0.9, 0.1))
        for text, p in (("fine", good), ("poor", bad))
    }
    measure = ClassificationReward(ScriptedLM(table), EXAMPLES, WORDS)
    one = PromptPolicy(gpt(3), r=8)
    frozen = weights_hash(one.base)
    train_prompt_policy(
        one,
        [0],
        1,
        lambda prompts: measure([texts[z[0]] for z in prompts]),
        steps=40,
        learning_rate=0.05,
    )
    assert weights_hash(one.base) == frozen
    logits = one(np.array([[0]])).data[0, 0]
    assert logits.argmax() == 2 and measure.accuracy(["Z"]).tolist() == [1]
