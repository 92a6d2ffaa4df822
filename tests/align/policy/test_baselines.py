"""Baselines: which keep the expected gradient, by which factor others shrink it, what they save."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact.gradients import expected_loss, gradient_of, policy_gradient
from tinylm.align.exact.policies import ListedPolicy, TablePolicy
from tinylm.align.exact.tokens import returns_to_go
from tinylm.align.policy.baselines import (
    gradient_variance,
    leave_one_out,
    mean_baseline,
    optimal_baseline,
    score_functions,
)
from tinylm.errors import DataError

# the specification's bandit of three arms
POLICY = TablePolicy([[0.2, -0.1, 0.4]])
REWARDS = np.array([2.0, -10.0, 1.0])
CHANCE = np.exp(POLICY.logprobs().data[0])
SCORES = score_functions(POLICY)


def expected_gradient(baseline, size):
    """Of the mean over a group of (R - b) d log pi, over all groups."""
    logp = POLICY.logprobs()[0]

    def gain(group):
        rewards = REWARDS[group]
        return (logp[group] * (rewards - baseline(rewards))).mean()

    return gradient_of(expected_loss(logp, size, gain), POLICY)[0]


(EXACT,) = policy_gradient(POLICY, REWARDS)


@pytest.mark.parametrize(
    "name, baseline, size, factor",
    [
        ("none", np.zeros_like, 1, 1),
        ("a constant", lambda r: np.full(len(r), 3.0), 2, 1),
        ("the mean of two", mean_baseline, 2, 1 / 2),
        ("the mean of three", mean_baseline, 3, 2 / 3),
        ("the mean of the other", leave_one_out, 2, 1),
        ("the mean of the others", leave_one_out, 3, 1),
    ],
)
def test_the_exact_factor_of_each_baseline(name, baseline, size, factor):
    np.testing.assert_allclose(expected_gradient(baseline, size), factor * EXACT, atol=1e-13)


def test_baselines_by_hand():
    np.testing.assert_array_equal(mean_baseline([1.0, 2.0, 6.0]), [3, 3, 3])
    np.testing.assert_array_equal(leave_one_out([1.0, 2.0, 6.0]), [4, 3.5, 1.5])
    several = np.array([[1.0, 3.0], [5.0, 5.0]])
    np.testing.assert_array_equal(leave_one_out(several), [[3, 1], [5, 5]])
    np.testing.assert_array_equal(mean_baseline(several), [[2, 2], [5, 5]])
    with pytest.raises(DataError, match="no others"):
        leave_one_out([1.0])


def test_what_a_baseline_saves():
    """The variance of the gradient; that of the reward is the same with any constant."""
    mean = CHANCE @ REWARDS
    assert mean == pytest.approx(-1.413392, abs=5e-7)
    best = optimal_baseline(SCORES, CHANCE, REWARDS)
    assert best == pytest.approx(-2.216068, abs=5e-7)
    for b, variance in ((0, 15.358394), (mean, 12.570215), (best, 12.149186)):
        assert gradient_variance(SCORES, CHANCE, REWARDS - b) == pytest.approx(variance, abs=5e-7)
    near = [gradient_variance(SCORES, CHANCE, REWARDS - best - e) for e in (-0.01, 0.01)]
    assert min(near) > gradient_variance(SCORES, CHANCE, REWARDS - best)


def test_scores_have_mean_0_and_are_onehot_less_probability():
    np.testing.assert_allclose(SCORES, np.eye(3) - CHANCE, atol=1e-15)
    np.testing.assert_allclose(CHANCE @ SCORES, 0, atol=1e-15)
    policy = ListedPolicy(gpt(), [[1]], 2)
    scores = score_functions(policy)
    assert scores.shape == (9, sum(p.size for p in policy.parameters()))
    rewards = np.arange(9.0)
    wanted = np.concatenate([g.ravel() for g in policy_gradient(policy, rewards)])
    chance = np.exp(policy.logprobs().data[0])
    np.testing.assert_allclose(scores.T @ (chance * rewards), wanted, atol=1e-12)


def test_the_reward_to_go_varies_less_than_the_whole_return():
    """The past is noise to an action. Independent tokens, a reward at each."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    pairs = np.array([(a, b) for a in range(3) for b in range(3)])
    chance = p[0][pairs[:, 0]] * p[1][pairs[:, 1]]
    rewards = np.stack([5.0 * pairs[:, 0], 1.0 * pairs[:, 1]], axis=1)  # (9, 2)
    steps = np.stack([np.eye(3)[pairs[:, t]] - p[t] for t in (0, 1)], axis=1)  # (9, 2, 3)
    whole = np.broadcast_to(rewards.sum(axis=1, keepdims=True), rewards.shape)
    found = {}
    for name, weights in (("whole", whole), ("to go", returns_to_go(rewards))):
        samples = (steps * weights[..., None]).reshape(9, 6)
        found[name] = gradient_variance(samples, chance, np.ones(9)), chance @ samples
    np.testing.assert_allclose(found["whole"][1], found["to go"][1], atol=1e-13)
    assert found["to go"][0] < 0.7 * found["whole"][0]
