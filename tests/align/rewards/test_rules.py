"""Every loss of scores is its rule in loops; every planted error is not."""

import numpy as np
import pytest

from tests.align.rewards.rules import LOSSES, WRONG
from tinylm.autograd import Tensor, grad
from tinylm.errors import DataError


def value(name, change=None, factor=1.0):
    loss, scores, options, _ = LOSSES[name]
    if change is not None:
        scores, options = change(scores, options)
    return factor * loss(*(Tensor(np.array(s)) for s in scores), **options).item()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_rule(name):
    # float64, sums of at most 16 terms
    assert value(name) == pytest.approx(LOSSES[name][3](), rel=1e-12)


NAMES = [f"{name}: {error}" for name, error, *_ in WRONG]


@pytest.mark.parametrize("name, error, change, factor", WRONG, ids=NAMES)
def test_a_planted_error_is_found(name, error, change, factor):
    try:
        wrong = value(name, change, factor)
    except DataError:  # labels 0 in places that now count: refused
        return
    assert abs(wrong - LOSSES[name][3]()) > 1e-3, error


GIVEN = {
    "pairwise": "margin",
    "soft pairwise": "probability",
    "RankNet": "targets",
    "ListNet": "targets",
    "pointwise": "ratings",
    "hinge": "labels",
}


@pytest.mark.parametrize("name", GIVEN)
def test_no_gradient_reaches_what_is_given(name):
    loss, scores, options, _ = LOSSES[name]
    given = Tensor(np.array(options[GIVEN[name]], np.float64), requires_grad=True)
    scores = [Tensor(np.array(s), requires_grad=True) for s in scores]
    found = loss(*scores, **{**options, GIVEN[name]: given})
    assert found.item() == pytest.approx(value(name), rel=1e-12)
    found.backward()
    assert given.grad is None
    assert all(np.abs(s.grad.numpy()).max() > 0 for s in scores)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_the_precision_of_its_scores(name):
    loss, scores, options, _ = LOSSES[name]
    scores = [Tensor(np.array(s, np.float32), requires_grad=True) for s in scores]
    found = loss(*scores, **options)
    assert found.dtype == np.float32
    assert grad(found, scores[:1])[0].dtype == np.float32
