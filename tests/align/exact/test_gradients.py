"""The policy gradient by the log-derivative is that of the objective and of differences."""

import numpy as np
import pytest

from tests.align.small import gpt, random_policy
from tests.numeric import differences
from tinylm.align.exact.gradients import (
    expected_loss,
    gradient_of,
    groups,
    performance,
    policy_gradient,
)
from tinylm.align.exact.policies import ListedPolicy, TablePolicy
from tinylm.align.exact.tokens import advantages
from tinylm.autograd import Tensor

CLOSE = dict(rtol=0, atol=1e-12)
# book's motivating rewards: a good action +2, a bad one -10
LOGITS, REWARDS = [[0.2, -0.1, 0.4]], np.array([2.0, -10.0, 1.0])


def test_the_worked_example():
    (g,) = policy_gradient(TablePolicy(LOGITS), REWARDS)
    np.testing.assert_allclose(g, [[1.152308, -2.147414, 0.995106]], atol=6e-7)


def test_the_worked_example_of_chapter_2():
    (g,) = policy_gradient(TablePolicy([[0.2, -0.1, 0.5]]), np.array([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(g, [[-0.0637586, -0.2869280, 0.3506867]], atol=6e-8)


def test_it_is_the_derivative_of_the_performance():
    """With a reward that is no function of any parameter: the share of 1s, exactly 0, 1/2 or 1."""
    policy = ListedPolicy(gpt(), [[1], [2, 0]], 2)
    rewards = (policy.responses == 1).mean(axis=1)
    by_log = policy_gradient(policy, rewards)
    for found, wanted in zip(by_log, gradient_of(performance(policy, rewards), policy)):
        np.testing.assert_allclose(found, wanted, **CLOSE)
    table = np.array(LOGITS * 2) * [[1], [-1]]
    (wanted,) = differences(
        lambda z: performance(TablePolicy(z), REWARDS).item(), [table], step=1e-5
    )
    (found,) = policy_gradient(TablePolicy(table), REWARDS)
    np.testing.assert_allclose(found, wanted, atol=1e-8)  # differences of step 1e-5


def test_performance_is_the_mean_over_prompts():
    policy = TablePolicy(np.log([[0.5, 0.5], [0.25, 0.75]]))
    rewards = np.array([[1.0, 3.0], [4.0, 8.0]])
    assert performance(policy, rewards).item() == pytest.approx((2 + 7) / 2, rel=1e-14)


def test_token_advantages_give_the_gradient_of_whole_returns():
    """sum_y pi(y) sum_t A(s_t, y_t) d log pi(y_t | s_t): the policy gradient theorem."""
    policy = ListedPolicy(gpt(), [[1], [2, 0]], 2, eos=0)
    score = np.random.default_rng(2).normal(size=(2, len(policy.responses)))
    rewards = np.zeros((2, len(policy.responses), 2))
    rewards[..., -1] = score
    logp = policy.token_logprobs()
    A = advantages(logp, policy.responses, rewards)
    chance = np.exp(logp.data.sum(axis=-1, keepdims=True))
    found = gradient_of((logp * (chance * A)).sum() / 2, policy)
    for one, wanted in zip(found, policy_gradient(policy, score)):
        np.testing.assert_allclose(one, wanted, **CLOSE)


def test_groups_are_all_draws_in_order():
    assert groups(2, 2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert groups(3, 1).tolist() == [[0], [1], [2]]


def test_an_expected_loss_weighs_each_group_by_its_probability():
    logp = random_policy(np.random.default_rng(0), 3)
    p = np.exp(logp)
    f = np.array([1.0, 5.0, -2.0])
    # the mean of independent draws, and their product: E f and (E f)^2
    assert expected_loss(logp, 2, lambda g: Tensor(f[g].mean())).item() == pytest.approx(p @ f)
    product = expected_loss(logp, 2, lambda g: Tensor(f[g].prod())).item()
    assert product == pytest.approx((p @ f) ** 2)


def test_probabilities_of_draws_are_constants():
    """So the expectation of log pi has gradient 0, whatever log pi is worth."""
    policy = TablePolicy(LOGITS)
    logp = policy.logprobs()[0]
    (g,) = gradient_of(expected_loss(logp, 1, lambda group: logp[group].sum()), policy)
    np.testing.assert_allclose(g, 0, atol=1e-15)


def test_what_cannot_be_drawn_is_not_computed():
    with np.errstate(divide="ignore"):
        certain = np.log([1.0, 0.0])
    seen = []
    expected_loss(certain, 2, lambda group: seen.append(group.tolist()) or Tensor(0.0))
    assert seen == [[0, 0]]
