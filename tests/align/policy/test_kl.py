"""Estimators of the divergence: their values, and what each is worth in a loss or a reward."""

import numpy as np
import pytest

from tests.align.small import gpt, random_policy
from tinylm.align.exact import expectation, gradient_of, kl, objective
from tinylm.align.exact.policies import ListedPolicy, TablePolicy
from tinylm.align.logprobs import response_logits
from tinylm.align.policy.kl import (
    AdaptiveKL,
    book_penalty,
    k1,
    k2,
    k3,
    kl_in_reward,
    kl_loss,
    token_kl,
    weighted_k3,
)
from tinylm.align.policy.surrogates import policy_gradient_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.instructions import InstructionTuning

RNG = np.random.default_rng(0)
POLICY = TablePolicy(RNG.normal(size=(1, 5)))
LOGREF = random_policy(RNG, 5)
LOGP = POLICY.logprobs().data[0]
TINY = 1e-13


def sampled(penalty, sampler=None):
    """The expected gradient of a penalty on responses of `sampler`, by default of the policy."""
    logp = POLICY.logprobs()[0]
    chance = np.exp(logp.data if sampler is None else sampler)
    return gradient_of((penalty(logp) * chance).sum(), POLICY)[0][0]


def exact(divergence):
    return gradient_of(divergence(POLICY.logprobs()[0]), POLICY)[0][0]


TO_REFERENCE = exact(lambda p: kl(p, LOGREF))  # of KL(pi || ref)
FROM_REFERENCE = exact(lambda p: kl(LOGREF, p))  # of KL(ref || pi)


def test_two_estimators_have_no_bias_and_one_has():
    wanted = kl(LOGP, LOGREF)
    logp = Tensor(LOGP)
    assert expectation(LOGP, k1(logp, LOGREF)).item() == pytest.approx(wanted, rel=1e-13)
    assert expectation(LOGP, k3(logp, LOGREF)).item() == pytest.approx(wanted, rel=1e-13)
    assert abs(expectation(LOGP, k2(logp, LOGREF)).item() - wanted) > 0.01
    assert (k3(logp, LOGREF).data >= 0).all() and (k1(logp, LOGREF).data < 0).any()
    # d = log 2: log 2, (log 2)^2 / 2, 1/2 - 1 + log 2
    d = Tensor(np.log([0.5])), np.log([0.25])
    found = [float(k(*d).data[0]) for k in (k1, k2, k3)]
    np.testing.assert_allclose(found, [np.log(2), np.log(2) ** 2 / 2, np.log(2) - 0.5], rtol=1e-14)


def test_they_are_0_and_flat_at_the_reference_save_k1():
    x = Tensor(LOGREF, requires_grad=True)
    for penalty, slope in ((k1, 1), (k2, 0), (k3, 0)):
        found = penalty(x, LOGREF)
        np.testing.assert_allclose(found.data, 0, atol=1e-15)
        np.testing.assert_allclose(grad(found.sum(), [x])[0].data, slope, atol=1e-15)


@pytest.mark.parametrize(
    "name, penalty, wanted",
    [
        ("k1 in the loss", lambda p: k1(p, LOGREF), np.zeros(5)),
        ("k2 in the loss", lambda p: k2(p, LOGREF), TO_REFERENCE),
        ("k3 in the loss", lambda p: k3(p, LOGREF), FROM_REFERENCE),
        ("k3 times the ratio", lambda p: weighted_k3(p, LOGP, LOGREF), TO_REFERENCE),
        ("k1 in the reward", lambda p: p * k1(p, LOGREF).data, TO_REFERENCE),
    ],
)
def test_the_expected_gradient_of_each_place(name, penalty, wanted):
    np.testing.assert_allclose(sampled(penalty), wanted, atol=TINY)


def test_k3_times_the_ratio_is_right_for_responses_of_another_policy():
    old = random_policy(np.random.default_rng(1), 5)
    found = sampled(lambda p: weighted_k3(p, old, LOGREF), sampler=old)
    np.testing.assert_allclose(found, TO_REFERENCE, atol=TINY)
    without = sampled(lambda p: k3(p, LOGREF), sampler=old)
    assert np.abs(without - FROM_REFERENCE).max() > 0.01


def test_the_penalty_in_the_reward_has_the_gradient_of_the_objective():
    """E[(r - beta k1) d log pi] = d (E[r] - beta KL): to it pi* is the answer."""
    rewards = np.array([1.0, 0.0, -1.0, 0.5, 2.0])
    one = np.ones((5, 1), bool)
    logp = POLICY.logprobs()[0].reshape(5, 1)
    held = kl_in_reward(rewards[:, None], logp, LOGREF[:, None], one, 0.3)
    np.testing.assert_allclose(held[:, 0], rewards - 0.3 * (LOGP - LOGREF), rtol=1e-13)
    weights = held * np.exp(LOGP)[:, None]
    found = gradient_of(policy_gradient_loss(logp, weights, one, "fixed", 1), POLICY)[0][0]
    wanted = exact(lambda p: objective(p, LOGREF, rewards, 0.3))
    np.testing.assert_allclose(-found, wanted, atol=TINY)


