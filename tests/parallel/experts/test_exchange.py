"""Rows go where they are sent, and their cotangents come back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.autograd import Tensor
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.experts.exchange import counts_from_all, exchange, pushed


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 4), seed=st.integers(0, 99))
def test_an_exchange_is_a_permutation_and_its_transpose_the_inverse(n, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (n, n))  # from row to column; some send or receive nothing
    rows = [rng.standard_normal((own.sum(), 2)) for own in counts]
    cotangents = [rng.standard_normal((own.sum(), 2)) for own in counts.T]

    def body(comm):
        x = Tensor(rows[comm.rank], requires_grad=True)
        sent, received = tuple(counts[comm.rank].tolist()), tuple(counts[:, comm.rank].tolist())
        y = exchange(x, comm=comm, sent=sent, received=received)
        y.backward(cotangents[comm.rank])
        back = exchange(Tensor(y.data), comm=comm, sent=received, received=sent)
        return y.data, x.grad.data, back.data

    found = simulate(body, n).results
    for rank, (y, dx, back) in enumerate(found):
        parts = [np.split(rows[r], counts[r].cumsum()[:-1])[rank] for r in range(n)]
        np.testing.assert_array_equal(y, np.concatenate(parts))
        np.testing.assert_array_equal(back, rows[rank])
        parts = [np.split(cotangents[r], counts[:, r].cumsum()[:-1])[rank] for r in range(n)]
        np.testing.assert_array_equal(dx, np.concatenate(parts))
    # <g, E x> = <E^T g, x>, over all ranks
    one = sum((g * y).sum() for g, (y, _, _) in zip(cotangents, found))
    other = sum((x * dx).sum() for x, (_, dx, _) in zip(rows, found))
    assert one == pytest.approx(other)


def test_a_rank_knows_how_many_rows_come_for_each_of_its_experts():
    counts = np.array([[1, 2, 3], [4, 5, 6]])  # of two ranks, for three experts
    bounds = [(0, 1), (1, 3)]
    found = simulate(lambda comm: counts_from_all(comm, counts[comm.rank], bounds), 2).results
    assert found[0].tolist() == [[1], [4]] and found[1].tolist() == [[2, 3], [5, 6]]


def test_what_is_pushed_has_the_gradient_of_a_loss_with_the_penalty_in_it(rng):
    x = rng.standard_normal((3, 2))
    both = Tensor(x, requires_grad=True)
    ((both * both).sum() + (both**3).sum()).backward()
    apart = Tensor(x, requires_grad=True)
    y = pushed(apart, added=3 * x**2)  # the gradient of the cubes
    np.testing.assert_array_equal(y.data, x)
    (y * y).sum().backward()
    np.testing.assert_allclose(apart.grad.data, both.grad.data, rtol=1e-12)
