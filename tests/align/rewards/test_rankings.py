import itertools
import math

import numpy as np
import pytest

from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.align.rewards.rankings import (
    listnet_loss,
    listwise_pairwise_loss,
    pair_targets,
    plackett_luce_logprob,
    plackett_luce_loss,
    ranknet_loss,
    selection_probabilities,
)
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError, ShapeError

# The example of the book: y2 > y3 > y1 > y4, with r(y1 .. y4) = .5, 2, 1, -1
RANKED = np.array([[2.0, 1.0, 0.5, -1.0]])
PAIR = np.array([[2.0, 1.0]])
HALF_EMPTY = np.array([[True, True, False, False]])


def test_the_vector_of_all_pairs():
    # the sum over the 6 pairs is 1.3656805903
    scores = Tensor(RANKED)
    assert listwise_pairwise_loss(scores).item() == pytest.approx(0.1138067159, abs=1e-10)
    found = listwise_pairwise_loss(scores, "C(N,2)").item()
    assert found == pytest.approx(0.2276134317, abs=1e-10)


def test_over_both_orders_of_each_pair_equal_scores_would_be_best():
    # The print sums over all pairs of Y. Its two halves are the loss of the ranking and of the
    # reversed ranking; together they are 1.019280 here, and ln 2 at equal scores.
    def printed(scores):
        both = (
            listwise_pairwise_loss(Tensor(scores)),
            listwise_pairwise_loss(Tensor(scores[:, ::-1].copy())),
        )
        return sum(loss.item() for loss in both)

    assert printed(RANKED) == pytest.approx(1.019280, abs=1e-6)
    assert printed(np.zeros((1, 4))) == pytest.approx(math.log(2), rel=1e-14)


def test_a_ranking_of_two_is_a_pair():
    a, b = Tensor([2.0]), Tensor([1.0])
    expected = pairwise_loss(a, b).item()
    scores = Tensor(PAIR)
    assert listwise_pairwise_loss(scores, "C(N,2)").item() == pytest.approx(expected, rel=1e-14)
    assert listwise_pairwise_loss(scores).item() == pytest.approx(expected / 2, rel=1e-14)
    assert plackett_luce_loss(scores).item() == pytest.approx(expected, rel=1e-14)
    assert ranknet_loss(scores, pair_targets([[1, 0]])).item() == pytest.approx(expected, rel=1e-14)
    assert listnet_loss(scores, np.array([[1, 0]])).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "loss", [listwise_pairwise_loss, lambda *a, **k: listwise_pairwise_loss(*a, "C(N,2)", **k)]
)
def test_a_short_ranking_in_a_wide_row_is_the_short_ranking(loss):
    wide = Tensor(RANKED, requires_grad=True)
    found = loss(wide, counted=HALF_EMPTY)
    assert found.item() == pytest.approx(loss(Tensor(PAIR)).item(), rel=1e-14)
    # scores in empty places get no gradient
    np.testing.assert_array_equal(grad(found, [wide])[0].numpy()[0, 2:], 0)


def test_the_vector_of_plackett_luce():
    first = selection_probabilities(Tensor([0.5, 2.0, 1.0, -1.0])).numpy()
    np.testing.assert_allclose(first, [0.135989, 0.609460, 0.224208, 0.030343], atol=1e-6)
    assert plackett_luce_logprob(Tensor(RANKED)).item() == pytest.approx(-1.2515520957, abs=1e-10)


def test_the_stages_of_plackett_luce():
    # what is left after each stage: of the last two -.2014..., of the last three -.5549... more
    stages = [-0.2014132780, -0.5549569196 - 0.2014132780]
    for left, expected in zip((2, 3), stages):
        found = plackett_luce_logprob(Tensor(RANKED[:, 4 - left :])).item()
        assert found == pytest.approx(expected, abs=1e-9)


def test_all_rankings_have_all_probability():
    orders = np.array(list(itertools.permutations(RANKED[0])))  # (24, 4)
    found = plackett_luce_logprob(Tensor(orders)).numpy()
    assert np.exp(found).sum() == pytest.approx(1, rel=1e-14)


