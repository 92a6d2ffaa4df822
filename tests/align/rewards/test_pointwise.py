import numpy as np
import pytest

from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.align.rewards.pointwise import hinge_loss, hinge_terms, pointwise_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import DataError, ShapeError

R = np.array([-2.0, -0.5, 0.5, 2.0])  # the scores of the specification's vector


def test_the_gradient_of_regression():
    # -2 (rating - r) / M with M = 4
    scores, ratings = Tensor(R, requires_grad=True), np.array([1, 5, 3, 2])
    g = grad(pointwise_loss(scores, ratings), [scores])[0].numpy()
    np.testing.assert_allclose(g, -2 * (ratings - R) / 4, rtol=1e-15)


def test_the_best_score_is_the_mean_rating():
    # three annotators rate one response 2, 3, 5: mean 10/3
    best = Tensor(np.full(3, 10 / 3), requires_grad=True)
    g = grad(pointwise_loss(best, np.array([2, 3, 5])), [best])[0].numpy()
    assert g.sum() == pytest.approx(0, abs=1e-15)


def test_an_offset_of_an_annotator_moves_the_regression_and_not_the_comparison():
    # one annotator gives 4 and 3, the other the same responses 2 stars less
    strict, mild = np.array([2.0, 1.0]), np.array([4.0, 3.0])
    scores = Tensor(mild)
    assert pointwise_loss(scores, mild).item() == 0
    assert pointwise_loss(scores, strict).item() == 4
    losses = [pairwise_loss(Tensor(r[:1]), Tensor(r[1:])).item() for r in (strict, mild)]
    assert losses[0] == losses[1]


def test_empty_places_do_not_count():
    counted = np.array([True, False, True, False])
    ratings = np.array([0.0, 99, 0, 99])
    # ((-2)^2 + .5^2) / 2
    assert pointwise_loss(Tensor(R), ratings, counted).item() == pytest.approx(2.125, rel=1e-15)
    labels = np.array([1, 0, -1, 0])  # max(0, 1 + 2) and max(0, 1 + .5)
    assert hinge_loss(Tensor(R), labels, counted).item() == pytest.approx(2.25, rel=1e-15)


def test_the_vector_of_the_hinge():
    wanted = hinge_terms(Tensor(R), np.ones(4)).numpy()
    np.testing.assert_array_equal(wanted, [3, 1.5, 0.5, 0])
    np.testing.assert_array_equal(hinge_terms(Tensor(R), -np.ones(4)).numpy(), wanted[::-1])
    assert hinge_loss(Tensor(R), np.ones(4)).item() == 1.25  # their mean


def test_the_label_0_of_the_print_teaches_nothing():
    scores = Tensor(R, requires_grad=True)
    terms = hinge_terms(scores, np.zeros(4))
    np.testing.assert_array_equal(terms.numpy(), 1)
    np.testing.assert_array_equal(grad(terms.sum(), [scores])[0].numpy(), 0)
    with pytest.raises(DataError, match=r"labels are \+1 and -1"):
        hinge_loss(scores, np.array([1, 0, 1, -1]))


def test_the_subgradient_of_the_hinge():
    # -l where r l < 1, else 0; mean over 4
    scores, labels = Tensor(R, requires_grad=True), np.array([1, -1, -1, 1])
    g = grad(hinge_loss(scores, labels), [scores])[0].numpy()
    np.testing.assert_array_equal(g, np.where(R * labels < 1, -labels, 0) / 4)


def test_shapes_must_agree():
    for loss in (pointwise_loss, hinge_loss):
        with pytest.raises(ShapeError, match="labels"):
            loss(Tensor(R), np.ones(3))
