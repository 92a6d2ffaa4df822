import numpy as np
import pytest

from tinylm.align.feedback.annotators import SimulatedAnnotator
from tinylm.align.feedback.beyond_demonstrations import (
    beyond,
    demonstrated_policy,
    learned_reward,
    tuned_policy,
)
from tinylm.errors import ConfigError

# five responses; people have written down the second and the third, the last is the best
RESPONSES = list("abcde")
GOLD = np.array([-1.0, 1.0, 0.5, 0.0, 3.0])
COUNTS = np.array([0, 3, 1, 0, 0])
LOGREF = np.log([0.5, 0.2, 0.1, 0.15, 0.05])
ANNOTATOR = SimulatedAnnotator(lambda prompt, y: GOLD[RESPONSES.index(y)])


def test_demonstrations_are_copied_and_not_exceeded():
    logp = demonstrated_policy(COUNTS)
    np.testing.assert_allclose(np.exp(logp), [0, 0.75, 0.25, 0, 0], rtol=1e-15)
    found = beyond(logp, COUNTS > 0, GOLD)
    # .75 * 1 + .25 * .5
    assert found == {"outside": 0.0, "reward": 0.875, "reward outside": None}
    assert found["reward"] <= GOLD[COUNTS > 0].max()


def test_a_part_of_the_old_policy_is_kept():
    law = np.exp(demonstrated_policy(COUNTS, LOGREF, kept=0.1))
    np.testing.assert_allclose(law, 0.9 * COUNTS / 4 + 0.1 * np.exp(LOGREF), rtol=1e-14)
    assert law.sum() == pytest.approx(1, rel=1e-15)
    np.testing.assert_allclose(demonstrated_policy(COUNTS, LOGREF, kept=1), LOGREF, rtol=1e-14)
    for wrong in ({"kept": 0.1}, {"logref": LOGREF, "kept": 1.1}, {"logref": LOGREF, "kept": -1}):
        with pytest.raises(ConfigError, match="share from 0 to 1"):
            demonstrated_policy(COUNTS, **wrong)


def test_labels_of_samples_give_the_gold_reward_up_to_a_constant():
    logp = demonstrated_policy(COUNTS, LOGREF, kept=0.1)
    scores = learned_reward(ANNOTATOR, "x", RESPONSES, logp)
    np.testing.assert_allclose(scores, GOLD - GOLD.mean(), atol=1e-8)


def test_what_is_never_sampled_is_never_compared():
    scores = learned_reward(ANNOTATOR, "x", RESPONSES, demonstrated_policy(COUNTS))
    np.testing.assert_allclose(scores, [0, 0.25, -0.25, 0, 0], atol=1e-9)
    # and stays at probability 0, however good it is
    logp = tuned_policy(demonstrated_policy(COUNTS), scores, beta=0.1)
    assert beyond(logp, COUNTS > 0, GOLD)["outside"] == 0


def test_preferences_find_the_best_response_that_no_demonstration_holds():
    logp = demonstrated_policy(COUNTS, LOGREF, kept=0.1)
    before = beyond(logp, COUNTS > 0, GOLD)
    scores = learned_reward(ANNOTATOR, "x", RESPONSES, logp)
    tuned = tuned_policy(logp, scores, beta=0.25)
    after = beyond(tuned, COUNTS > 0, GOLD)
    # the best response had probability .005, and .005 e^{3 / .25} weighs more than all others
    assert np.argmax(tuned) == 4 and before["outside"] < 0.1 < 0.9 < after["outside"]
    # better than the best demonstration, as the gold reward measures it
    assert before["reward"] < GOLD[COUNTS > 0].max() < after["reward"]
    assert after["reward outside"] > 2.9