def test_the_penalty_in_the_reward_stands_at_each_counted_token():
    logp, reference = np.log([[0.5, 0.5, 0.5]]), np.log([[0.25, 0.5, 0.1]])
    found = kl_in_reward([[0.0, 1.0, np.nan]], logp, reference, np.array([[1, 1, 0]], bool), 0.1)
    np.testing.assert_allclose(found, [[-0.1 * np.log(2), 1, 0]], rtol=1e-14)
    assert isinstance(
        kl_in_reward(Tensor(found), Tensor(logp), reference, found == found, 1), np.ndarray
    )


def test_the_penalty_as_it_is_printed_is_none():
    """On the policy's own responses nothing; on those of the reference the opposite of one."""
    counted = np.ones((5, 1), bool)

    def printed(p):
        return book_penalty(p.reshape(5, 1), LOGREF[:, None], counted)

    np.testing.assert_allclose(printed(Tensor(LOGP)).data, LOGP - LOGREF, atol=1e-15)
    np.testing.assert_allclose(sampled(printed), 0, atol=TINY)
    found = sampled(printed, sampler=LOGREF)
    np.testing.assert_allclose(found, -FROM_REFERENCE, atol=TINY)


def test_maximizing_with_the_printed_penalty_leaves_the_reference():
    """200 exact steps of .1 from near the reference: KL(ref || pi) grows to more than 100 times."""
    rng = np.random.default_rng(3)
    policy = TablePolicy(LOGREF[None] + 0.1 * rng.normal(size=(1, 5)))
    before = kl(LOGREF, policy.logprobs().data[0])
    for _ in range(200):
        logp = policy.logprobs()[0].reshape(5, 1)
        penalty = book_penalty(logp, LOGREF[:, None], np.ones((5, 1), bool))
        (g,) = gradient_of((penalty * np.exp(LOGREF)).sum(), policy)
        policy.logits.data[...] -= 0.1 * g  # ascent on U - beta penalty, beta 1
    assert before < 0.05 and kl(LOGREF, policy.logprobs().data[0]) > 1


def test_a_penalty_in_the_loss_is_beta_times_its_mean():
    values = Tensor(np.array([[1.0, 3.0], [5.0, 7.0]]))
    counted = np.array([[True, True], [True, False]])
    assert kl_loss(values, counted, 0.5).item() == 0.5 * 3
    assert kl_loss(values, counted, 0.5, "sequence").item() == 0.5 * (2 + 5) / 2
    assert kl_loss(values, counted, 0.5, total=9).item() == 0.5


def test_the_reference_is_a_constant():
    reference = Tensor(LOGREF, requires_grad=True)
    x = Tensor(LOGP, requires_grad=True)
    for found in (k1(x, reference), k2(x, reference), k3(x, reference)):
        np.testing.assert_array_equal(grad(found.sum(), [reference])[0].data, 0)


def test_over_the_whole_vocabulary_nothing_is_drawn():
    """The sum over tokens of KL at each state is the divergence of whole responses."""
    m, other = gpt(), gpt(seed=1)
    policy, reference = ListedPolicy(m, [[1]], 2), ListedPolicy(other, [[1]], 2)
    wanted = kl(policy.logprobs().data[0], reference.logprobs().data[0])
    batch = InstructionTuning().make_batch([policy.example(0, k) for k in range(9)])
    logits, _ = response_logits(m, batch)
    each = token_kl(logits, response_logits(other, batch)[0])  # (18,): two tokens of 9 responses
    chance = np.exp(policy.logprobs().data[0])
    assert (each.reshape(9, 2).sum(axis=1) * chance).sum().item() == pytest.approx(
        wanted, rel=1e-12
    )


def test_beta_follows_the_divergence():
    control = AdaptiveKL(beta=0.2, target=6.0, horizon=100)
    assert control.update(6.0, 50) == 0.2
    # 5 % above: 1 + .05 * 50 / 100
    assert control.update(6.3, 50) == pytest.approx(0.2 * 1.025)
    assert control.beta == pytest.approx(0.2 * 1.025)
    # far away the error counts as a fifth
    assert AdaptiveKL(1.0, 6.0, 100).update(600.0, 50) == pytest.approx(1.1)
    assert AdaptiveKL(1.0, 6.0, 100).update(0.0, 50) == pytest.approx(0.9)
    default = AdaptiveKL()
    assert (default.beta, default.target, default.horizon) == (0.2, 6.0, 10_000)
    for wrong in ({"beta": 0}, {"target": 0}, {"horizon": 0}):
        with pytest.raises(ConfigError, match="AdaptiveKL"):
            AdaptiveKL(**wrong)
