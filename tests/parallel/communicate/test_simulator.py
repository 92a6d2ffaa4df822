"""The simulator: times are those of the formulas, and what goes wrong is named."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError, DeadlockError, WorkerError
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.rings import (
    doubling_all_reduce,
    hierarchical_all_reduce,
    naive_all_reduce,
    ring_all_reduce,
    tree_all_reduce,
)
from tinylm.parallel.communicate.simulator import simulate

ALPHA, BETA = 3e-6, 2e9
FLAT = Network(Link(ALPHA, BETA))
BYTES = 960 * 4


def by_route(comm, route, *more):
    route(comm, np.zeros(960, np.float32), *more)
    return comm.clock


def seconds(route, n, *more, network=FLAT):
    return simulate(by_route, n, route, *more, network=network).seconds


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_routes_take_the_time_of_their_formula(n):
    log = n.bit_length() - 1
    assert seconds(naive_all_reduce, n) == pytest.approx(2 * (ALPHA + (n - 1) * BYTES / BETA))
    assert seconds(tree_all_reduce, n) == pytest.approx(2 * log * (ALPHA + BYTES / BETA))
    assert seconds(doubling_all_reduce, n) == pytest.approx(log * (ALPHA + BYTES / BETA))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_a_ring_takes_the_time_of_its_formula(n):
    ring = 2 * (n - 1) * (ALPHA + BYTES / n / BETA)
    assert seconds(ring_all_reduce, n) == pytest.approx(ring)
    native = simulate(lambda comm: comm.all_reduce(np.zeros(960, np.float32)), n, network=FLAT)
    assert native.seconds == pytest.approx(ring)


def test_a_hierarchy_sends_less_from_node_to_node_than_a_ring():
    inside, between, k, n = Link(1e-6, 1e11), Link(5e-6, 1e9), 4, 16
    network = Network(inside, between, per_node=k)
    hierarchy = seconds(hierarchical_all_reduce, n, k, network=network)
    own = 2 * (k - 1) * inside.time(BYTES / k)
    others = 2 * (n // k - 1) * between.time(BYTES / k / (n // k))
    assert hierarchy == pytest.approx(own + others)
    # A piece goes twice round, but for the last step: 30 hops, of which 8 lead to another node.
    ring = seconds(ring_all_reduce, n, network=network)
    piece = BYTES / n
    assert ring == pytest.approx(22 * inside.time(piece) + 8 * between.time(piece))
    # Of long arrays nothing counts but the bytes that cross: 30 pieces against 6.
    long = Network(Link(0, 1e15), Link(0, 1e9), per_node=k)
    ratio = seconds(ring_all_reduce, n, network=long) / seconds(
        hierarchical_all_reduce, n, k, network=long
    )
    assert ratio == pytest.approx(5, rel=1e-4)
    assert network.slowest((0, 1, 2)) == inside and network.slowest((3, 4)) == between


def test_messages_are_counted_with_their_times():
    found = simulate(by_route, 3, ring_all_reduce, network=FLAT)
    assert len(found.messages) == 3 * 2 * 2
    assert {message.nbytes for message in found.messages} == {BYTES // 3}
    step = ALPHA + BYTES / 3 / BETA
    assert sorted({round(m.arrived / step, 9) for m in found.messages}) == [1, 2, 3, 4]
    assert all(m.sent <= m.left < m.arrived for m in found.messages)
    assert found.results == found.clocks


def two_to_one(comm):
    array = np.zeros(1000, np.uint8)
    if comm.rank == 0:
        comm.elapse(5.0, "think")
        return [comm.recv(array, source).size and comm.clock for source in (1, 2)]
    comm.send(array, 0)
    return comm.clock


def test_two_messages_for_one_rank_arrive_one_after_the_other():
    found = simulate(two_to_one, 3, network=Network(Link(1.0, 250.0)))
    # 4 s each, after a latency of 1 s: the port of rank 0 is taken until 5 s and 9 s.
    assert found.results == [[5.0, 9.0], 0.0, 0.0]
    assert found.busy(0, "think") == 5.0 and found.busy(0, "recv") == 4.0
    assert found.busy(0) == 9.0 and found.busy(1) == 0.0


def test_work_and_collectives_are_spans_of_time():
    def program(comm):
        comm.elapse(float(comm.rank), "forward")
        comm.all_reduce(np.zeros(250, np.uint8))
        comm.barrier()

    found = simulate(program, 2, network=Network(Link(1.0, 250.0)))
    # all_reduce: 2 steps of 1 + 125/250 s from the second on; a barrier: 2 messages of 1 s.
    assert found.clocks == [6.0, 6.0]
    spans = [(s.rank, s.start, s.stop, s.what.split()[0]) for s in found.spans]
    expected = [(1, 0, 1, "forward"), (0, 0, 4, "all_reduce"), (1, 1, 4, "all_reduce")]
    expected += [(0, 4, 6, "barrier"), (1, 4, 6, "barrier")]
    assert sorted(spans) == sorted(expected)


@pytest.mark.parametrize(
    "call, seconds",
    [
        (lambda c: c.all_gather(np.zeros(100, np.uint8)), 2 * (1 + 100 / 50)),
        (lambda c: c.reduce_scatter(np.zeros(150, np.uint8)), 2 * (1 + 50 / 50)),
        (lambda c: c.broadcast(np.zeros(100, np.uint8)), 2 * (1 + 100 / 50)),
        (lambda c: c.barrier(), 4.0),
        (lambda c: c.split(0), 0.0),
        (lambda c: c.reduce_scatter_(np.zeros(144, np.uint8)), 2 * (1 + 48 / 50)),
        (lambda c: c.all_gather_(np.zeros(144, np.uint8)), 2 * (1 + 48 / 50)),
    ],
)
def test_collectives_take_the_time_of_their_formula(call, seconds):
    assert simulate(call, 3, network=Network(Link(1.0, 50.0))).clocks == [seconds] * 3


def test_the_rank_with_most_to_send_decides_how_long_an_exchange_takes():
    def program(comm):
        comm.all_to_all([np.zeros(50 * (comm.rank + 1), np.uint8)] * 3)

    # 2 messages of 150 bytes at 50 a second, 1 s latency each.
    assert simulate(program, 3, network=Network(Link(1.0, 50.0))).seconds == 2 * (1 + 3)


def ring_without_order(comm):
    comm.send(np.zeros(8), (comm.rank + 1) % comm.size)
    comm.recv(np.zeros(8), (comm.rank - 1) % comm.size)


@pytest.mark.parametrize("buffer", [0, 63])
def test_sends_that_all_wait_for_their_receiver_are_a_deadlock(buffer):
    with pytest.raises(DeadlockError) as error:
        simulate(ring_without_order, 3, buffer=buffer)
    assert "rank 0 waits to send float64 (8,) to rank 1; rank 1 waits to send" in str(error.value)
    simulate(ring_without_order, 3, buffer=64)
    simulate(ring_without_order, 3)


@pytest.mark.parametrize("route", [ring_all_reduce, doubling_all_reduce, tree_all_reduce])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_routes_need_no_buffer(route, n):
    simulate(by_route, n, route, buffer=0)


def test_a_rank_that_ends_early_is_named():
    def program(comm):
        if comm.rank != 1:
            comm.all_reduce(np.zeros(2))

    waits = (
        r"rank 0 waits in all_reduce sum of float64 \(2,\) \(missing: rank 1\); rank 1 has ended"
    )
    with pytest.raises(DeadlockError, match=waits):
        simulate(program, 3)
    with pytest.raises(DeadlockError, match="rank 0 waits to receive float64 .2,. from rank 1"):
        simulate(lambda comm: comm.rank or comm.recv(np.zeros(2), 1), 2)


def test_a_rank_that_is_late_is_named():
    def program(comm):
        comm.elapse({1: 7.0, 3: 9.0}.get(comm.rank, 1.0))
        comm.all_reduce(np.zeros(2))

    waited = (
        r"rank . of 4 has waited 5 s in all_reduce sum of float64 \(2,\); missing: rank 1, rank 3"
    )
    with pytest.raises(WorkerError, match=waited):
        simulate(program, 4, patience=5.0)
    simulate(program, 4, patience=8.0)  # 9 - 1 s, not longer

    def message(comm):
        if comm.rank == 1:
            comm.elapse(7.0)
            comm.send(np.zeros(2), 0)
        else:
            comm.recv(np.zeros(2), 1)

    with pytest.raises(WorkerError, match="rank 0 of 2 has waited 5 s to receive .* from rank 1"):
        simulate(message, 2, patience=5.0)
    simulate(message, 2, patience=7.0)


def test_sums_beside_the_work_follow_one_another():
    """Sums of 3 s each, begun at 0, 1 and 2 s, are done at 3, 6 and 9 s; one of 20 s at 23 s. What
    is called after them does not wait for the links again.
    """

    def program(comm):
        arrays = [np.full(6, comm.rank + 1.0) for _ in range(4)]
        waits, clocks = [], []
        for array in arrays[:3]:
            waits.append(comm.iall_reduce(array))
            comm.elapse(1.0)
        for wait, array in zip(waits, arrays):
            assert wait() is array
            clocks.append(comm.clock)
        comm.elapse(11.0)
        late = comm.iall_reduce(arrays[3])
        late()
        clocks.append(comm.clock)
        comm.all_reduce(np.zeros(6))
        late = comm.iall_reduce(np.zeros(6))
        late()
        return [*clocks, comm.clock], [array[0] for array in arrays]

    # 48 bytes among two ranks: 2 steps of 1 s and 24 bytes at 48 a second
    found = simulate(program, 2, network=Network(Link(1.0, 48.0)))
    assert found.results == [([3.0, 6.0, 9.0, 23.0, 29.0], [3.0] * 4)] * 2


def test_sums_beside_the_work_of_which_a_rank_has_others_are_told():
    def program(comm):
        comm.iall_reduce(np.zeros(2 + comm.rank))()

    with pytest.raises(WorkerError, match="rank 0 calls iall_reduce sum of float64 .2,.; rank 1"):
        simulate(program, 2)


def test_time_at_work_is_not_time_waited():
    """Its sum is begun early and asked for late: the rank has waited for 1 s, not for 6."""

    def program(comm):
        comm.elapse(6.0 * comm.rank)
        wait = comm.iall_reduce(np.zeros(2))
        comm.elapse(5.0 * (1 - comm.rank))
        wait()

    simulate(program, 2, patience=2.0)


def test_the_first_error_ends_all_ranks():
    ended = []

    def program(comm):
        try:
            if comm.rank == 2:
                raise ValueError("lost")
            comm.barrier()
        finally:
            ended.append(comm.rank)

    with pytest.raises(WorkerError, match="rank 2 of 4 failed: ValueError: lost") as error:
        simulate(program, 4)
    assert (error.value.rank, error.value.type, error.value.message) == (2, "ValueError", "lost")
    assert sorted(ended) == [0, 1, 2]  # rank 3 had not begun
    assert isinstance(error.value.__cause__, ValueError)


def test_a_drawn_order_gives_the_same_results():
    def program(comm):
        array = np.random.default_rng(comm.rank).standard_normal(33).astype(np.float32)
        ring_all_reduce(comm, array)
        half = comm.split(comm.rank % 2)
        return half.all_reduce(array.copy()).tobytes()

    first = simulate(program, 5, network=FLAT)
    for seed in range(5):
        other = simulate(program, 5, network=FLAT, order=Random(seed, "order"))
        assert other.results == first.results


def test_the_order_of_turns_is_drawn():
    def program(comm):
        turns.append(comm.rank)
        comm.barrier()

    seen = set()
    for seed in range(8):
        turns = []
        simulate(program, 3, order=Random(seed, "order"))
        seen.add(tuple(turns))
    assert len(seen) > 2


def test_impossible_settings_are_refused():
    for wrong in ({"buffer": -1}, {"network": None, "buffer": -5}):
        with pytest.raises(ConfigError, match="buffer"):
            simulate(by_route, 2, ring_all_reduce, **wrong)
    with pytest.raises(ConfigError, match="at least 1"):
        simulate(by_route, 0, ring_all_reduce)
    for link in ((-1, 1), (0, 0), (float("nan"), 1), (0, float("nan"))):
        with pytest.raises(ConfigError, match="bandwidth above 0"):
            Link(*link)
    with pytest.raises(ConfigError, match="per_node"):
        Network(per_node=0)
    with pytest.raises(WorkerError, match="-1 seconds"):
        simulate(lambda comm: comm.elapse(-1), 1)
    with pytest.raises(WorkerError, match="nodes of 3 ranks do not make up 4"):
        simulate(by_route, 4, hierarchical_all_reduce, 3)
