import math

import numpy as np
import pytest

from tinylm.align.rewards.pairwise import (
    bradley_terry_scores,
    pairwise_loss,
    pairwise_loss_with_ties,
    preference_accuracy,
    preference_probability,
    soft_pairwise_loss,
)
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError, ShapeError

TWO, ONE = Tensor([2.0]), Tensor([1.0])


def scores(*values):
    return Tensor(np.array(values), requires_grad=True)


def test_the_vector_of_the_specification():
    # r = 2 and 1: sigma(1) and its -log
    assert preference_probability(TWO, ONE).item() == pytest.approx(0.7310585786, abs=1e-10)
    assert pairwise_loss(TWO, ONE).item() == pytest.approx(0.3132616875, abs=1e-10)


def test_probabilities_of_both_orders_sum_to_one():
    a, b = Tensor([3.0, -2.0, 0.0]), Tensor([1.0, 5.0, 0.0])
    both = preference_probability(a, b) + preference_probability(b, a)
    np.testing.assert_allclose(both.numpy(), 1, rtol=1e-15)


def test_equal_scores_cost_ln_2():
    assert pairwise_loss(TWO, TWO).item() == pytest.approx(math.log(2), rel=1e-15)


def test_a_constant_of_a_prompt_changes_nothing():
    c = Tensor([10.0])
    assert pairwise_loss(TWO + c, ONE + c).item() == pytest.approx(
        pairwise_loss(TWO, ONE).item(), rel=1e-13
    )


def test_the_gradient_is_the_probability_of_the_wrong_choice():
    # dL/dr_c = -(1 - P) / B, and the opposite for r_r
    chosen, rejected = scores(2.0, -1.0), scores(1.0, 0.5)
    g_chosen, g_rejected = grad(pairwise_loss(chosen, rejected), [chosen, rejected])
    wrong = 1 - preference_probability(chosen, rejected).numpy()
    np.testing.assert_allclose(g_chosen.numpy(), -wrong / 2, rtol=1e-14)
    np.testing.assert_allclose(g_rejected.numpy(), wrong / 2, rtol=1e-14)


def test_scores_far_apart_are_finite():
    # -log sigma(d) is -d far below 0, and 0 far above
    chosen, rejected = scores(-1000.0, 1000.0), scores(1000.0, -1000.0)
    loss = pairwise_loss(chosen, rejected)
    assert loss.item() == 1000.0
    np.testing.assert_array_equal(grad(loss, [chosen])[0].numpy(), [-0.5, 0.0])


def test_a_margin_is_a_lower_score_of_the_chosen():
    assert (
        pairwise_loss(TWO, ONE, margin=np.array([0.5])).item()
        == pairwise_loss(Tensor([1.5]), ONE).item()
    )
    # the margin moves the difference at which the loss is ln 2
    assert pairwise_loss(TWO, ONE, margin=1.0).item() == pytest.approx(math.log(2), rel=1e-15)


def test_the_regularizer_has_the_vector_of_the_specification():
    # .01 (2 + 1)^2 = .09
    assert pairwise_loss(TWO, ONE, center=0.01).item() == pytest.approx(0.4032616875, abs=1e-10)


def test_of_all_shifts_the_regularizer_prefers_the_one_with_sum_zero():
    # c = -(r_a + r_b) / 2 = -1.5: there its term is 0 and its gradient as well
    shifted = scores(0.5), scores(-0.5)
    loss = pairwise_loss(*shifted, center=0.01)
    assert loss.item() == pytest.approx(0.3132616875, abs=1e-10)
    g = grad(loss, shifted)
    assert g[0].item() == -g[1].item() == pytest.approx(-(1 - 0.7310585786), abs=1e-10)


def test_the_regularizer_leaves_the_gradient_of_the_difference():
    a, b = scores(2.0), scores(1.0)
    plain = grad(pairwise_loss(a, b), [a, b])
    centered = grad(pairwise_loss(a, b, center=0.3), [a, b])
    assert (centered[0] - centered[1]).item() == pytest.approx(
        (plain[0] - plain[1]).item(), rel=1e-14
    )
    # along the shift: 0 without it, 2 lambda 2 (r_a + r_b) with it
    assert (plain[0] + plain[1]).item() == pytest.approx(0, abs=1e-16)
    assert (centered[0] + centered[1]).item() == pytest.approx(2 * 0.3 * 2 * 3, rel=1e-14)


def test_a_certain_label_is_the_hard_loss():
    assert soft_pairwise_loss(TWO, ONE, 1.0).item() == pytest.approx(
        pairwise_loss(TWO, ONE).item(), rel=1e-15
    )
    assert soft_pairwise_loss(TWO, ONE, 0.0).item() == pytest.approx(
        pairwise_loss(ONE, TWO).item(), rel=1e-15
    )


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_a_soft_label_is_met_by_the_difference_that_has_its_probability(p):
    # d = logit(p): the gradient sigma(d) - p is 0 there
    a, b = scores(math.log(p / (1 - p))), scores(0.0)
    loss = soft_pairwise_loss(a, b, p)
    assert grad(loss, [a])[0].item() == pytest.approx(0, abs=1e-16)
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert loss.item() == pytest.approx(entropy, rel=1e-14)


def test_soft_labels_far_from_the_scores_are_finite():
    assert soft_pairwise_loss(Tensor([1000.0]), Tensor([-1000.0]), 0.25).item() == 1500.0


