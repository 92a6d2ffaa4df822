"""Collectives over a topology: limits in which only one wire counts, by hand."""

from dataclasses import replace

import pytest

from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.network import (
    HOP,
    LATENCY,
    LINK_SHARE,
    all_reduce_seconds,
    group,
    pass_seconds,
    send_seconds,
)

NODE = replace(MACHINES["a100"], link=100 / LINK_SHARE, network=80.0)  # bytes a second
WHOLE = Constants(network=1.0, rail=1.0)
SIZE = 1e6  # so many seconds that latency is nothing beside them


@pytest.mark.parametrize(
    "ranks, stride, expected",
    [
        (8, 1, (8, 1, 1)),  # tensor ranks that fill a node
        (16, 1, (8, 2, 1)),
        (4, 8, (1, 4, 8)),  # data ranks of t = 8: one in a node, eight groups beside each other
        (32, 2, (4, 8, 2)),
        (2, 2, (2, 1, 2)),  # two ranks, although four would fit
        (4, 64, (1, 4, 8)),
    ],
)
def test_where_the_ranks_of_a_group_are(ranks, stride, expected):
    assert group(ranks, stride, 8) == expected


def test_inside_a_node_a_pass_moves_its_share_over_the_links():
    # (k - 1) / k of the array at 100 bytes a second
    assert pass_seconds(SIZE, 4, 1, NODE, WHOLE) == pytest.approx(0.75 * SIZE / 100 + LATENCY / 2)
    assert all_reduce_seconds(SIZE, 4, 1, NODE, WHOLE) == pytest.approx(1.5 * SIZE / 100 + LATENCY)


def test_between_nodes_groups_share_the_adapters():
    # 4 nodes, one rank in each, 8 groups: 10 of 80 bytes a second for each
    assert pass_seconds(SIZE, 4, 8, NODE, WHOLE) == pytest.approx(0.75 * SIZE / 10 + LATENCY / 2)
    # one group of 16 on two nodes has all adapters, and the links work meanwhile: 7/8 and 1/2
    both = max(7 / 8 * SIZE / 100, 1 / 2 * SIZE / 80)
    assert pass_seconds(SIZE, 16, 1, NODE, WHOLE) == pytest.approx(both + LATENCY)


def test_small_arrays_wait_for_each_node_of_a_ring_or_each_level_of_a_tree():
    def waits(seconds, nodes, **more):
        return float(seconds(0, 8 * nodes, 1, NODE, WHOLE, **more))

    for nodes, doublings in ((1, 0), (2, 1), (8, 3), (1000, 10)):
        ring = LATENCY / 2 + HOP * (nodes - 1)
        assert waits(pass_seconds, nodes) == pytest.approx(ring)
        assert waits(pass_seconds, nodes, pieces=5) == pytest.approx(5 * ring)
        tree = LATENCY / 2 + min(LATENCY / 2 * doublings, HOP * (nodes - 1))
        assert waits(all_reduce_seconds, nodes) == pytest.approx(2 * tree)


def test_the_rail_constant_counts_for_groups_between_one_and_all_of_a_node():
    slow = replace(WHOLE, rail=0.1)
    for ranks, stride, factor in ((4, 8, 1), (16, 1, 1), (16, 2, 10), (16, 4, 10), (4, 1, 1)):
        ratio = pass_seconds(SIZE, ranks, stride, NODE, slow) / pass_seconds(
            SIZE, ranks, stride, replace(NODE, link=1e12), WHOLE
        )
        if factor > 1:
            assert ratio == pytest.approx(factor, rel=1e-3)
        else:
            assert pass_seconds(SIZE, ranks, stride, NODE, slow) == pass_seconds(
                SIZE, ranks, stride, NODE, WHOLE
            )


def test_one_rank_sends_nothing():
    assert pass_seconds(SIZE, 1, 1, NODE, WHOLE) == 0


def test_a_message_leaves_the_node_where_the_stride_does():
    assert send_seconds(SIZE, 8, NODE, WHOLE) == SIZE / 10  # an eighth of the adapters
    assert send_seconds(SIZE, 4, NODE, WHOLE) == pytest.approx(SIZE / 100)
