"""Cross-entropy of cut logits is that of the whole ones, with its gradient."""

import numpy as np
import pytest

from tinylm.autograd import Tensor, cross_entropy
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.tensor.losses import split_cross_entropy

V, ROWS = 7, (2, 3)
OPTIONS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.3},
    {"z_loss": 0.2, "reduction": "sum"},
    {"label_smoothing": 0.1, "z_loss": 0.05, "reduction": "none"},
]


def rows(scale=1.0):
    rng = np.random.default_rng(2)
    targets = rng.integers(0, V, ROWS)
    targets[1, 1] = -100
    return rng.standard_normal((*ROWS, V)) * scale, targets, rng.standard_normal(ROWS)


def cotangent(loss, weights):
    return weights if loss.shape else np.asarray(1.7)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 9])  # 9: two ranks without a word
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_loss_and_gradient_are_those_of_whole_rows(size, options, scale):
    logits, targets, weights = rows(scale)
    x = Tensor(logits, requires_grad=True)
    expected = cross_entropy(x, targets, **options)
    expected.backward(cotangent(expected, weights))

    def program(comm):
        own = slice(*share_rows(V, comm.rank, comm.size))
        part = Tensor(logits[..., own].copy(), requires_grad=True)
        loss = split_cross_entropy(part, targets, comm, V, **options)
        loss.backward(cotangent(loss, weights))
        return loss.data, part.grad.data, own

    for loss, gradient, own in simulate(program, size).results:
        np.testing.assert_allclose(loss, expected.data, rtol=1e-13)
        np.testing.assert_allclose(gradient, x.grad.data[..., own], rtol=1e-12, atol=1e-15)


def test_a_row_that_does_not_count_may_hold_anything():
    logits, targets, _ = rows()
    logits[1, 1] = np.nan

    def program(comm):
        own = slice(*share_rows(V, comm.rank, comm.size))
        part = Tensor(logits[..., own].copy(), requires_grad=True)
        loss = split_cross_entropy(part, targets, comm, V)
        loss.backward()
        return loss.item(), part.grad.data

    for loss, gradient in simulate(program, 2).results:
        assert np.isfinite(loss) and not gradient[1, 1].any()