def test_a_soft_label_is_the_expected_loss_of_hard_ones():
    # sum over both orders of Pr(order) times its loss, exactly
    expected = 0.75 * pairwise_loss(TWO, ONE).item() + 0.25 * pairwise_loss(ONE, TWO).item()
    assert soft_pairwise_loss(TWO, ONE, 0.75).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("p", [-0.01, 1.01])
def test_a_label_that_is_no_probability_is_refused(p):
    with pytest.raises(DataError, match="between 0 and 1"):
        soft_pairwise_loss(TWO, ONE, np.array([p]))


def test_with_ties_three_outcomes_have_all_probability():
    a = Tensor([2.0] * 3)
    b = Tensor([1.0] * 3)
    one = [
        pairwise_loss_with_ties(a[i : i + 1], b[i : i + 1], [outcome], tie=0.7).item()
        for i, outcome in enumerate((1, 0, -1))
    ]
    assert sum(math.exp(-loss) for loss in one) == pytest.approx(1, rel=1e-14)
    # the mean of the three is the loss of all
    assert pairwise_loss_with_ties(a, b, [1, 0, -1], tie=0.7).item() == pytest.approx(
        sum(one) / 3, rel=1e-14
    )


def test_equal_responses_tie_as_often_as_nu_wants():
    # 1 : nu : 1, so nu / (2 + nu)
    loss = pairwise_loss_with_ties(ONE, ONE, [0], tie=2.0).item()
    assert math.exp(-loss) == pytest.approx(0.5, rel=1e-14)


def test_by_default_equal_responses_have_three_equal_outcomes():
    assert pairwise_loss_with_ties(ONE, ONE, [0]).item() == pytest.approx(math.log(3), rel=1e-14)


def test_without_ties_it_is_bradley_terry():
    loss = pairwise_loss_with_ties(TWO, ONE, [1], tie=1e-12).item()
    assert loss == pytest.approx(0.3132616875, abs=1e-10)


def test_settings_and_labels_of_ties_are_checked():
    for tie in (0, -1.0):
        with pytest.raises(ConfigError, match="tie must be above 0"):
            pairwise_loss_with_ties(TWO, ONE, [1], tie=tie)
    with pytest.raises(DataError, match=r"-1, 0 or \+1"):
        pairwise_loss_with_ties(TWO, ONE, [2])


@pytest.mark.parametrize(
    "loss",
    [
        pairwise_loss,
        lambda a, b: soft_pairwise_loss(a, b, 0.5),
        lambda a, b: pairwise_loss_with_ties(a, b, [1]),
    ],
)
def test_scores_must_be_pairs(loss):
    for a, b in (((1,), (2,)), ((0,), (0,)), ((1, 1), (1, 1))):
        with pytest.raises(ShapeError, match=r"\(B,\)"):
            loss(Tensor(np.zeros(a)), Tensor(np.zeros(b)))


def test_accuracy_counts_equal_scores_half():
    # right, wrong, equal: (1 + 0 + 1/2) / 3
    assert preference_accuracy(np.array([2, 0, 1]), np.array([1, 1, 1])) == 0.5
    assert preference_accuracy(Tensor([2.0, 1.0]), Tensor([1.0, 0.0])) == 1.0


def test_the_most_likely_scores_are_those_of_the_annotators():
    # expected counts of every comparison, not a sample: the maximum is at the true differences
    r = np.array([1.0, 0.2, -0.5, 0.8])
    wins = 5 / (1 + np.exp(r - r[:, None]))  # 5 sigma(r_i - r_j)
    np.testing.assert_allclose(bradley_terry_scores(wins), r - r.mean(), atol=1e-10)


def test_the_most_likely_scores_need_not_compare_all():
    # a chain 0 - 1 - 2 with odds 3 : 1 and 4 : 1
    wins = np.array([[9, 3, 0], [1, 0, 4], [0, 1, 0]])  # the diagonal does not count
    found = bradley_terry_scores(wins)
    np.testing.assert_allclose(found - found[2], [math.log(12), math.log(4), 0], atol=1e-9)


def test_the_iteration_goes_on_until_all_scores_are_fixed():
    wins = np.array([[0, 3, 0], [1, 0, 3], [0, 1, 0]])  # a chain with odds 3 : 1 twice
    found = bradley_terry_scores(wins, steps=10**9)  # it does not take so many
    np.testing.assert_allclose(found, [math.log(3), 0, -math.log(3)], atol=1e-9)
    # from e^r = 1: 3 / (4 / 2), 4 / (4 / 2 + 4 / 2), 1 / (4 / 2), before their mean is 0
    first = np.log([1.5, 1.0, 0.5])
    first -= first.mean()  # .501, .096, -.597: the largest of these decides
    np.testing.assert_allclose(bradley_terry_scores(wins, steps=1), first, atol=1e-14)
    np.testing.assert_allclose(bradley_terry_scores(wins, tolerance=0.6), first, atol=1e-14)
    assert np.abs(bradley_terry_scores(wins, tolerance=0.59) - first).max() > 0.1


def test_a_response_that_never_loses_has_no_best_score():
    with pytest.raises(DataError, match="from response 1 to response 0"):
        bradley_terry_scores([[0, 1], [0, 0]])
    # two groups that are never compared
    apart = np.kron(np.eye(2), np.ones((2, 2)))
    with pytest.raises(DataError, match="from response 0 to response 2"):
        bradley_terry_scores(apart)
