"""REINFORCE, A2C and importance sampling have the exact policy gradient, by enumeration."""

import numpy as np
import pytest

from tests.align.small import gpt, random_policy
from tinylm.align.exact.gradients import gradient_of, performance, policy_gradient
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.exact.tokens import advantages, returns_to_go
from tinylm.align.logprobs import frozen_logprobs, response_logprobs
from tinylm.align.policy.surrogates import (
    check_first_ratio,
    effective_sample_size,
    entropy_loss,
    importance_loss,
    per_token,
    policy_gradient_loss,
    ratio,
)
from tinylm.autograd import Tensor, grad
from tinylm.errors import DataError, ShapeError
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning

CLOSE = dict(rtol=0, atol=1e-12)
POLICY = ListedPolicy(gpt(), [[1]], 2, eos=0)
K = len(POLICY.responses)
REWARDS = np.zeros((K, 2))  # a reward at each token, alike for the same prefix
REWARDS[:, 0] = POLICY.responses[:, 0]
REWARDS[:, 1] = np.random.default_rng(0).normal(size=K)
WHOLE = REWARDS.sum(axis=1)  # (K,)


def expected(weights, loss=policy_gradient_loss, old=None):
    """The gradient of E[-loss], each response weighted by its probability under the sampler.

    The responses are the batch; sums over tokens, as in the book: "fixed" with total 1.
    """
    logp = POLICY.token_logprobs()[0]  # (K, 2)
    sampler = logp.data if old is None else old
    chance = np.exp(sampler.sum(axis=-1, keepdims=True))
    weights = chance * np.broadcast_to(np.reshape(weights, (K, -1)), (K, 2))
    given = (logp, weights, POLICY.counted)
    if old is not None or loss is importance_loss:
        given = (logp, sampler, weights, POLICY.counted)
    return [-g for g in gradient_of(loss(*given, how="fixed", total=1), POLICY)]


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


EXACT = policy_gradient(POLICY, WHOLE)


@pytest.mark.parametrize(
    "name, weights",
    [
        ("the return of the whole", WHOLE),
        ("less a constant", WHOLE - 7.0),
        ("the reward to go", returns_to_go(REWARDS)),
        ("advantages", advantages(POLICY.token_logprobs().data[0], POLICY.responses, REWARDS)),
    ],
)
def test_the_expected_gradient_is_that_of_the_expected_reward(name, weights):
    assert_same(expected(weights), EXACT)


def test_a_past_reward_adds_nothing_to_the_gradient_of_an_action():
    """E[d log pi(a_2 | s_2) r_1] = 0: so it may be left out."""
    past = np.zeros((K, 2))
    past[:, 1] = REWARDS[:, 0]
    for g in expected(past):
        np.testing.assert_allclose(g, 0, **CLOSE)
    future = np.zeros((K, 2))
    future[:, 0] = REWARDS[:, 1]
    assert max(np.abs(g).max() for g in expected(future)) > 1e-2


def test_the_importance_loss_has_the_same_gradient_where_the_policies_agree():
    assert_same(expected(returns_to_go(REWARDS), importance_loss), EXACT)


def test_the_ratio_makes_responses_of_another_policy_count_as_ones_own():
    """E_old[pi / pi_old R] = J, and its gradient, whatever pi_old is   (book eqs. 4.46, 4.47)."""
    rng = np.random.default_rng(5)
    logp, old = POLICY.logprobs()[0], random_policy(rng, K)
    surrogate = (ratio(logp, old) * (np.exp(old) * WHOLE)).sum()
    assert surrogate.item() == pytest.approx(performance(POLICY, WHOLE).item(), rel=1e-12)
    assert_same(gradient_of(surrogate, POLICY), EXACT)
    assert (ratio(logp, old) * np.exp(old)).sum().item() == pytest.approx(1, rel=1e-12)


def test_one_number_for_a_response_is_that_number_for_each_of_its_tokens():
    logp = Tensor(np.log([[0.5, 0.25], [0.1, 0.2]]), requires_grad=True)
    counted = np.array([[True, True], [True, False]])
    one = policy_gradient_loss(logp, np.array([2.0, -1.0]), counted)
    each = policy_gradient_loss(logp, np.array([[2.0, 2.0], [-1.0, -1.0]]), counted)
    # - (2 log .5 + 2 log .25 - log .1) / 3 tokens
    wanted = -(2 * np.log(0.125) - np.log(0.1)) / 3
    assert one.item() == pytest.approx(wanted, rel=1e-14) and each.item() == one.item()
    (g,) = grad(one, [logp])
    np.testing.assert_allclose(g.data, [[-2 / 3, -2 / 3], [1 / 3, 0]], rtol=1e-14)
    half = policy_gradient_loss(logp, np.array([2.0, -1.0]), counted, total=6)
    assert half.item() == pytest.approx(wanted / 2, rel=1e-14)


