"""Losses of groups: advantages by hand, and what each changes in the expected gradient, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.small import gpt
from tinylm.align.exact.gradients import expected_loss, gradient_of, policy_gradient
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.policy.groups import (
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    grpo_loss,
    informative,
    overlong_penalty,
    rloo_advantages,
    rloo_loss,
)
from tinylm.align.policy.kl import k3
from tinylm.align.policy.surrogates import policy_gradient_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError

# Responses [0] (ended), [1, 0] and [1, 1] of two tokens: lengths 1, 2, 2
POLICY = ListedPolicy(gpt(vocab_size=2), [[0]], 2, eos=0)
LENGTHS = POLICY.counted.sum(axis=1)
REWARDS = np.array([1.0, 0.0, 3.0])
EXACT = policy_gradient(POLICY, REWARDS)
CHANCE = np.exp(POLICY.logprobs().data[0])


def expected(loss, advantages, size):
    """Minus the expected gradient of a loss (logp, A, counted) over all groups of responses."""
    logp = POLICY.token_logprobs()[0]  # (K, 2)

    def of_group(group):
        return loss(logp[group], advantages(REWARDS[group]), POLICY.counted[group])

    total = expected_loss(logp.data.sum(axis=-1), size, of_group)
    return [-g for g in gradient_of(total, POLICY)]


def weighted(weights):
    """sum_y pi(y) w(y) d log pi(y)."""
    return policy_gradient(POLICY, weights)


def assert_same(found, wanted, factor=1.0):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, factor * other, rtol=0, atol=1e-12)


def centered(rewards):
    return group_advantages(rewards, scale=False)


@pytest.mark.parametrize("size", [2, 3])
def test_rloo_has_the_gradient_of_the_expected_reward(size):
    assert_same(expected(rloo_loss, rloo_advantages, size), EXACT)


@pytest.mark.parametrize("size", [2, 3])
def test_dr_grpo_shrinks_it_by_its_own_share_and_by_its_constant(size):
    def loss(logp, A, counted):
        return dr_grpo_loss(logp, logp.data, A, counted, longest=2)

    assert_same(expected(loss, centered, size), EXACT, (size - 1) / size / 2)


@pytest.mark.parametrize("size", [2, 3])
def test_a_mean_for_each_response_weighs_long_ones_less(size):
    """sum_y pi(y) (r - J) / |y| d log pi(y): another direction."""

    def loss(logp, A, counted):
        return grpo_loss(logp, logp.data, logp.data, A, counted, beta=0.0)

    found = expected(loss, centered, size)
    biased = weighted((REWARDS - CHANCE @ REWARDS) / LENGTHS)
    assert_same(found, biased, (size - 1) / size)
    ours, theirs = (np.concatenate([g.ravel() for g in gs]) for gs in (found, EXACT))
    cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert 1 - cosine**2 > 1e-3  # a sine of more than .03


def test_the_standard_deviation_weighs_each_group_by_its_spread():
    """In groups of two any difference becomes 1 and -1: the size of the reward is forgotten."""

    def loss(logp, A, counted):
        return rloo_loss(logp, A, counted)

    found = expected(loss, lambda r: group_advantages(r, eps=0.0) if np.ptp(r) else 0 * r, 2)
    # E[A | y] = sum over others of pi(other) sign(r(y) - r(other)), whatever the distance
    signs = np.sign(REWARDS[:, None] - REWARDS) @ CHANCE
    assert_same(found, weighted(signs))


def test_the_mean_over_all_tokens_depends_on_the_lengths_of_the_others():
    """DAPO: by enumeration of pairs, (A_1 s_1 + A_2 s_2) / (|y_1| + |y_2|)."""

    def loss(logp, A, counted):
        return dapo_loss(logp, logp.data, A, counted)

    found = expected(loss, centered, 2)
    difference = (REWARDS[:, None] - REWARDS) / 2  # A of the first of a pair
    weights = 2 * difference / (LENGTHS[:, None] + LENGTHS) @ CHANCE
    assert_same(found, weighted(weights))


def test_advantages_by_hand():
    rewards = np.array([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]])
    np.testing.assert_array_equal(rloo_advantages(rewards), [[-3, -1.5, 4.5], [0, 0, 0]])
    np.testing.assert_array_equal(centered(rewards), [[-2, -1, 3], [0, 0, 0]])
    # variance (4 + 1 + 9) / 3, and / 2 as TRL has it
    found = group_advantages(rewards)
    np.testing.assert_allclose(found[0], np.array([-2, -1, 3]) / (np.sqrt(14 / 3) + 1e-4))
    np.testing.assert_array_equal(found[1], 0)  # nothing is divided by 0
    found = group_advantages(rewards, eps=0.5, ddof=1)
    np.testing.assert_allclose(found[0], np.array([-2, -1, 3]) / (np.sqrt(7) + 0.5))
    with pytest.raises(ConfigError, match="ddof=1"):
        group_advantages([[1.0]], ddof=1)
    assert group_advantages([[1.0]]) == 0
    with pytest.raises(DataError):
        rloo_advantages([[1.0]])


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(-5, 5), st.floats(0.1, 5))
def test_invariances_of_advantages(seed, G, shift, scale):
    rewards = np.random.default_rng(seed).normal(size=(2, G))
    for advantages in (rloo_advantages, centered, group_advantages):
        found = advantages(rewards)
        np.testing.assert_allclose(found.sum(axis=-1), 0, atol=1e-12)
        np.testing.assert_allclose(advantages(rewards + shift), found, atol=1e-10)
    np.testing.assert_allclose(
        rloo_advantages(rewards), centered(rewards) * G / (G - 1), atol=1e-12
    )
    scaled = group_advantages(scale * rewards, eps=0)
    np.testing.assert_allclose(scaled, group_advantages(rewards, eps=0), atol=1e-9)


LOGP = np.log([[0.3, 0.26, 0.9], [0.2, 0.9, 0.9]])
OLD = np.log([[0.2, 0.2, 0.1], [0.25, 0.1, 0.1]])  # ratios 1.5, 1.3 and .8
COUNTED = np.array([[True, True, False], [True, False, False]])
A = np.array([1.0, 2.0])


def test_each_loss_by_hand():
    x = Tensor(LOGP)
    # min(1.5, 1.2) + min(1.3, 1.2), and 2 * .8
    one, two = 2.4, 1.6
    assert dr_grpo_loss(x, OLD, A, COUNTED, longest=3).item() == pytest.approx(-(one + two) / 6)
    # with 1.28 above; the mean of three tokens
    assert dapo_loss(x, OLD, A, COUNTED).item() == pytest.approx(-(2 * 1.28 + two) / 3)
    reference = LOGP - np.log(2)  # k3 = 1/2 - 1 + log 2 at each token
    found = grpo_loss(x, OLD, reference, A, COUNTED).item()
    assert found == pytest.approx(-(one / 2 + two) / 2 + 0.04 * (np.log(2) - 0.5))
    assert rloo_loss(x, A, COUNTED).item() == pytest.approx(
        -(np.log(0.3 * 0.26) + 2 * np.log(0.2)) / 2
    )
    # bounds
    found = grpo_loss(x, OLD, reference, A, COUNTED, beta=0, clip_at=0.1).item()
    assert found == pytest.approx(-(1.1 + 2 * 0.8) / 2)
    assert dr_grpo_loss(x, OLD, A, COUNTED, 3, clip_at=0.4).item() == pytest.approx(
        -(1.4 + 1.3 + two) / 6
    )
    assert dapo_loss(x, OLD, -A, COUNTED, low=0.1).item() == pytest.approx((2.8 + 2 * 0.9) / 3)


@pytest.mark.parametrize("total", [4, 8])
def test_parts_of_a_batch_add_up(total):
    """Each row by itself, divided by the count of the whole."""
    reference = LOGP - 1
    losses = [
        (lambda r, n: rloo_loss(Tensor(LOGP[r]), A[r], COUNTED[r], n)),
        (lambda r, n: grpo_loss(Tensor(LOGP[r]), OLD[r], reference[r], A[r], COUNTED[r], total=n)),
        (lambda r, n: dr_grpo_loss(Tensor(LOGP[r]), OLD[r], A[r], COUNTED[r], 3, total=n)),
        (lambda r, n: dapo_loss(Tensor(LOGP[r]), OLD[r], A[r], COUNTED[r], total=n)),
    ]
    for loss in losses:
        parts = [loss(slice(b, b + 1), total).item() for b in range(2)]
        assert sum(parts) == pytest.approx(loss(slice(0, 2), total).item(), rel=1e-13)


def test_the_gradient_of_grpo_at_its_first_step():
    """(A + beta (exp(-d) - 1)) / |y| / B at each token, d = log pi - log ref."""
    x = Tensor(LOGP, requires_grad=True)
    loss = grpo_loss(x, LOGP, LOGP - np.log(2), A, COUNTED, beta=0.1)
    wanted = -(A[:, None] - 0.1 * (1 - 0.5)) * COUNTED / np.array([[2], [1]]) / 2
    np.testing.assert_allclose(grad(loss, [x])[0].data, wanted, atol=1e-14)
    # of which the penalty's part is beta d k3
    x = Tensor(LOGP, requires_grad=True)
    np.testing.assert_allclose(grad(k3(x, LOGP - np.log(2)).sum(), [x])[0].data, 0.5, atol=1e-14)


def test_groups_that_teach_nothing_are_known():
    rewards = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    assert informative(rewards).tolist() == [False, True, False]
    # they have no gradient and still count
    logp = Tensor(LOGP, requires_grad=True)
    loss = policy_gradient_loss(logp, group_advantages(rewards[0]), COUNTED)
    np.testing.assert_array_equal(grad(loss, [logp])[0].data, 0)


def test_overlong_responses_are_charged():
    found = overlong_penalty([10, 80, 90, 100, 120], longest=100, buffer=20)
    np.testing.assert_array_equal(found, [0, 0, -0.5, -1, -1])
    np.testing.assert_array_equal(overlong_penalty([0, 50, 100], 100, 100), [0, -0.5, -1])
    np.testing.assert_array_equal(overlong_penalty([99, 100], 100, 1), [0, -1])
    for buffer in (0, 101):
        with pytest.raises(ConfigError, match="buffer"):
            overlong_penalty([1], 100, buffer)
