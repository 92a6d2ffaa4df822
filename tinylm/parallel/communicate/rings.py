"""Three ways to compute an all-reduce by messages between two ranks   (book section 2.3.1).

A communicator has its own `all_reduce`; these show its cost on machines that can only send and
receive, and count the same on any engine. For n ranks and an array of S bytes, the busiest rank
sends

    naive   (n-1) S                 all send to rank 0, which adds up and sends the sum back
    tree    log2(n) S, rounded up   ranks at distance 1, 2, 4, .. add up in pairs; the same way back
    ring    2 (n-1)/n S             n pieces go round twice: first they are summed, then spread

All return the array, summed in place, with the same bits on every rank.
"""

import numpy as np

from tinylm.errors import ShapeError


def naive_all_reduce(comm, array):
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


def tree_all_reduce(comm, array):
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


def pass_on(comm, piece, like):
    """Send `piece` to the right neighbor and return what comes from the left.

    Even ranks send first and odd ranks receive first, so the ring cannot wait for itself.
    """
    if comm.rank % 2 == 0:
        comm.send(piece, (comm.rank + 1) % comm.size)
    came = comm.recv(like, (comm.rank - 1) % comm.size)
    if comm.rank % 2 == 1:
        comm.send(piece, (comm.rank + 1) % comm.size)
    return came


def ring_all_reduce(comm, array):
    """A reduce-scatter and an all-gather, n-1 steps each, with one n-th of the array at a time.

    array    contiguous, any shape; pieces are as equal as they can be
    raises   ShapeError if it is not contiguous
    """
    if not array.flags.c_contiguous:
        raise ShapeError(
            f"ring_all_reduce: {array.shape} with strides {array.strides} is not contiguous; "
            "pass a copy"
        )
    n, rank = comm.size, comm.rank
    pieces = np.array_split(array.ravel(), n)  # views
    # Reduce-scatter: piece k starts at rank k, is added to at every rank, and ends at rank k - 1.
    for step in range(n - 1):
        gone = (rank - step) % n
        came = (rank - step - 1) % n
        pieces[came] += pass_on(comm, pieces[gone], pieces[came])
    # All-gather: each rank starts with piece rank + 1, which is complete, and sends it round.
    for step in range(n - 1):
        gone = (rank + 1 - step) % n
        came = (rank - step) % n
        pieces[came][...] = pass_on(comm, pieces[gone], pieces[came])
    return array
