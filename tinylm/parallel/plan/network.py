"""Seconds of collectives over a topology: links inside a node, adapters between nodes.

A group of n ranks that are `stride` apart has k of them in each of its n / k nodes, and `stride`
such groups share a node's adapters (at most as many as a node has GPUs). A collective moves
(k - 1) / k of its array over the links and (N - 1) / N over the adapters, at the same time: the
slower counts. An all-reduce is two such passes, a reduce-scatter and an all-gather.
Read next: step.py.
"""

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import Hardware

# nccl-tests on a DGX A100: an all-reduce on eight GPUs has 230 of the links' 300 GB/s.
LINK_SHARE = 0.77
LATENCY = (
    20e-6  # seconds of a small collective inside a node; as much again for a doubling of nodes
)
HOP = 5e-6  # seconds of a small message from node to node, a step of a ring


def group(
    ranks: ArrayLike, stride: ArrayLike, node: int
) -> tuple[np.ndarray | float, np.ndarray | float, np.ndarray | int]:
    """(ranks of a group in one node, nodes, groups that share a node's adapters)."""
    inside = np.clip(node / stride, 1, ranks)
    return inside, ranks / inside, np.minimum(node, stride)


def pass_seconds(
    size: ArrayLike,
    ranks: ArrayLike,
    stride: ArrayLike,
    hardware: Hardware,
    constants: Constants,
    pieces: ArrayLike = 1,
) -> np.ndarray | float:
    """Seconds of one reduce-scatter or all-gather of `size` bytes (the whole array).

    ranks   n of the group;  stride between its neighbors, in ranks
    pieces  of the array, which go one after another. Each goes round the ring of nodes, so that it
            takes at least (nodes - 1) steps
    """
    k, nodes, _ = group(ranks, stride, hardware.node)
    start = LATENCY / 2 * (k > 1) + HOP * (nodes - 1)
    return pieces * start + _moving(size, ranks, stride, hardware, constants)


def _moving(size, ranks, stride, hardware, constants):
    """Seconds for the bytes of a pass alone."""
    k, nodes, groups = group(ranks, stride, hardware.node)
    inside = (k - 1) / k * size / (hardware.link * LINK_SHARE)
    # A ring enters a node at one GPU and leaves at another. A rank alone in its node uses its
    # adapter both ways, all ranks of a node use all adapters; between these, some lie idle.
    partial = np.where((k > 1) & (k < hardware.node), constants.rail, 1.0)
    rate = hardware.network * constants.network * partial / groups
    outside = (nodes - 1) / nodes * size / rate
    return np.maximum(inside, outside)


def all_reduce_seconds(
    size: ArrayLike, ranks: ArrayLike, stride: ArrayLike, hardware: Hardware, constants: Constants
) -> np.ndarray | float:
    """Seconds of an all-reduce of `size` bytes: 2 (n - 1) / n of them leave each rank.

    By a ring, or by a tree between nodes, whose depth is the number of their doublings: what begins
    sooner.
    """
    k, nodes, _ = group(ranks, stride, hardware.node)
    tree = LATENCY / 2 * np.ceil(np.log2(np.maximum(nodes, 1)))
    start = LATENCY / 2 * (k > 1) + np.minimum(tree, HOP * (nodes - 1))
    return 2 * (start + _moving(size, ranks, stride, hardware, constants))


def send_seconds(
    size: ArrayLike, stride: ArrayLike, hardware: Hardware, constants: Constants
) -> np.ndarray | float:
    """Seconds in which a rank sends `size` bytes to the rank `stride` further.

    All GPUs of a node send at once, so each has its share of the adapters.
    """
    outside = hardware.network * constants.network / hardware.node
    rate = np.where(stride >= hardware.node, outside, hardware.link * LINK_SHARE)
    return size / rate
