"""Each algorithm converges to its own fixed point, shown beside pi*   (four responses, exactly)."""

import numpy as np
import pytest

from tinylm.align.exact import optimal_policy
from tinylm.align.policy.clipping import clipped_loss
from tinylm.align.policy.fixed_points import (
    descend,
    expected_advantages,
    population_advantages,
    sampled_loss,
)
from tinylm.align.policy.groups import group_advantages, rloo_advantages
from tinylm.align.policy.kl import k1, k2, k3, kl_in_reward
from tinylm.errors import ConfigError

# the specification's case: pi* = .673 .161 .039 .126
REF, R, BETA = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 0.2, -0.5, 0.8]), 0.7
LOGREF = np.log(REF)
BEST = np.array([0.67307940, 0.16098708, 0.03948256, 0.12645097])
ONE = np.ones((4, 1), bool)
CLOSE = dict(rtol=0, atol=2e-8)  # pi* is printed to eight places


def in_reward(logp):
    """Rewards with the penalty of the policy that draws."""
    held = kl_in_reward(R[:, None], logp.data[:, None], LOGREF[:, None], ONE, BETA)
    return held[:, 0]


def own_mean(rewards):
    return group_advantages(rewards, scale=False)


def reached(loss, rate=5.0):
    # curvatures of the penalty are at most beta / 4: below 2 / rate
    return descend(loss, LOGREF, rate)


def test_a2c_with_the_penalty_in_the_reward_reaches_the_best_policy():
    def loss(logp):
        rewards = in_reward(logp)
        return sampled_loss(logp, rewards - np.exp(logp.data) @ rewards)

    np.testing.assert_allclose(np.exp(optimal_policy(LOGREF, R, BETA)), BEST, **CLOSE)
    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


@pytest.mark.parametrize("size", [2, 3])
def test_rloo_with_the_penalty_in_the_reward_reaches_it_in_groups_of_any_size(size):
    def loss(logp):
        given = np.exp(logp.data), in_reward(logp), size, rloo_advantages
        return sampled_loss(logp, expected_advantages(*given))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


def ppo(low):
    """Four steps of a clipped loss on the responses of one policy, whose advantages are kept."""
    state = {"step": 0}

    def loss(logp):
        if state["step"] % 4 == 0:  # draw anew
            rewards = in_reward(logp)
            chance = np.exp(logp.data)
            state["old"], state["A"] = logp.data, chance * (rewards - chance @ rewards)
        state["step"] += 1
        given = logp.reshape(4, 1), state["old"][:, None], state["A"], ONE
        return clipped_loss(*given, low=low, how="fixed", total=1)

    return loss


@pytest.mark.parametrize("low", [0.2, 0.05])
def test_ppo_reaches_it_over_several_steps_for_each_batch(low):
    found = descend(ppo(low), LOGREF, rate=2.0, tolerance=1e-8, window=4)
    np.testing.assert_allclose(found, BEST, atol=1e-6)


def test_a_batch_whose_ratios_are_all_clipped_is_not_at_rest():
    """Its gradient is 0 after three steps of the first batch; the next batch has one again."""
    stuck = descend(ppo(0.05), LOGREF, rate=2.0, tolerance=1e-8)
    assert np.abs(stuck - BEST).max() > 0.1
    with pytest.raises(ConfigError, match="after 4 steps the gradient is still 2.*e-01"):
        descend(ppo(0.05), LOGREF, rate=2.0, steps=4, tolerance=1e-8, window=4)


def test_a_mean_with_itself_and_the_penalty_in_the_reward_reaches_it_too():
    """There the factor (G-1)/G is that of reward and penalty alike."""

    def loss(logp):
        given = np.exp(logp.data), in_reward(logp), 2, own_mean
        return sampled_loss(logp, expected_advantages(*given))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


@pytest.mark.parametrize("size", [2, 3])
def test_a_mean_with_itself_and_the_penalty_in_the_loss_reaches_that_of_a_smaller_reward(size):
    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, size, own_mean)
        return sampled_loss(logp, weights, BETA * k2(logp, LOGREF))

    shrunk = np.exp(optimal_policy(LOGREF, (size - 1) / size * R, BETA))
    np.testing.assert_allclose(reached(loss), shrunk, **CLOSE)
    assert np.abs(shrunk - BEST).max() > 0.05


def test_rloo_with_k2_in_the_loss_reaches_it():
    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, 2, rloo_advantages)
        return sampled_loss(logp, weights, BETA * k2(logp, LOGREF))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


def test_grpo_reaches_another_policy():
    """Standard deviation of a large group, k3 in the loss: .829 .073 .027 .072."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = reached(loss)
    np.testing.assert_allclose(found, [0.829, 0.073, 0.027, 0.072], atol=6e-4)
    # its condition: pi (A - E A) = beta (pi - pi_ref)
    A = population_advantages(found, R)
    np.testing.assert_allclose(found * A, BETA * (found - REF), atol=1e-9)
    assert np.abs(found - BEST).max() > 0.15


@pytest.mark.parametrize("size, wanted", [(2, 0.6999), (4, 0.7827)])
def test_grpo_in_small_groups_reaches_yet_others(size, wanted):
    """What the first response gets; with a large group it is .829."""

    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, size, group_advantages)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = descend(loss, LOGREF, rate=2.0, tolerance=1e-8)
    assert found[0] == pytest.approx(wanted, abs=1e-4)
    A = expected_advantages(found, R, size, group_advantages)
    np.testing.assert_allclose(found * (A - found @ A), BETA * (found - REF), atol=1e-7)


def test_k3_without_a_standard_deviation_is_not_the_penalty_either():
    """KL(ref || pi) in place of KL(pi || ref): pi (r - J) = beta (pi - pi_ref)."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R, scale=False)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = reached(loss)
    np.testing.assert_allclose(found * (R - found @ R), BETA * (found - REF), atol=1e-9)
    assert np.abs(found - BEST).max() > 0.01


def test_k1_in_the_loss_is_no_penalty():
    """The best response takes everything, as if beta were 0."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R, scale=False)
        return sampled_loss(logp, weights, BETA * k1(logp, LOGREF))

    assert descend(loss, LOGREF, rate=20.0, tolerance=1e-3)[0] > 0.99


def test_expected_advantages_of_whole_groups():
    chance = np.exp(LOGREF)
    # leave-one-out: r - J; with itself: (G-1)/G of it
    np.testing.assert_allclose(
        expected_advantages(chance, R, 3, rloo_advantages), R - chance @ R, atol=1e-15
    )
    np.testing.assert_allclose(
        expected_advantages(chance, R, 3, own_mean), 2 / 3 * (R - chance @ R), atol=1e-15
    )
    scaled = population_advantages(chance, R)
    assert chance @ scaled == pytest.approx(0, abs=1e-15)
    assert chance @ scaled**2 == pytest.approx(1)


def test_a_descent_that_does_not_end_is_an_error():
    with pytest.raises(ConfigError, match="after 3 steps"):
        descend(lambda logp: sampled_loss(logp, R), LOGREF, steps=3)
