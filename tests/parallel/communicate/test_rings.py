"""All-reduce made of messages: the same sum by three routes, and exactly the messages each route
promises.
"""

import numpy as np
import pytest

from tinylm.parallel import launch
from tinylm.parallel.communicate.rings import naive_all_reduce, ring_all_reduce, tree_all_reduce

ROUTES = (naive_all_reduce, tree_all_reduce, ring_all_reduce)


def summed(comm, route, n):
    values = np.random.default_rng(3).standard_normal((comm.size, n)).astype(np.float32)
    array = values[comm.rank].copy()
    assert route(comm, array) is array
    return comm.all_gather(array).reshape(comm.size, n), values


@pytest.mark.parametrize(
    "n", [0, 3, 12, 5000]
)  # fewer than ranks, equal pieces, longer than a mailbox
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("route", ROUTES)
def test_every_route_ends_in_the_same_sum_on_all_ranks(route, workers, n):
    results, values = launch(summed, workers, route, n, capacity=4096, mailbox=4096)
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
