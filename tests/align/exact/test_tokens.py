"""Values of prefixes: Bellman's equations, the start, the end, and advantages of mean 0."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact.expectations import expectation
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.exact.tokens import action_values, advantages, returns_to_go, values

CLOSE = dict(rtol=0, atol=1e-13)  # sums of 27 terms of size 1
POLICY = ListedPolicy(gpt(), [[1], [2, 0]], 3, eos=0)
RESPONSES, LOGP = POLICY.responses, POLICY.token_logprobs().data  # (K, 3), (2, K, 3)


def rewards_of_actions():
    """A reward of every state and action: random, and the same wherever the prefix is the same."""
    table = np.random.default_rng(0).normal(size=(3, 3, 3, 3))
    a, b, c = RESPONSES.T
    found = np.stack([table[0, 0, 0, a], table[1, 0, a, b], table[a, b, c, 0]], axis=-1)
    return np.broadcast_to(found * POLICY.counted, LOGP.shape)


def test_returns_by_hand():
    np.testing.assert_array_equal(returns_to_go([0.0, 0.0, 0.0, 1.0]), [1, 1, 1, 1])
    # 1 + .5 * 2 + .25 * 4, 2 + .5 * 4, 4
    np.testing.assert_array_equal(returns_to_go([[1.0, 2.0, 4.0]], gamma=0.5), [[3, 4, 4]])
    np.testing.assert_array_equal(returns_to_go([1.0, 2.0], gamma=0.0), [1, 2])


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_the_value_of_the_start_is_the_expected_return(gamma):
    rewards = rewards_of_actions()
    found = values(LOGP, RESPONSES, rewards, gamma)
    wanted = expectation(LOGP.sum(axis=-1), returns_to_go(rewards, gamma)[..., 0])
    np.testing.assert_allclose(found[..., 0], np.broadcast_to(wanted[:, None], (2, 15)), **CLOSE)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_bellman(gamma):
    """Q(s, a) = r + gamma V(s'), V(s) = sum_a pi(a|s) Q(s, a)."""
    given = LOGP, RESPONSES, rewards_of_actions(), gamma
    V, Q = values(*given), action_values(*given)
    np.testing.assert_allclose(Q[..., :-1], given[2][..., :-1] + gamma * V[..., 1:], **CLOSE)
    np.testing.assert_allclose(Q[..., -1], given[2][..., -1], **CLOSE)  # V is 0 after the end
    prefixes = {tuple(r[:2]) for r in RESPONSES.tolist() if 0 not in r[:2]}
    assert len(prefixes) == 4  # two tokens, neither of them the end
    for prefix in prefixes:
        rows = np.flatnonzero((RESPONSES[:, :2] == prefix).all(axis=1))
        assert len(rows) == 3  # one for each action
        average = (np.exp(LOGP[:, rows, 2]) * Q[:, rows, 2]).sum(axis=1)
        np.testing.assert_allclose(V[:, rows[0], 2], average, **CLOSE)


def test_advantages_have_mean_0_in_every_state():
    found = advantages(LOGP, RESPONSES, rewards_of_actions())
    assert np.abs(found).max() > 0.1
    first = [RESPONSES[:, 0].tolist().index(a) for a in range(3)]  # one response for each action
    average = (np.exp(LOGP[:, first, 0]) * found[:, first, 0]).sum(axis=1)
    np.testing.assert_allclose(average, 0, **CLOSE)
    # after the end there is one action, which is no choice
    np.testing.assert_allclose(found[:, ~POLICY.counted], 0, **CLOSE)


def test_a_reward_at_the_end_is_worth_what_each_prefix_still_expects():
    score = np.arange(15.0)  # of each response
    rewards = np.zeros((15, 3))
    rewards[:, -1] = score
    V = values(LOGP, RESPONSES, rewards)
    assert V.shape == (2, 15, 3)
    np.testing.assert_allclose(action_values(LOGP, RESPONSES, rewards)[..., -1], [score] * 2)
    k = RESPONSES.tolist().index([1, 0, 0])
    # given the first token: a weighted mean of the responses that begin with it
    begins = RESPONSES[:, 0] == 1
    weights = np.exp(LOGP[:, begins, 1:].sum(axis=-1))
    np.testing.assert_allclose(V[:, k, 1], (weights * score[begins]).sum(axis=1), **CLOSE)
