"""Losses of one score: regression to a rating, and the side of a boundary   (book eqs. 4.62, 4.70,
4.71).

    regression   mean of (phi - r)^2        phi a rating, such as 1 to 5 stars
    hinge        mean of max(0, 1 - r l)    l = +1 wanted, -1 not wanted

A rating needs annotators who mean the same by it: an offset of one annotator moves the regression,
while the comparisons of pairwise.py within one annotator do not change. Means over responses or
segments that count; minimized. Read next: reward_model.py; segment_modeling.py.
"""

import numpy as np

from tinylm.align.constant import constant
from tinylm.autograd import Tensor, maximum
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.errors import DataError, ShapeError


def pointwise_loss(
    scores: Tensor, ratings: np.ndarray, counted: np.ndarray | None = None
) -> Tensor:
    """mean of (rating - score)^2   (book eq. 4.62; of segments, eq. 4.70)

    scores   Tensor of any shape: (B,) of responses, (B, S) of segments
    ratings  array of that shape
    counted  bool array of that shape, False for places without a segment; None: all count
    returns  Tensor (); its minimum is where every score is the mean rating of its response
    raises   ShapeError for different shapes

    Check: tinylm gradcheck align.pointwise_loss
    """
    ratings = constant(ratings, scores)
    _check_shapes("pointwise_loss", scores, ratings)
    error = scores - ratings
    return _mean(error * error, counted)  # d/dr = -2 (rating - r) / n


def hinge_terms(scores: Tensor, labels: np.ndarray) -> Tensor:
    """max(0, 1 - r l), term by term   (book eq. 4.71)

    The print has labels 1 and 0. A label of 0 makes the term the constant 1, without a gradient.
    """
    return maximum(1 - scores * constant(labels, scores), 0.0)


def hinge_loss(scores: Tensor, labels: np.ndarray, counted: np.ndarray | None = None) -> Tensor:
    """mean of max(0, 1 - r l): wanted text is to score above +1, other text below -1.

    scores   Tensor of any shape;  labels array of that shape, +1 for what is wanted and -1 for what
             is not. The print calls "unethical" 1: as a reward its sign is turned round
    counted  as in pointwise_loss; labels elsewhere are not read
    returns  Tensor ()
    raises   DataError for a label that is not +1 or -1, ShapeError for different shapes

    Check: tinylm gradcheck align.hinge_loss
    """
    labels = constant(labels, scores)
    _check_shapes("hinge_loss", scores, labels)
    read = labels
    if counted is not None:
        read = labels[counted]
    if not (abs(read) == 1).all():
        raise DataError(
            "hinge_loss: labels are +1 and -1; a label of 0 would give the constant loss 1 and no "
            f"gradient. There are {np.unique(read)}"
        )
    return _mean(hinge_terms(scores, labels), counted)


def _mean(terms, counted):
    if counted is None:
        return terms.mean()
    return mean_where(terms, counted)


def _check_shapes(name, scores, given):
    if scores.shape != given.shape:
        raise ShapeError(f"{name}: {scores.shape} scores, but {given.shape} labels")
