"""The gradient of a batch is the sum of its parts' gradients (book eq. 2.33), and the plain average
is not.

The model is least squares, whose gradient is written down by hand: for the mean of (x.w - y)^2 over
n rows it is 2/n X^T (X w - y).
"""

import numpy as np
import pytest

from tinylm.parallel import average_gradients, launch, share_rows, token_weight

ROWS, WIDTH = 11, 5  # 2, 3 and 4 do not divide 11: the shards are unequal


def problem():
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, WIDTH)), rng.standard_normal(ROWS), rng.standard_normal(WIDTH)


def mean_gradient(x, y, w):
    return 2 / len(y) * x.T @ (x @ w - y)


def shard_gradient(comm):
    """(this worker's mean gradient, its number of rows)"""
    x, y, w = problem()
    rows = slice(*share_rows(ROWS, comm.rank, comm.size))
    return mean_gradient(x[rows], y[rows], w), len(y[rows])


def weighted(comm):
    gradient, rows = shard_gradient(comm)
    return comm.all_gather(average_gradients(comm, gradient, rows)).reshape(comm.size, WIDTH)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_weighted_sum_of_shard_gradients_is_the_gradient_of_the_batch(workers):
    everyones = launch(weighted, workers, capacity=4096)
    np.testing.assert_allclose(
        everyones[0], mean_gradient(*problem()), rtol=1e-13
    )  # 11 float64 terms, reordered
    for other in everyones:
        assert other.tobytes() == everyones[0].tobytes()


def naive(comm):
    return comm.all_reduce(shard_gradient(comm)[0]) / comm.size


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_the_plain_average_of_unequal_shards_is_wrong(workers):
    exact = mean_gradient(*problem())
    error = np.abs(launch(naive, workers, capacity=4096) - exact).max() / np.abs(exact).max()
    assert error > 1e-3  # wrong in the third digit, not by rounding


def idle(comm):
    gradient, rows = shard_gradient(comm) if comm.rank == 0 else (np.ones(WIDTH), 0)
    weights = [token_weight(comm, n) for n in (0, 1 - comm.rank)]
    return average_gradients(comm, gradient, rows), shard_gradient(comm)[0], weights


def test_a_worker_without_tokens_weighs_nothing():
    got, expected, (none, only) = launch(idle, 2, capacity=4096)
    np.testing.assert_array_equal(got, expected)
    assert none == 0.0  # and no tokens anywhere is no division by zero
    assert only == 1.0  # the one token of the batch


def train(comm, steps, lr):
    """Gradient descent with sharded updates: each worker moves only its slice of the parameters."""
    x, y, w0 = problem()
    first, last = share_rows(ROWS, comm.rank, comm.size)
    w, gradient = comm.empty(WIDTH, np.float64), comm.empty(WIDTH, np.float64)
    w[:] = w0
    start, stop = comm.slice(WIDTH)
    for _ in range(steps):
        gradient[:] = mean_gradient(x[first:last], y[first:last], w) * token_weight(
            comm, last - first
        )
        comm.reduce_scatter_(gradient)
        w[start:stop] -= lr * gradient[start:stop]
        comm.all_gather_(w)
    return comm.all_gather(w).reshape(comm.size, WIDTH)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_sharded_training_follows_training_in_one_process(workers):
    everyones = launch(train, workers, 20, 0.05, capacity=1 << 16)
    alone = launch(train, 1, 20, 0.05)
    np.testing.assert_allclose(everyones[0], alone[0], rtol=1e-12)  # 20 steps of rounding
    assert all(w.tobytes() == everyones[0].tobytes() for w in everyones)


def test_rows_are_shared_out_evenly_and_once():
    for total in (0, 1, 7, 12):
        for size in (1, 2, 3, 5):
            shares = [share_rows(total, r, size) for r in range(size)]
            assert [i for a, b in shares for i in range(a, b)] == list(range(total))
            assert max(b - a for a, b in shares) - min(b - a for a, b in shares) <= 1
