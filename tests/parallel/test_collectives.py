"""Collectives inside a program: derivatives are those of the loss over all ranks at once.

The loss is counted once. A rank's input changes what every rank computes, so its derivative is
taken by differences of a run of all ranks.
"""

import numpy as np
import pytest

from tinylm.autograd import Tensor, grad
from tinylm.parallel.collectives import enter, enter_joined, joined, leave, leave_shared, own
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data_parallel import share_rows

N = 3
TOTAL = 7  # shares of 2, 2 and 3


def inputs(whole):
    """What each rank puts in: the same whole array, or its share."""
    rng = np.random.default_rng(0)
    if whole == "same":
        return [rng.standard_normal((2, TOTAL))] * N
    if whole == "own":
        return [rng.standard_normal((2, TOTAL)) for _ in range(N)]
    return [rng.standard_normal((2, b - a)) for a, b in bounds()]


def bounds():
    return [share_rows(TOTAL, rank, N) for rank in range(N)]


def weights(rank, shape, same):
    """Of a loss sum(w y^2): the same on every rank, or each its own."""
    return np.random.default_rng(5 if same else 10 + rank).standard_normal(shape)


def differing_part(comm, x):
    """What ranks compute differently out of the same x, ending alike: enter .. leave."""
    y = enter(x, comm=comm)
    return leave(y * y * Tensor(weights(comm.rank, y.shape, False)), comm=comm)


def put_together(comm, x):
    y = joined(x, comm=comm, axis=-1, total=TOTAL)
    return y * y * y


def part_of(comm, x):
    """A share of what all have, read alone, and the sum over ranks of what was made of it."""
    y = own(x, comm, -1, TOTAL)
    return joined(y * y, comm=comm, axis=-1, total=TOTAL)


def by_token(comm, x):
    """Shares of tokens put together, read differently, and summed into shares again."""
    y = enter_joined(x, comm=comm, axis=1, total=TOTAL)
    y = leave_shared(
        y * y * Tensor(weights(comm.rank, y.shape, False)), comm=comm, axis=1, total=TOTAL
    )
    return joined(y, comm=comm, axis=1, total=TOTAL)


PROGRAMS = {
    "enter, leave": (differing_part, "same"),
    "joined": (put_together, "share"),
    "own": (part_of, "same"),
    "enter_joined, leave_shared": (by_token, "share"),
}


def loss_of(comm, program, arrays):
    x = Tensor(arrays[comm.rank], requires_grad=True)
    y = program(comm, x)
    loss = (y * y * Tensor(weights(0, y.shape, True))).sum()
    return x, loss


def loss_alone(program, arrays):
    return simulate(lambda comm: float(loss_of(comm, program, arrays)[1].item()), N).results


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_derivative_is_that_of_the_one_loss(name):
    program, whole = PROGRAMS[name]
    arrays = inputs(whole)
    losses = loss_alone(program, arrays)
    assert losses == pytest.approx([losses[0]] * N)  # all ranks have the loss

    def derived(comm):
        x, loss = loss_of(comm, program, arrays)
        loss.backward()
        return x.grad.data

    found = simulate(derived, N).results
    step = 1e-5
    rng = np.random.default_rng(1)
    for rank in range(N):
        for _ in range(3):
            change = rng.standard_normal(arrays[rank].shape)
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                for other in range(N):  # what all have alike changes on all
                    if other == rank or whole == "same":
                        moved[other] = arrays[other] + sign * step * change
                ends.append(loss_alone(program, moved)[0])
            slope = (ends[0] - ends[1]) / (2 * step)
            assert np.sum(found[rank] * change) == pytest.approx(slope, rel=1e-6)


def test_a_second_derivative_goes_through_them():
    """d2/dx2 of sum over ranks of w_r x^2, squared."""

    def twice(comm):
        x = Tensor(np.array([0.7]), requires_grad=True)
        y = leave(enter(x, comm=comm) ** 2 * float(comm.rank + 1), comm=comm)
        (first,) = grad((y * y).sum(), [x], create_graph=True)
        (second,) = grad(first.sum(), [x])
        return first.item(), second.item()

    # y = 6 x^2 on three ranks: (y^2)' = 144 x^3, (y^2)'' = 432 x^2
    for first, second in simulate(twice, N).results:
        assert first == pytest.approx(144 * 0.7**3) and second == pytest.approx(432 * 0.7**2)
