"""TRPO on listed policies: the natural gradient, and a divergence that stays within its bound."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import expectation, kl
from tinylm.align.exact.policies import ListedPolicy, TablePolicy
from tinylm.align.policy.baselines import score_functions
from tinylm.align.policy.trust_region import fisher, natural_gradient, trpo_step
from tinylm.errors import ConfigError

LOGITS, REWARDS = np.array([[0.2, -0.1, 0.4]]), np.array([2.0, -10.0, 1.0])


def test_the_fisher_matrix_of_a_table_is_the_covariance_of_its_draws():
    policy = TablePolicy(LOGITS)
    chance = np.exp(policy.logprobs().data[0])
    found = fisher(score_functions(policy), chance)
    np.testing.assert_allclose(found, np.diag(chance) - np.outer(chance, chance), atol=1e-15)


def test_the_divergence_of_a_small_step_is_half_its_fisher_product():
    policy = TablePolicy(LOGITS)
    logp = policy.logprobs().data[0]
    step = 1e-3 * np.array([1.0, -2.0, 0.5])
    moved = TablePolicy(LOGITS + step).logprobs().data[0]
    F = fisher(score_functions(policy), np.exp(logp))
    # the next order is a thousand times smaller
    assert kl(logp, moved) == pytest.approx(step @ F @ step / 2, rel=5e-3)


def test_the_natural_gradient_of_a_table_is_the_advantage():
    """F^-1 g: in logits it is R - E[R] up to a constant, however rare a response is."""
    policy = TablePolicy(LOGITS)
    chance = np.exp(policy.logprobs().data[0])
    found = natural_gradient(score_functions(policy), chance, REWARDS)
    np.testing.assert_allclose(found, REWARDS - REWARDS.mean(), atol=1e-12)


@pytest.mark.parametrize("delta", [1e-6, 0.01, 0.5])
@pytest.mark.parametrize("make", ["table", "model"])
def test_a_step_gains_within_its_bound(make, delta):
    if make == "table":
        policy = TablePolicy(LOGITS)
    else:
        policy = ListedPolicy(gpt(), [[1]], 1)
    before = policy.logprobs().data[0]
    found = trpo_step(policy, REWARDS, delta)
    after = policy.logprobs().data[0]
    assert found["kl"] == kl(before, after) and 0 < found["kl"] <= delta
    assert found["gain"] == expectation(after, REWARDS) - expectation(before, REWARDS) > 0
    if delta == 1e-6:  # the bound is met to the order that is left out
        assert found["kl"] > 0.9 * delta or found["kl"] == pytest.approx(delta / 4, rel=0.1)


def test_a_small_step_goes_along_the_natural_gradient():
    policy = TablePolicy(LOGITS)
    trpo_step(policy, REWARDS, delta=1e-8)
    step = (policy.logits.data - LOGITS)[0]
    wanted = REWARDS - REWARDS.mean()
    cosine = step @ wanted / np.linalg.norm(step) / np.linalg.norm(wanted)
    assert cosine == pytest.approx(1, abs=1e-12)


def test_steps_reach_the_best_response():
    policy = TablePolicy(LOGITS)
    for _ in range(60):
        trpo_step(policy, REWARDS, delta=0.05)
    assert np.exp(policy.logprobs().data[0])[0] > 0.99


def test_without_anything_to_gain_nothing_moves():
    policy = TablePolicy(LOGITS)
    assert trpo_step(policy, np.zeros(3)) == {"kl": 0.0, "gain": 0.0}
    np.testing.assert_array_equal(policy.logits.data, LOGITS)
    # and without a step that was allowed the policy is as it was
    assert trpo_step(policy, REWARDS, delta=0.5, tries=0) == {"kl": 0.0, "gain": 0.0}
    np.testing.assert_array_equal(policy.logits.data, LOGITS)
    # nor is a step taken that is too small to change any probability
    flat = TablePolicy(np.zeros((1, 3)))
    assert trpo_step(flat, REWARDS, delta=1e-200) == {"kl": 0.0, "gain": 0.0}
    np.testing.assert_array_equal(flat.logits.data, 0)
    for delta in (0, -1):
        with pytest.raises(ConfigError, match="delta"):
            trpo_step(policy, REWARDS, delta)
