"""All-reduce made of messages: the same sum by three routes, and exactly the messages each route
promises.
"""

import numpy as np
import pytest

from tinylm.parallel import launch
from tinylm.parallel.communicate.rings import (
    doubling_all_reduce,
    hierarchical_all_reduce,
    naive_all_reduce,
    ring_all_reduce,
    tree_all_reduce,
)
from tinylm.parallel.communicate.simulator import simulate


def by_one_node(comm, array):
    """All ranks in one node: two halves of one ring."""
    return hierarchical_all_reduce(comm, array, comm.size)


def by_lone_ranks(comm, array):
    """Every rank a node of its own: one ring between."""
    return hierarchical_all_reduce(comm, array, 1)


ROUTES = (
    naive_all_reduce,
    tree_all_reduce,
    ring_all_reduce,
    doubling_all_reduce,
    by_one_node,
    by_lone_ranks,
)


def summed(comm, route, n):
    values = np.random.default_rng(3).standard_normal((comm.size, n)).astype(np.float32)
    array = values[comm.rank].copy()
    assert route(comm, array) is array
    return comm.all_gather(array).reshape(comm.size, n), values


def all_summed(comm, route):
    """Fewer numbers than ranks, pieces of equal length, arrays longer than a mailbox."""
    return [summed(comm, route, n) for n in (0, 3, 12, 5000)]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("route", ROUTES)
def test_every_route_ends_in_the_same_sum_on_all_ranks(route, workers):
    for results, values in launch(all_summed, workers, route, capacity=4096, mailbox=4096):
        np.testing.assert_allclose(
            results[0], values.sum(0), rtol=0, atol=4e-6
        )  # 5 terms below 5: 5 * 5 * 2^-23 = 3e-6
        assert all(r.tobytes() == results[0].tobytes() for r in results)


def traffic(comm, route):
    route(comm, np.zeros(120, np.float32))  # 480 bytes; 120 divides by 2, 3, 4 and 5
    return (
        comm.all_gather(np.array([comm.calls["send"], comm.bytes_sent["send"]]))
        .reshape(comm.size, 2)
        .tolist()
    )


@pytest.mark.parametrize("workers", [2, 3, 4, 5])
def test_a_ring_sends_two_n_minus_one_pieces_of_one_nth_from_every_rank(workers):
    expected = [2 * (workers - 1), 2 * (workers - 1) * 480 // workers]
    assert launch(traffic, workers, ring_all_reduce, capacity=4096) == [expected] * workers


@pytest.mark.parametrize("workers", [2, 3, 4, 5])
def test_the_busiest_rank_of_the_other_routes_sends_more(workers):
    naive = launch(traffic, workers, naive_all_reduce, capacity=4096)
    tree = launch(traffic, workers, tree_all_reduce, capacity=4096)
    assert max(sent for _, sent in naive) == (workers - 1) * 480
    assert (
        max(sent for _, sent in tree) == (workers - 1).bit_length() * 480
    )  # log2(workers) rounded up


@pytest.mark.parametrize("n", [2, 3, 4, 6, 8, 13, 16])
@pytest.mark.parametrize("route", ROUTES)
def test_routes_of_many_ranks_end_in_the_same_sum_on_all(route, n):
    def program(comm):
        array = np.arange(40.0) * (comm.rank + 1)
        return route(comm, array)

    for result in simulate(program, n).results:
        np.testing.assert_array_equal(result, np.arange(40.0) * (n * (n + 1) // 2))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 11])
def test_recursive_doubling_sends_the_array_once_a_step(n):
    """A partner of a rank beyond the last power of two sends it the sum, once more."""
    power = 1 << (n.bit_length() - 1)
    sent = [m for m in simulate(doubling_all_reduce, n, np.zeros(10)).messages]
    by_rank = [sum(m.nbytes for m in sent if m.source == r) // 80 for r in range(n)]
    steps = power.bit_length() - 1
    assert by_rank == [steps + (r + power < n) for r in range(power)] + [1] * (n - power)


@pytest.mark.parametrize("nodes, per_node", [(2, 2), (3, 2), (2, 4), (4, 4)])
def test_a_hierarchy_sends_a_kth_of_a_ring_between_nodes(nodes, per_node):
    n = nodes * per_node

    def program(comm):
        array = np.arange(48.0) + comm.rank
        return hierarchical_all_reduce(comm, array, per_node)

    found = simulate(program, n)
    for result in found.results:
        np.testing.assert_array_equal(result, n * np.arange(48.0) + n * (n - 1) / 2)
    crossed = [m.nbytes for m in found.messages if m.source // per_node != m.to // per_node]
    # From every rank 2 (N-1)/N of a k-th of the array, in 2 (N-1) messages.
    assert sum(crossed) == n * 2 * (nodes - 1) * 48 * 8 // per_node // nodes
    assert len(crossed) == n * 2 * (nodes - 1)
