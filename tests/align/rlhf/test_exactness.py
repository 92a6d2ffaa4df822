"""The expected update of a method is the exact gradient, or has its own known factor and fixed
point: no sampling.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.align.rlhf.small import BETA, critic, expected_update, listed, rollout_of
from tests.align.small import gpt
from tinylm.align.exact import gradient_of, objective
from tinylm.align.policy.advantages import gae
from tinylm.align.rlhf.methods import A2C, GRPO, PPO, RLOO, DrGRPO, Reinforce

REWARDS = np.array([1.0, -0.5, 2.0])  # of [0], [1, 0], [1, 1]
FIXED = np.array([1.0, -0.5, 2.0, 0.3])  # of two tokens without an end mark
REFERENCE = gpt(vocab_size=2, seed=3)


def exact(policy, rewards, beta):
    """The gradient of - (E r - beta KL(pi || ref)), by enumeration."""
    twin = listed(eos=None) if len(rewards) == 4 else listed()
    twin.model = REFERENCE
    reference = twin.logprobs().data
    return gradient_of(-objective(policy.logprobs(), reference, rewards, beta).mean(), policy)


def assert_same(found, wanted, factor=1.0):
    assert max(np.abs(one).max() for one in wanted) > 1e-2  # there is a gradient to compare
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, factor * other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "baseline, size", [("none", 1), ("leave_one_out", 2), ("leave_one_out", 3)]
)
def test_reinforce_with_the_penalty_in_the_reward_has_the_exact_gradient(baseline, size):
    policy = listed()
    method = Reinforce(baseline=baseline, beta=BETA)
    found = expected_update(policy, method, REWARDS, REFERENCE, size)
    assert_same(found, exact(policy, REWARDS, BETA))


def test_a_mean_with_itself_shrinks_it_by_its_own_share():
    policy = listed()
    found = expected_update(policy, Reinforce(baseline="mean", beta=BETA), REWARDS, REFERENCE, 2)
    assert_same(found, exact(policy, REWARDS, BETA), 1 / 2)


@pytest.mark.parametrize("size", [2, 3])
def test_rloo_has_the_exact_gradient_in_groups_of_any_size(size):
    policy = listed()
    found = expected_update(policy, RLOO(group=size, beta=BETA), REWARDS, REFERENCE, size)
    assert_same(found, exact(policy, REWARDS, BETA))


def test_a2c_has_it_whatever_the_value_model_says():
    """With lambda = 1 a value is a baseline, which depends on the tokens before alone."""
    policy = listed()
    found = expected_update(policy, A2C(beta=BETA), REWARDS, REFERENCE, 1, critic())
    assert_same(found, exact(policy, REWARDS, BETA))


@dataclass(frozen=True)
class GoesOn(A2C):
    """A2C that takes a response without its end mark for the beginning of a longer one."""

    def advantages(self, experience, rewards):
        after = np.where(experience.rollout.truncated, 0.7, 0.0)  # V of the state after the cut
        given = rewards, experience.values, experience.counted
        found = gae(*given, self.gamma, self.lam, after)
        return found, found + experience.values


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_a_response_that_was_cut_ends_where_its_score_stands(kind):
    """[1, 1] has no end mark, and the objective E[r] is that of responses as they stand."""
    policy, more = listed(), {}
    if kind is PPO:
        more = {"whiten": "none", "how": "fixed"}
    method = kind(lam=1.0, beta=BETA, **more)
    wanted = exact(policy, REWARDS, BETA)
    assert rollout_of(policy, np.arange(3)).truncated.tolist() == [False, False, True]
    assert_same(expected_update(policy, method, REWARDS, REFERENCE, 1, critic()), wanted)
    found = expected_update(policy, GoesOn(beta=BETA), REWARDS, REFERENCE, 1, critic())
    assert max(np.abs(one - other).max() for one, other in zip(found, wanted)) > 1e-2


def test_with_a_wrong_value_model_the_td_error_is_biased():
    policy = listed()
    found = expected_update(policy, A2C(lam=0.0, beta=BETA), REWARDS, REFERENCE, 1, critic())
    wanted = exact(policy, REWARDS, BETA)
    assert max(np.abs(one - other).max() for one, other in zip(found, wanted)) > 1e-2


def test_the_first_update_of_ppo_is_the_policy_gradient():
    policy = listed()
    method = PPO(lam=1.0, whiten="none", how="fixed", beta=BETA)
    found = expected_update(policy, method, REWARDS, REFERENCE, 1, critic())
    assert_same(found, exact(policy, REWARDS, BETA))


def test_a_mean_over_tokens_is_that_divided_by_the_length_where_all_have_one():
    policy = listed(eos=None)
    method = PPO(lam=1.0, whiten="none", how="token", beta=BETA)
    found = expected_update(policy, method, FIXED, REFERENCE, 1, critic(), eos=None)
    assert_same(found, exact(policy, FIXED, BETA), 1 / 2)


def test_dr_grpo_has_its_known_factor():
    """(G-1)/G for the mean with itself, and the constant: 2 tokens at most."""
    policy = listed()
    found = expected_update(policy, DrGRPO(group=2), REWARDS, None, 2)
    assert_same(found, exact(policy, REWARDS, 0.0), 1 / 2 / 2)


def test_grpo_has_another_gradient():
    policy = listed()
    found = expected_update(policy, GRPO(group=2), REWARDS, REFERENCE, 2)
    wanted = exact(policy, REWARDS, 0.04)
    cosine = sum((one * other).sum() for one, other in zip(found, wanted))
    norms = [np.sqrt(sum((one**2).sum() for one in g)) for g in (found, wanted)]
    assert cosine / np.prod(norms) < 0.999