def test_no_gradient_reaches_advantages_and_old_log_probabilities():
    logp = Tensor(np.log([[0.5, 0.25]]), requires_grad=True)
    A, old = (Tensor(np.log([[0.3, 0.4]]), requires_grad=True) for _ in range(2))
    counted = np.ones((1, 2), bool)
    for loss in (policy_gradient_loss(logp, A, counted), importance_loss(logp, old, A, counted)):
        for g in grad(loss, [A, old]):
            np.testing.assert_array_equal(g.data, 0)
    assert isinstance(per_token(A, logp), np.ndarray)


def test_the_ratio_by_hand():
    logp = Tensor(np.log([[0.5, 0.2]]), requires_grad=True)
    rho = ratio(logp, np.log([[0.25, 0.4]]))
    np.testing.assert_allclose(rho.data, [[2, 0.5]], rtol=1e-14)
    (g,) = grad(rho.sum(), [logp])
    np.testing.assert_allclose(g.data, rho.data, rtol=1e-14)  # d exp = exp


def test_effective_sample_size():
    same = np.log([0.1, 0.2, 0.3])
    assert effective_sample_size(same, same) == pytest.approx(3, rel=1e-14)
    # weights 3 and 1: (3 + 1)^2 / (9 + 1)
    assert effective_sample_size(np.log([0.3, 0.1]), np.log([0.1, 0.1])) == pytest.approx(1.6)
    # one response with all the weight is one draw, however small its probability
    assert effective_sample_size([-2000.0, -4000.0], [0.0, 0.0]) == 1


def test_advantages_of_another_shape_are_refused():
    logp = Tensor(np.zeros((2, 3)))
    for shape in ((3,), (2, 1), (2, 4)):
        with pytest.raises(ShapeError, match="advantages"):
            per_token(np.zeros(shape), logp)


def test_the_entropy_is_the_largest_where_all_tokens_are_alike():
    flat = Tensor(np.zeros((2, 4)), requires_grad=True)
    assert entropy_loss(flat).item() == pytest.approx(-np.log(4), rel=1e-14)
    np.testing.assert_allclose(grad(entropy_loss(flat), [flat])[0].data, 0, atol=1e-15)
    logits = Tensor(np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]))
    assert entropy_loss(logits).item() == pytest.approx(-1.5 * np.log(2), rel=1e-14)
    assert entropy_loss(logits, total=8).item() == pytest.approx(-3 * np.log(2) / 8, rel=1e-14)


def test_before_the_first_update_the_policies_are_one():
    logp = np.log([[0.5, 0.25, 0.1]])
    counted = np.array([[True, True, False]])
    assert check_first_ratio(Tensor(logp), logp, counted) == 0
    apart = logp + [[0.0, -3e-5, 9.0]]  # what does not count may differ
    assert check_first_ratio(logp, apart, counted) == pytest.approx(3e-5)
    with pytest.raises(DataError, match="temperature"):
        check_first_ratio(logp, logp + 2e-4, counted)
    assert check_first_ratio(logp, logp + 2e-4, counted, tolerance=1e-3) == pytest.approx(2e-4)
    quarter = np.full((1, 3), 0.25)  # the largest that is allowed is allowed
    assert check_first_ratio(quarter, 0 * quarter, counted, tolerance=0.25) == 0.25
    with pytest.raises(DataError, match="nan"):
        check_first_ratio(logp, np.full((1, 3), np.nan), counted)
    assert check_first_ratio(logp, apart, ~counted & False) == 0


def test_another_temperature_is_found_before_the_first_update():
    m = gpt()
    batch = InstructionTuning().make_batch([encode_sft([1, 2], [0, 2])])
    old, counted = frozen_logprobs(m, batch, temperature=0.7)
    assert check_first_ratio(response_logprobs(m, batch, 0.7)[0], old, counted) == 0
    with pytest.raises(DataError):
        check_first_ratio(response_logprobs(m, batch)[0], old, counted)