def test_sorting_by_scores_with_gumbel_noise_is_plackett_luce():
    # P(the ranking) of 20 000 draws: standard error at most .0035, so 4 of them
    rng = np.random.default_rng(0)
    noisy = RANKED + rng.gumbel(size=(20_000, 4))
    share = np.mean((np.diff(noisy, axis=1) < 0).all(axis=1))
    assert share == pytest.approx(math.exp(-1.2515520957), abs=0.014)


def test_plackett_luce_does_not_see_a_constant_and_bears_large_scores():
    found = plackett_luce_loss(Tensor(RANKED + 1000)).item()
    assert found == pytest.approx(1.2515520957, abs=1e-9)


def test_empty_places_have_probability_one():
    wide = plackett_luce_logprob(Tensor(RANKED), HALF_EMPTY).numpy()
    np.testing.assert_allclose(wide, plackett_luce_logprob(Tensor(PAIR)).numpy(), rtol=1e-14)


def test_the_gradient_of_plackett_luce():
    # of -log P: for the best of three, P(selected) - 1 at the first stage alone
    scores = Tensor(np.array([[2.0, 1.0, 0.5]]), requires_grad=True)
    g = grad(plackett_luce_loss(scores), [scores])[0].numpy()[0]
    first = selection_probabilities(Tensor([2.0, 1.0, 0.5])).numpy()
    second = selection_probabilities(Tensor([1.0, 0.5])).numpy()
    expected = [first[0] - 1, first[1] + second[0] - 1, first[2] + second[1]]
    np.testing.assert_allclose(g, expected, rtol=1e-13)


def test_targets_of_pairs():
    # relevance 2, 1, 1: the first above both others, which are as good
    np.testing.assert_array_equal(
        pair_targets([[2, 1, 1]]), [[[0.5, 1, 1], [0, 0.5, 0.5], [0, 0.5, 0.5]]]
    )


def test_ranknet_and_listnet_do_not_depend_on_the_order_of_the_list():
    relevance, order = np.array([[0, 3, 1, 1]]), [2, 0, 3, 1]
    scores = np.array([[0.5, 2.0, 1.0, -1.0]])
    for make, loss in ((pair_targets, ranknet_loss), (lambda r: r / r.sum(), listnet_loss)):
        here = loss(Tensor(scores), make(relevance)).item()
        there = loss(Tensor(scores[:, order]), make(relevance[:, order])).item()
        assert here == pytest.approx(there, rel=1e-14)


def test_listnet_of_one_response_is_the_first_stage_of_plackett_luce():
    target = np.array([[1, 0, 0, 0]])
    assert listnet_loss(Tensor(RANKED), target).item() == pytest.approx(0.4951818981, abs=1e-10)


def test_the_gradient_of_listnet_is_softmax_minus_target():
    scores = Tensor(np.array([[1.0, 0.0], [0.5, 2.0]]), requires_grad=True)
    target = np.array([[0.5, 0.5], [0.9, 0.1]])
    g = grad(listnet_loss(scores, target), [scores])[0].numpy()
    expected = (selection_probabilities(scores).numpy() - target) / 2
    np.testing.assert_allclose(g, expected, rtol=1e-13)


def test_wrong_arguments_are_refused():
    scores = Tensor(RANKED)
    with pytest.raises(ConfigError, match="no normalizer 'N'"):
        listwise_pairwise_loss(scores, "N")
    for loss in (listwise_pairwise_loss, plackett_luce_logprob):
        for shape in ((4,), (2, 1), (0, 4)):
            with pytest.raises(ShapeError, match="N >= 2"):
                loss(Tensor(np.zeros(shape)))
        with pytest.raises(ShapeError, match="counted"):
            loss(scores, counted=np.ones((1, 3), bool))
        with pytest.raises(DataError, match="fewer than 2"):
            loss(scores, counted=np.array([[True, False, False, False]]))
    with pytest.raises(ShapeError, match="targets"):
        ranknet_loss(scores, np.zeros((1, 4)))
    with pytest.raises(ShapeError, match="targets"):
        listnet_loss(scores, np.zeros((1, 3)))
    with pytest.raises(DataError, match="sum to 1"):
        listnet_loss(scores, np.array([[0.5, 0.25, 0.2, 0]]))
