"""The optimum of the objective with a penalty, by its closed form and by its own gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.small import BETA, LOGREF, REWARD, gpt, random_policy
from tinylm.align.exact.expectations import expectation, kl
from tinylm.align.exact.gradients import gradient_of
from tinylm.align.exact.policies import ListedPolicy, TablePolicy
from tinylm.align.exact.regularized import (
    log_partition,
    objective,
    optimal_policy,
)
from tinylm.align.preference.dpo import implicit_reward
from tinylm.errors import ConfigError

TO_PRINTED = dict(rtol=0, atol=5e-11)  # the specification prints ten places
BEST = optimal_policy(LOGREF, REWARD, BETA)


def test_the_worked_example():
    np.testing.assert_allclose(
        np.exp(log_partition(LOGREF, REWARD, BETA)), 4.0215951061, atol=5e-11
    )
    np.testing.assert_allclose(log_partition(LOGREF, REWARD, BETA), 1.3916786165, **TO_PRINTED)
    np.testing.assert_allclose(np.exp(BEST), [0.918672, 0.074597, 0.006730], atol=6e-7)
    highest = objective(BEST, LOGREF, REWARD, BETA)
    np.testing.assert_allclose(highest, 0.6958393082, **TO_PRINTED)
    np.testing.assert_allclose(highest, BETA * log_partition(LOGREF, REWARD, BETA), atol=1e-15)


@pytest.mark.parametrize(
    "logp, value, gap",
    [(LOGREF, 0.3, 0.7916786165), (np.log(np.full(3, 1 / 3)), -0.0351201719, 1.4619189603)],
)
def test_what_is_missing_to_the_highest_is_the_divergence_from_the_best(logp, value, gap):
    found = objective(logp, LOGREF, REWARD, BETA)
    np.testing.assert_allclose(found, value, **TO_PRINTED)
    np.testing.assert_allclose(kl(logp, BEST), gap, **TO_PRINTED)
    highest = BETA * log_partition(LOGREF, REWARD, BETA)
    np.testing.assert_allclose((highest - found) / BETA, gap, **TO_PRINTED)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.1, 0.7, 3.0]))
def test_the_objective_is_the_partition_function_less_a_divergence(seed, K, beta):
    """J(pi) = beta log Z - beta KL(pi || pi*), for every policy, reference and reward."""
    rng = np.random.default_rng(seed)
    logp, logref, reward = random_policy(rng, 2, K), random_policy(rng, 2, K), rng.normal(size=K)
    best, log_z = optimal_policy(logref, reward, beta), log_partition(logref, reward, beta)
    np.testing.assert_allclose(np.exp(best).sum(axis=-1), 1, rtol=1e-12)
    wanted = beta * log_z - beta * kl(logp, best)
    np.testing.assert_allclose(objective(logp, logref, reward, beta), wanted, atol=1e-11)
    # a constant for each prompt moves Z and no policy
    shifted = optimal_policy(logref, reward + 5, beta)
    np.testing.assert_allclose(shifted, best, atol=1e-11)


def test_limits():
    # beta -> 0: the best response alone; beta -> infinity: the reference
    np.testing.assert_allclose(np.exp(optimal_policy(LOGREF, REWARD, 0.01)), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(optimal_policy(LOGREF, REWARD, 1e9), LOGREF, atol=1e-8)
    # without a penalty the objective is the expected reward
    assert objective(LOGREF, LOGREF, REWARD, 0) == expectation(LOGREF, REWARD)


def test_the_implicit_reward_of_the_best_policy_is_the_reward():
    # up to a constant, and with the partition function exactly
    without = implicit_reward(BEST, LOGREF, BETA)
    np.testing.assert_allclose(without, [0.304161, -0.695839, -1.695839], atol=6e-7)
    log_z = log_partition(LOGREF, REWARD, BETA)
    np.testing.assert_allclose(implicit_reward(BEST, LOGREF, BETA, log_z), REWARD, atol=1e-14)
    np.testing.assert_array_equal(implicit_reward(LOGREF, LOGREF, BETA), np.zeros(3))


def test_any_policy_is_optimal_for_its_implicit_reward():
    logp = random_policy(np.random.default_rng(3), 3)
    reward = implicit_reward(logp, LOGREF, BETA)
    np.testing.assert_allclose(optimal_policy(LOGREF, reward, BETA), logp, atol=1e-14)


def test_the_gradient_of_the_objective_is_0_at_the_best_policy_and_nowhere_else():
    best = TablePolicy(BEST[None])
    (g,) = gradient_of(objective(best.logprobs(), LOGREF, REWARD, BETA).sum(), best)
    np.testing.assert_allclose(g, 0, atol=1e-15)
    at_ref = TablePolicy(LOGREF[None])
    (g,) = gradient_of(objective(at_ref.logprobs(), LOGREF, REWARD, BETA).sum(), at_ref)
    # at the reference KL is flat: p_j (r_j - E[r]) with E[r] = .3
    np.testing.assert_allclose(g, [[0.5 * 0.7, -0.3 * 0.3, -0.2 * 1.3]], atol=1e-15)


def test_it_is_the_objective_of_a_language_model_too():
    policy = ListedPolicy(gpt(seed=1), [[1], [2, 0]], 2)
    logp, rng = policy.logprobs(), np.random.default_rng(0)
    logref, reward = random_policy(rng, 2, 9), rng.normal(size=(2, 9))
    best, log_z = optimal_policy(logref, reward, 0.3), log_partition(logref, reward, 0.3)
    wanted = 0.3 * (log_z - kl(logp.data, best))
    np.testing.assert_allclose(objective(logp, logref, reward, 0.3).data, wanted, atol=1e-13)


@pytest.mark.parametrize("beta", [0, -0.1])
@pytest.mark.parametrize("function", [log_partition, optimal_policy])
def test_no_best_policy_without_a_penalty(function, beta):
    with pytest.raises(ConfigError, match="beta"):
        function(LOGREF, REWARD, beta)
