import numpy as np
import pytest

from tinylm.align.exact.tokens import returns_to_go
from tinylm.align.rewards.shaping import MDP, shape_rewards, value_iteration
from tinylm.errors import ConfigError, ShapeError

# The specification's trajectory: a reward at the end, values of five states, 0 after the end
REWARDS, VALUES = np.array([0.0, 0, 0, 1]), np.array([0.2, 0.4, 0.5, 0.7, 0])


def process(seed=0, states=4, actions=3, gamma=0.9):
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.ones(states), (states, actions))
    return MDP(transitions, rng.normal(size=(states, actions, states)), gamma)


def test_a_terminal_reward_reaches_every_token():
    np.testing.assert_array_equal(returns_to_go(REWARDS), 1)
    np.testing.assert_allclose(returns_to_go(REWARDS, 0.5), [0.125, 0.25, 0.5, 1], rtol=1e-15)
    np.testing.assert_array_equal(returns_to_go([[1, 2], [3, 4]]), [[3, 2], [7, 4]])


def test_with_values_as_potentials_the_shaped_reward_is_the_td_error():
    np.testing.assert_allclose(shape_rewards(REWARDS, VALUES), [0.2, 0.1, 0.2, 0.3], atol=1e-15)
    shaped = shape_rewards(REWARDS, VALUES, 0.9)
    np.testing.assert_allclose(shaped, [0.16, 0.05, 0.13, 0.3], atol=1e-15)
    # and its return is return minus value: (.8, .6, .5, .3)
    np.testing.assert_allclose(
        returns_to_go(shape_rewards(REWARDS, VALUES)), [0.8, 0.6, 0.5, 0.3], atol=1e-15
    )


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_potentials_cancel_along_a_trajectory(gamma):
    rng = np.random.default_rng(0)
    rewards, potentials = rng.normal(size=5), rng.normal(size=6)
    change = returns_to_go(shape_rewards(rewards, potentials, gamma), gamma)[0]
    change -= returns_to_go(rewards, gamma)[0]
    assert change == pytest.approx(gamma**5 * potentials[5] - potentials[0], rel=1e-12)


def test_there_is_one_more_potential_than_rewards():
    for potentials in (np.zeros(4), np.zeros((2, 5))):
        with pytest.raises(ShapeError, match="one more"):
            shape_rewards(REWARDS, potentials)


def test_value_iteration_solves_the_bellman_equation():
    mdp = process()
    Q = value_iteration(mdp)
    np.testing.assert_allclose(Q, mdp.action_values(Q.max(axis=1)), atol=1e-11)
    # one state, one action: r + gamma r + ... = r / (1 - gamma)
    alone = MDP(np.ones((1, 1, 1)), np.full((1, 1, 1), 2.0), 0.9)
    assert value_iteration(alone).item() == pytest.approx(20, rel=1e-10)


def test_iteration_ends_where_values_are_fixed_exactly():
    # From 0 one step of reward 1 leads to 1, where nothing is won: after two steps V is (1, 0).
    transitions = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    rewards = np.array([[[0.0, 1.0]], [[0.0, 0.0]]])
    Q = value_iteration(MDP(transitions, rewards, 0.9), tolerance=0.0)
    np.testing.assert_array_equal(Q, [[1], [0]])


def test_a_discount_is_below_1():
    one = np.ones((1, 1, 1))
    assert value_iteration(MDP(one, one, 0.0)).item() == 1
    for gamma in (1.0, -0.1):
        with pytest.raises(ConfigError, match="below 1"):
            MDP(one, one, gamma)


@pytest.mark.parametrize("seed", range(3))
def test_shaping_leaves_the_best_actions(seed):
    mdp, phi = process(seed), np.random.default_rng(seed + 9).normal(size=4) * 5
    Q, shaped = value_iteration(mdp), value_iteration(mdp.shaped(phi))
    # Q'(s, a) = Q(s, a) - Phi(s)
    np.testing.assert_allclose(shaped, Q - phi[:, None], atol=1e-10)
    np.testing.assert_array_equal(shaped.argmax(axis=1), Q.argmax(axis=1))


def test_a_bonus_that_is_no_potential_can_change_the_best_action():
    # From 0: action 0 stays with reward 0, action 1 ends with reward 1. A bonus of .5 for every
    # stay is worth .5 / (1 - .9) = 5.
    transitions = np.zeros((2, 2, 2))
    transitions[0, 0, 0] = transitions[0, 1, 1] = transitions[1, :, 1] = 1
    rewards = np.zeros((2, 2, 2))
    rewards[0, 1, 1] = 1
    mdp = MDP(transitions, rewards, 0.9)
    assert value_iteration(mdp)[0].argmax() == 1
    bonus = rewards.copy()
    bonus[0, 0, 0] += 0.5
    assert value_iteration(MDP(transitions, bonus, 0.9))[0].argmax() == 0
    # the same states with potentials: the best action stays
    assert value_iteration(mdp.shaped(np.array([5.0, 0.0])))[0].argmax() == 1
