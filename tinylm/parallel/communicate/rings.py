"""Five ways to compute an all-reduce by messages between two ranks   (book section 2.3.1).

A communicator has its own `all_reduce`; these show its cost on machines that can only send and
receive, and count the same on any engine. For n ranks and an array of S bytes, the busiest rank
sends

    naive                           (n-1) S: all send to rank 0, which adds up and sends
                                    the sum back
    tree                            log2(n) S, rounded up: ranks at distance 1, 2, 4, .. add up in
                                    pairs; the same way back
    ring                            2 (n-1)/n S: n pieces go round twice: first they are summed,
                                    then spread
    recursive doubling              log2(n) S: ranks at distance 1, 2, 4, .. exchange their sums; a
                                    rank beyond the last power of two has a partner add for it
    hierarchical                    k ranks a node, n/k nodes: a ring inside, after which each has
                                    the sum of a k-th, a ring between nodes over that k-th, and a
                                    ring inside to spread it

and over links of latency alpha and bandwidth beta they take, if n is a power of two for the second
and the fourth,

    naive               2 (alpha + (n-1) S / beta)
    tree                2 log2(n) (alpha + S / beta)
    ring                2 (n-1) (alpha + S / (n beta))
    recursive doubling  log2(n) (alpha + S / beta)
    hierarchical        the ring's time for k ranks inside, and for n/k ranks between and S/k bytes

All return the array, summed in place, with the same bits on every rank.
"""

from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError
from tinylm.parallel.communicate.communicator import Communicator


def naive_all_reduce(comm: Communicator, array: np.ndarray) -> np.ndarray:
    """All send to rank 0, which adds in rank order and sends the sum to all."""
    if comm.rank == 0:
        for source in range(1, comm.size):
            array += comm.recv(array, source)
        for to in range(1, comm.size):
            comm.send(array, to)
    else:
        comm.send(array, 0)
        array[...] = comm.recv(array, 0)
    return array


def tree_all_reduce(comm: Communicator, array: np.ndarray) -> np.ndarray:
    """Sums move to rank 0 along a binary tree and the total moves back along it."""
    distances = [1 << i for i in range((comm.size - 1).bit_length())]  # 1, 2, 4, .. < size
    # Upwards: of each pair at distance d the higher rank sends its sum, and is done.
    for d in distances:
        if comm.rank % (2 * d) == d:
            comm.send(array, comm.rank - d)
        elif comm.rank % (2 * d) == 0 and comm.rank + d < comm.size:
            array += comm.recv(array, comm.rank + d)
    # Downwards, each pair the other way.
    for d in reversed(distances):
        if comm.rank % (2 * d) == d:
            array[...] = comm.recv(array, comm.rank - d)
        elif comm.rank % (2 * d) == 0 and comm.rank + d < comm.size:
            comm.send(array, comm.rank + d)
    return array


def pass_on(comm: Any, piece: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Send `piece` to the right neighbor and return what comes from the left."""
    return comm.sendrecv(piece, (comm.rank + 1) % comm.size, like, (comm.rank - 1) % comm.size)


def ring_reduce_scatter(comm: Any, pieces: ArrayLike) -> Any:
    """The first half of a ring: n-1 steps, after which this rank's piece rank + 1 is the sum.

    pieces   list of n arrays, of the same shapes on every rank; the others hold partial sums
             afterwards
    """
    n, rank = comm.size, comm.rank
    # Piece k starts at rank k, is added to at every rank, and ends at rank k - 1.
    for step in range(n - 1):
        gone = (rank - step) % n
        came = (rank - step - 1) % n
        pieces[came] += pass_on(comm, pieces[gone], pieces[came])


def ring_all_gather(comm: Any, pieces: ArrayLike) -> Any:
    """The second half: n-1 steps in which piece rank + 1 of every rank goes round to all."""
    n, rank = comm.size, comm.rank
    for step in range(n - 1):
        gone = (rank + 1 - step) % n
        came = (rank - step) % n
        pieces[came][...] = pass_on(comm, pieces[gone], pieces[came])


def ring_all_reduce(comm: Any, array: np.ndarray) -> np.ndarray:
    """A reduce-scatter and an all-gather, n-1 steps each, with one n-th of the array at a time.

    array    contiguous, any shape; pieces are as equal as they can be
    raises   ShapeError if it is not contiguous
    """
    pieces = split_evenly("ring_all_reduce", array, comm.size)
    ring_reduce_scatter(comm, pieces)
    ring_all_gather(comm, pieces)
    return array


def split_evenly(call: str, array: np.ndarray, n: int) -> list[np.ndarray]:
    """n views of a contiguous array, as equal as they can be."""
    if not array.flags.c_contiguous:
        raise ShapeError(
            f"{call}: {array.shape} with strides {array.strides} is not contiguous; pass a copy"
        )
    return np.array_split(array.ravel(), n)


def doubling_all_reduce(comm: Communicator, array: np.ndarray) -> np.ndarray:
    """Recursive doubling: after the step at distance d each rank has the sum of 2 d ranks.

    x + y and y + x have the same bits, so both ranks of a pair go on with the same sum.
    """
    power = 1 << (comm.size.bit_length() - 1)  # the largest power of two up to n
    rank, partner = comm.rank, comm.rank ^ power
    if rank >= power:  # a rank beyond it: its partner takes part for both
        comm.send(array, partner)
        array[...] = comm.recv(array, partner)
        return array
    if partner < comm.size:
        array += comm.recv(array, partner)
    distance = 1
    while distance < power:
        array += comm.sendrecv(array, rank ^ distance, array, rank ^ distance)
        distance *= 2
    if partner < comm.size:
        comm.send(array, partner)
    return array


def node_groups(comm: Communicator, per_node: int) -> tuple[Communicator, Communicator]:
    """(ranks of this node, ranks at this place of every node): communicators, made once."""
    return comm.split(comm.rank // per_node), comm.split(comm.rank % per_node)


def hierarchical_all_reduce(
    comm: Communicator,
    array: np.ndarray,
    per_node: int,
    groups: tuple[Communicator, Communicator] | None = None,
) -> np.ndarray:
    """Rings inside nodes and rings between them: of every array one k-th crosses, not all of it.

    per_node  k, the ranks of a node, which must divide n; nodes are 0 .. k-1, k .. 2k-1, ..
    groups    node_groups(), where it is called often; made anew unless given
    raises    ConfigError if k does not divide n; ShapeError if the array is not contiguous
    """
    if per_node < 1 or comm.size % per_node:
        raise ConfigError(
            f"hierarchical_all_reduce: nodes of {per_node} ranks do not make up {comm.size} ranks"
        )
    inside, between = groups or node_groups(comm, per_node)
    pieces = split_evenly("hierarchical_all_reduce", array, per_node)
    ring_reduce_scatter(inside, pieces)
    ring_all_reduce(between, pieces[(inside.rank + 1) % per_node])
    ring_all_gather(inside, pieces)
    return array
