"""The critic's losses: worked numbers, their gradients, and what they converge to."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.exact.tokens import values as exact_values
from tinylm.align.policy.advantages import td_errors
from tinylm.align.policy.critic import clipped_value_loss, td_value_loss, value_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError

R = np.array([[0.0, 0.0, 0.0, 1.0]])
V = np.array([[0.2, 0.4, 0.5, 0.7]])
ALL = np.ones((1, 4), bool)


def leaf(values):
    return Tensor(np.array(values), requires_grad=True)


def slope(loss, x):
    return grad(loss, [x], retain_graph=True)[0].data


@pytest.mark.parametrize("gamma, wanted", [(1.0, 0.045), (0.9, 0.03375)])
def test_the_worked_example(gamma, wanted):
    """(.04 + .01 + .04 + .09) / 4, and (.0256 + .0025 + .0169 + .09) / 4."""
    assert td_value_loss(leaf(V), R, ALL, gamma).item() == pytest.approx(wanted, rel=1e-12)
    if gamma == 1:
        assert td_value_loss(leaf(V), R, ALL).item() == pytest.approx(wanted, rel=1e-12)


def test_the_target_is_a_constant():
    v = leaf(V)
    delta = td_errors(R, V, ALL, 0.9)
    found = slope(td_value_loss(v, R, ALL, 0.9), v)
    np.testing.assert_allclose(found, -2 * delta / 4, atol=1e-15)
    # with a gradient through it, V(s_{t+1}) gets 2 gamma delta_t as well
    residual = slope(td_value_loss(v, R, ALL, 0.9, semi_gradient=False), v)
    residual[:, 1:] -= 2 * 0.9 * delta[:, :-1] / 4
    np.testing.assert_allclose(residual, found, atol=1e-15)


def test_what_does_not_count_is_not_read():
    v = leaf(np.pad(V, ((0, 0), (2, 1)), constant_values=np.nan))
    counted = np.pad(ALL, ((0, 0), (2, 1)))
    rewards = np.pad(R, ((0, 0), (2, 1)))
    loss = td_value_loss(v, rewards, counted)
    assert loss.item() == pytest.approx(0.045, rel=1e-12)
    found = slope(loss, v)
    assert (found[~counted] == 0).all()
    np.testing.assert_allclose(found[counted], -2 * td_errors(R, V, ALL)[0] / 4, atol=1e-15)
    assert td_value_loss(v, rewards, counted, total=8).item() == pytest.approx(0.0225, rel=1e-12)


@pytest.mark.parametrize("semi_gradient", [True, False])
def test_where_a_table_is_updated_by_its_errors_it_becomes_the_value(semi_gradient):
    """Responses of a policy that is listed, each weighted by its probability.

    With the target constant, the fixed point of shared states is E[r + gamma V'], the true value;
    the residual gradient has another one, because what follows a state is drawn.
    """
    policy = ListedPolicy(gpt(), [[1]], 2)
    rewards = np.zeros((9, 2))
    rewards[:, 1] = np.arange(9.0) % 4
    chance = np.exp(policy.logprobs().data[0])
    wanted = exact_values(policy.token_logprobs().data[0], policy.responses, rewards)
    states = np.array([[0, 1 + first] for first in policy.responses[:, 0]])  # 4 states
    table, counted = leaf(np.zeros(4)), np.ones((1, 2), bool)
    visits = np.bincount(states.ravel(), weights=np.repeat(chance, 2))  # by which each is stepped
    for _ in range(40):
        loss = sum(
            td_value_loss(table[states[k]][None], rewards[k][None], counted, 1.0, semi_gradient)
            * chance[k]
            for k in range(9)
        )
        table.data[...] -= 0.5 * slope(loss, table) / visits
    gap = np.abs(table.data[states] - wanted).max()
    assert (gap < 1e-6) == semi_gradient
    if not semi_gradient:
        assert gap > 1e-2


def test_the_loss_of_given_targets():
    v = leaf([[1.0, 4.0], [2.0, 9.0]])
    targets = Tensor(np.array([[3.0, 4.5], [0.0, 0.0]]), requires_grad=True)
    counted = np.array([[True, True], [True, False]])
    loss = value_loss(v, targets, counted)
    assert loss.item() == pytest.approx((4 + 0.25 + 4) / 3)
    np.testing.assert_allclose(slope(loss, v), [[-4 / 3, -1 / 3], [4 / 3, 0]])
    np.testing.assert_array_equal(slope(loss, targets), 0)
    each = value_loss(v, targets, counted, "sequence")
    assert each.item() == pytest.approx(((4 + 0.25) / 2 + 4) / 2)


def test_a_value_that_has_moved_far_towards_its_target_has_no_gradient():
    old, targets = np.zeros((1, 4)), np.array([[1.0, 1.0, 1.0, -1.0]])
    v = leaf([[0.1, 0.5, -0.5, -0.1]])  # inside; past .2 towards; past .2 away; inside
    loss = clipped_value_loss(v, old, targets, ALL)
    # the larger of both errors: .9^2; (.2 - 1)^2 for (.5 - 1)^2; 1.5^2; .9^2
    assert loss.item() == pytest.approx((0.81 + 0.64 + 2.25 + 0.81) / 4, rel=1e-12)
    np.testing.assert_allclose(slope(loss, v), [[-0.45, 0, -0.75, 0.45]], atol=1e-15)
    wide = clipped_value_loss(v, old, targets, ALL, clip_at=10.0)
    assert wide.item() == pytest.approx(value_loss(v, targets, ALL).item(), rel=1e-14)
    assert clipped_value_loss(v, old, targets, ALL, how="fixed", total=1).item() == pytest.approx(
        4 * loss.item()
    )


def test_old_values_and_targets_are_constants():
    v, old, targets = leaf(V), leaf(V - 0.5), leaf(V + 1)
    for g in grad(clipped_value_loss(v, old, targets, ALL), [old, targets]):
        np.testing.assert_array_equal(g.data, 0)
    with pytest.raises(ConfigError, match="clip_at"):
        clipped_value_loss(v, old, targets, ALL, clip_at=0)
