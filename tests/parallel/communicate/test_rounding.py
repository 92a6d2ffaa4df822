"""Floating-point addition depends on its order, so sums over machines do too   (book section
2.2.3).
"""

import numpy as np

from tinylm.parallel import launch
from tinylm.parallel.communicate.rings import naive_all_reduce, ring_all_reduce, tree_all_reduce


def test_addition_is_not_associative():
    big, one = np.float32(1e8), np.float32(1)  # float32 steps by 8 at 1e8
    assert (big + -big) + one == 1
    assert big + (-big + one) == 0


def test_a_running_sum_in_half_precision_stops_at_2048():
    total = np.float16(0)
    for _ in range(4096):
        total = np.float16(total + np.float16(1))
    assert total == 2048  # from there float16 steps by 2: adding 1 rounds back
    assert np.ones(4096, np.float16).sum(dtype=np.float32) == 4096  # adding in float32 mends it
    a, b = np.float16(0), np.float16(0)
    for i in range(4096):  # and so do two halves: another order
        a, b = (np.float16(a + 1), b) if i < 2048 else (a, np.float16(b + 1))
    assert np.float16(a + b) == 4096


def routes(comm):
    values = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)
    found = [
        route(comm, values[comm.rank].copy())
        for route in (naive_all_reduce, tree_all_reduce, ring_all_reduce)
    ]
    return np.stack(found), comm.all_reduce(values[comm.rank].copy()), values


def test_three_routes_of_one_sum_differ_in_the_last_bits_and_the_promised_order_does_not():
    found, promised, values = launch(routes, 4, capacity=1 << 16, mailbox=4096)
    exact = values.sum(0, dtype=np.float64)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (found[a] != found[b]).any()
    # 3 additions of sums below 16: each rounds by at most 2^-24 of 16
    np.testing.assert_allclose(
        found, np.broadcast_to(exact, found.shape), rtol=0, atol=3 * 16 * 2**-24
    )
    in_order = ((values[0] + values[1]) + values[2]) + values[3]
    assert (
        promised.tobytes() == in_order.tobytes()
    )  # all_reduce adds in the order of ranks: every run the same
