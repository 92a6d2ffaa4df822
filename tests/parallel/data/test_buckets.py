"""Sums in buckets have the bits of one sum at the end, and take the time of their formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.autograd import Tensor, linear
from tinylm.errors import ConfigError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import FlatParameters
from tinylm.parallel import launch, token_weight
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data.buckets import BucketedSum, best_buckets, bucketed, overlapped_seconds
from tinylm.pretrain import CausalLM

CONFIG = GPTConfig(17, 8, 2, 2, 8, dropout=0.2)


def gradients(comm, nbytes, config=CONFIG):
    """(gradients in buckets, those of one sum, sums begun before the end, buckets) of a rank."""
    objective = CausalLM()
    rows = np.random.default_rng(comm.rank).integers(0, 17, (2 + comm.rank, 8))
    batch = objective.make_batch(rows)
    weight = token_weight(comm, batch.targets.size)
    model = GPT(config, 7, np.float64)
    flat = FlatParameters(model.named_parameters())
    counter = model.rng.counter

    def loss():
        model.rng.counter = counter  # drops what it has dropped before
        return objective.loss(model, batch)[0]

    loss().backward(weight)
    expected = comm.all_reduce(flat.collect().copy())
    flat.zero_grad()
    sums = BucketedSum(flat, comm, nbytes, model.parameters())
    early = []
    finish = sums.finish

    def finish_and_count():
        early.append(len(sums._begun))
        finish()

    sums.finish = finish_and_count
    for _ in range(2):  # a second step begins anew
        flat.zero_grad()
        sums.backward(loss(), weight)
    return flat.grad.copy(), expected, early, sums.buckets


@pytest.mark.parametrize("nbytes", [1, 1000, 1 << 20])
@pytest.mark.parametrize("tied", [True, False])
def test_buckets_have_the_bits_of_one_sum(nbytes, tied):
    config = GPTConfig(17, 8, 2, 2, 8, dropout=0.2, tied=tied)
    for got, expected, early, buckets in simulate(gradients, 3, nbytes, config).results:
        assert got.tobytes() == expected.tobytes()
        assert early == [len(buckets)] * 2  # every one was begun while the pass went on


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_that_share_memory_do_the_same(workers):
    got, expected, _, _ = launch(gradients, workers, 1000, capacity=1 << 22)
    assert got.tobytes() == expected.tobytes()


def test_a_parameter_that_one_rank_does_not_use():
    """Its bucket is summed all the same, in the same order, with zeros from that rank."""

    def program(comm):
        weights = [Tensor(np.full((2, 2), k + 1.0), requires_grad=True) for k in range(3)]
        flat = FlatParameters(weights)
        used = weights if comm.rank else weights[:1] + weights[2:]
        x = Tensor(np.ones((1, 2)))
        for weight in used:
            x = linear(x, weight)
        BucketedSum(flat, comm, 1).backward(x.sum())
        return [p.grad.data.copy() for p in weights]

    one, other = simulate(program, 2).results
    for mine, theirs in zip(one, other):
        np.testing.assert_array_equal(mine, theirs)
    # Of the middle one rank 1 alone: dL/dW = x^T g, x = 1 W_0 = 2 and g = 1 W_2^T = 6.
    np.testing.assert_array_equal(one[1], np.full((2, 2), 12.0))


def test_buckets_hold_the_last_parameters_first():
    sizes = [3, 2, 9, 1, 4]
    parameters = [Tensor(np.zeros(n), requires_grad=True) for n in sizes]  # 8 bytes a number
    found = [[p.size for p in bucket] for bucket in bucketed(parameters, 48)]
    assert found == [[4, 1], [9], [2, 3]]
    assert [len(bucket) for bucket in bucketed(parameters, 1)] == [1] * 5
    with pytest.raises(ConfigError, match="of 0 bytes hold nothing"):
        bucketed(parameters, 0)


def overlapping(comm, layers, seconds, nbytes):
    """A chain of equal layers, each of which takes some seconds to differentiate."""
    weights = [Tensor(np.eye(4), requires_grad=True) for _ in range(layers)]
    flat = FlatParameters(weights)

    class Working(BucketedSum):
        def ready(self, parameter):
            comm.elapse(seconds)
            super().ready(parameter)

    x = Tensor(np.ones((1, 4)))
    for weight in weights:
        x = linear(x, weight)
    Working(flat, comm, nbytes).backward(x.sum())
    return comm.clock


@pytest.mark.parametrize("seconds", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("together", [1, 2, 4])
def test_the_virtual_clock_shows_what_overlap_gains(seconds, together):
    """8 layers of 128 bytes on two ranks: a sum of n layers takes 2 (1 + 64 n / 128) s."""
    network = Network(Link(1.0, 128.0))
    size = 8 // together  # buckets
    clocks = simulate(overlapping, 2, 8, seconds, 128 * together, network=network).clocks
    work, alpha, sending = 8 * seconds, 2.0, 8.0
    one = alpha + sending / size
    expected = work / size + one + (size - 1) * max(work / size, one)
    assert clocks == pytest.approx([expected] * 2)
    parts = [seconds * together] * size, [one] * size
    assert overlapped_seconds(*parts) == pytest.approx(expected)
    # One sum at the end instead:
    whole = simulate(overlapping, 2, 8, seconds, 128 * 8, network=network).seconds
    assert whole == pytest.approx(work + alpha + sending)
    # Overlap hides seconds of sending behind work, and pays for every bucket a latency.
    assert whole - clocks[0] <= min(work, sending)


@given(st.integers(1, 60), st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.05, 2))
def test_the_best_number_of_buckets(n, work, sending, alpha):
    def seconds(count):
        one = alpha + sending / count
        return overlapped_seconds([work / count] * count, [one] * count)

    best = best_buckets(work, sending, alpha)
    least = min(seconds(int(best)), seconds(int(best) + 1))
    assert least <= seconds(n) + 1e-9


def test_one_bucket_is_the_least():
    assert best_buckets(0.1, 5.0, 1.0) == 1
    assert best_buckets(8.0, 6.0, 0.05) == pytest.approx(40)
    assert best_buckets(8.0, 12.0, 0.5) == pytest.approx(4)
