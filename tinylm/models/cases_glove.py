"""How to check GloVe: the weighted least squares of the vectors and of their biases."""
import numpy as np

from tinylm.autograd.registry import call, register
from tinylm.models.cases_early import ready
from tinylm.models.glove import GloVe

I, J, X = np.array([0, 1, 1, 3]), np.array([2, 2, 0, 3]), np.array([1.5, 40.0, 2.0, 300.0])

register("models.GloVe", lambda model, i, j, counts: model.loss(i, j, counts), lambda rng: [
    call(ready(GloVe(4, 3, int(rng.integers(99)), np.float64)), I, J, counts=X)], covers=(), source="Pennington et al. 2014, eq. 8")
