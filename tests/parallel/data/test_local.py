"""Averaging every few steps: data parallelism if at each, and off the optimum if not."""

import numpy as np
import pytest

from tests.parallel.test_data_parallel import mean_gradient, problem
from tinylm.errors import ConfigError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import SGD, FlatParameters
from tinylm.parallel import average_gradients, launch, share_rows
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data.local import average, fixed_point, local_descent
from tinylm.pretrain import CausalLM

CURVATURES, OPTIMA = np.array([1.0, 3.0, 0.5]), np.array([0.0, 2.0, -5.0])


def quadratics(comm, rate, steps, period):
    c, b = CURVATURES[comm.rank], OPTIMA[comm.rank]
    theta = local_descent(comm, lambda x, _: c * (x - b), np.array([7.0]), rate, steps, period)
    return theta[0], comm.calls["all_reduce"], comm.bytes_sent["all_reduce"]


def test_one_step_each_is_data_parallelism():
    """Equal rows a worker: the mean of parameters is the step with the mean of gradients."""

    def alone():
        x = np.array([7.0])
        for _ in range(20):
            x -= 0.1 * np.mean(CURVATURES * (x - OPTIMA))
        return x[0]

    for found, _, _ in simulate(quadratics, 3, 0.1, 20, 1).results:
        assert found == pytest.approx(alone(), rel=1e-13)


@pytest.mark.parametrize("period", [1, 2, 5, 10])
def test_it_sends_a_period_th(period):
    _, calls, sent = simulate(quadratics, 3, 0.1, 20, period).results[0]
    assert calls == 20 / period and sent == calls * (8 * 2 * 2 // 3)


@pytest.mark.parametrize("period", [1, 2, 5, 50])
@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_workers_that_differ_end_off_the_optimum_as_far_as_the_formula_says(period, rate):
    found = {x for x, _, _ in simulate(quadratics, 3, rate, 2000, period).results}
    assert len(found) == 1
    expected = fixed_point(CURVATURES, OPTIMA, rate, period)
    assert found.pop() == pytest.approx(expected, rel=1e-9)


def test_what_the_formula_says_at_its_ends():
    optimum = np.sum(CURVATURES * OPTIMA) / np.sum(CURVATURES)
    assert fixed_point(CURVATURES, OPTIMA, 0.1, 1) == pytest.approx(optimum)
    assert fixed_point(CURVATURES, OPTIMA, 1e-9, 10) == pytest.approx(optimum, rel=1e-6)
    assert fixed_point(CURVATURES, OPTIMA, 0.1, 10**6) == pytest.approx(np.mean(OPTIMA))
    assert abs(fixed_point(CURVATURES, OPTIMA, 0.1, 10) - optimum) > 0.5


def test_a_last_average_is_made_where_the_period_does_not_divide():
    for found, calls, _ in simulate(quadratics, 3, 0.1, 7, 3).results:
        assert calls == 3 and found == simulate(quadratics, 3, 0.1, 7, 3).results[0][0]
    with pytest.raises(ConfigError, match="a period of 0 steps"):
        local_descent(None, None, np.zeros(1), 0.1, 5, 0)


def least_squares(comm, period):
    x, y, w = problem()
    mine = slice(*share_rows(10, comm.rank, comm.size))
    return local_descent(comm, lambda w, _: mean_gradient(x[mine], y[mine], w), w, 0.05, 12, period)


@pytest.mark.parametrize("period", [1, 4])
def test_workers_that_share_memory_do_the_same(period):
    one = launch(least_squares, 2, period, capacity=4096)
    for other in simulate(least_squares, 2, period).results:
        assert one.tobytes() == other.tobytes()


def decoder(comm, averaged):
    """A decoder after 5 steps of SGD, its parameters or its gradients averaged at each."""
    model = GPT(GPTConfig(17, 8, 1, 2, 8), 7, np.float64)
    flat = FlatParameters(model.named_parameters())
    optimizer, objective = SGD(flat, lr=0.1), CausalLM()
    for step in range(5):
        rows = np.random.default_rng([step, comm.rank]).integers(0, 17, (2, 8))
        flat.zero_grad()
        objective.loss(model, objective.make_batch(rows))[0].backward()
        flat.collect()
        if not averaged:
            average_gradients(comm, flat.grad, 1)
        optimizer.step()
        if averaged:
            average(comm, flat.data)
    return flat.data.copy()


def test_a_decoder_averaged_at_each_step_is_that_of_averaged_gradients():
    for one, other in zip(simulate(decoder, 3, True).results, simulate(decoder, 3, False).results):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)
