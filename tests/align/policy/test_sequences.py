"""GSPO's ratio of whole responses, and CISPO's clipped weights."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact.gradients import expected_loss, gradient_of, policy_gradient
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.policy.groups import group_advantages
from tinylm.align.policy.sequences import cispo_loss, gspo_loss, gspo_token_loss, sequence_ratio
from tinylm.align.policy.surrogates import policy_gradient_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError

LOGP = np.log([[0.4, 0.1, 0.9], [0.2, 0.9, 0.9]])
OLD = np.log([[0.1, 0.1, 0.1], [0.25, 0.1, 0.1]])  # ratios 4, 1 and .8
COUNTED = np.array([[True, True, False], [True, False, False]])
A = np.array([1.0, 2.0])


def leaf():
    return Tensor(LOGP, requires_grad=True)


def slope(loss, x):
    return grad(loss, [x])[0].data


def test_the_ratio_of_a_response_is_a_geometric_mean():
    np.testing.assert_allclose(sequence_ratio(leaf(), OLD, COUNTED).data, [2, 0.8], rtol=1e-14)


def test_whole_responses_are_clipped():
    x = leaf()
    loss = gspo_loss(x, OLD, A, COUNTED, low=0.5, high=0.5)
    assert loss.item() == pytest.approx(-(1.5 + 2 * 0.8) / 2, rel=1e-13)
    # the first has no gradient in any token; d s / d logp = s / |y|
    np.testing.assert_allclose(slope(loss, x), [[0, 0, 0], [-0.8, 0, 0]], rtol=1e-13)
    wide = gspo_loss(x, OLD, A, COUNTED, low=0.5, high=2.0)
    np.testing.assert_allclose(slope(wide, x), [[-0.5, -0.5, 0], [-0.8, 0, 0]], rtol=1e-13)
    assert gspo_loss(x, OLD, A, COUNTED, 0.5, 0.5, total=4).item() == pytest.approx(
        -(1.5 + 2 * 0.8) / 4
    )
    # the paper's bounds are narrow
    assert gspo_loss(x, OLD, A, COUNTED).item() == pytest.approx(-(1.0004 + 2 * 0.8) / 2)
    assert gspo_loss(x, OLD, -A, COUNTED).item() == pytest.approx((2 + 2 * 0.9997) / 2)


@pytest.mark.parametrize("bounds", [(0.5, 0.5), (0.5, 2.0), (3e-4, 4e-4)])
def test_with_one_advantage_for_all_tokens_the_token_form_is_the_same(bounds):
    for sign in (1, -1):
        x, y = leaf(), leaf()
        whole = gspo_loss(x, OLD, sign * A, COUNTED, *bounds)
        tokens = gspo_token_loss(y, OLD, sign * A, COUNTED, *bounds)
        assert tokens.item() == pytest.approx(whole.item(), rel=1e-13)
        np.testing.assert_allclose(slope(tokens, y), slope(whole, x), atol=1e-14)
    default = gspo_token_loss(leaf(), OLD, A, COUNTED)
    assert default.item() == pytest.approx(gspo_loss(leaf(), OLD, A, COUNTED).item())


def test_at_the_first_step_gspo_is_the_mean_over_each_response():
    x = leaf()
    found = slope(gspo_loss(x, LOGP, A, COUNTED), x)
    y = leaf()
    wanted = slope(policy_gradient_loss(y, A, COUNTED, "sequence"), y)
    np.testing.assert_allclose(found, wanted, atol=1e-14)


def test_the_expected_gradient_of_gspo():
    """(G-1)/G sum_y pi(y) (r - J) / |y| d log pi(y): the length stands below the advantage."""
    policy = ListedPolicy(gpt(vocab_size=2), [[0]], 2, eos=0)
    rewards, counted = np.array([1.0, 0.0, 3.0]), policy.counted
    logp = policy.token_logprobs()[0]
    chance = np.exp(logp.data.sum(axis=-1))

    def of_group(group):
        advantages = group_advantages(rewards[group], scale=False)
        return gspo_loss(logp[group], logp.data[group], advantages, counted[group])

    found = gradient_of(expected_loss(np.log(chance), 2, of_group), policy)
    wanted = policy_gradient(policy, (rewards - chance @ rewards) / counted.sum(axis=1))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(-one, other / 2, atol=1e-12)


def test_cispo_keeps_the_gradient_of_what_it_clips():
    x = leaf()
    loss = cispo_loss(x, OLD, A, COUNTED)
    # weights min(4, 1.2), 1 and .8
    wanted = -np.array([[1.2, 1.0, 0], [2 * 0.8, 0, 0]]) / 3
    np.testing.assert_allclose(slope(loss, x), wanted, rtol=1e-13)
    assert loss.item() == pytest.approx((LOGP * wanted).sum(), rel=1e-13)
    bounded = cispo_loss(x, OLD, A, COUNTED, low=0.1, high=9.0, how="fixed", total=1)
    np.testing.assert_allclose(slope(bounded, x), [[-4, -1, 0], [-2 * 0.9, 0, 0]], rtol=1e-13)


def test_at_the_first_step_cispo_is_the_policy_gradient():
    x, y = leaf(), leaf()
    found, wanted = cispo_loss(x, LOGP, A, COUNTED), policy_gradient_loss(y, A, COUNTED)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-14)
    np.testing.assert_array_equal(slope(found, x), slope(wanted, y))


def test_the_expected_gradient_of_cispo_off_policy():
    """sum_y pi_old(y) clip(rho) A d log pi(y): short of the true one where rho is clipped."""
    x = Tensor(np.log([[0.6], [0.4]]), requires_grad=True)
    old, one = np.log([[0.3], [0.7]]), np.ones((2, 1), bool)
    weights = np.exp(old[:, 0]) * np.array([1.0, -1.0])
    found = slope(cispo_loss(x, old, weights, one, how="fixed", total=1), x)
    np.testing.assert_allclose(found, [[-0.3 * 1.2], [0.4]], rtol=1e-13)  # .6 / .3 = 2 is clipped


def test_what_was_drawn_is_constant():
    x, old, advantages = leaf(), Tensor(OLD, requires_grad=True), Tensor(A, requires_grad=True)
    for loss in (gspo_loss, gspo_token_loss, cispo_loss):
        for g in grad(loss(x, old, advantages, COUNTED), [old, advantages]):
            np.testing.assert_array_equal(g.data, 0)
    for bounds in ({"high": 0.0}, {"low": 0.0}, {"low": -1.0}):
        with pytest.raises(ConfigError, match="cispo_loss"):
            cispo_loss(x, OLD, A, COUNTED, **bounds)
