"""Rows that go to other ranks and come back, inside a differentiable program   (GShard's dispatch
and combine; Lepikhin et al. 2021, section 3.2).

    forward                                        backward
    exchange   each rank's rows to the rank that   the cotangents of the rows that came, to the
               has their expert                    ranks that had sent them
    pushed     x                                   the cotangent, and what a penalty adds to it

An exchange is a permutation of the rows of all ranks, so its transpose is its inverse: the same
all-to-all with the counts of what was sent and what has come changed about. A rank without rows
takes part like any other, forward and backward. Read next: routers.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.autograd.engine.operation import primitive
from tinylm.parallel.communicate.communicator import Communicator


@primitive(
    lambda g, y, x, comm, sent, received: exchange(g, comm=comm, sent=received, received=sent),
    linear=True,
)
def exchange(
    x: np.ndarray, comm: Communicator, sent: tuple[int, ...], received: tuple[int, ...]
) -> np.ndarray:
    """Rows to other ranks, and theirs from them, by one all-to-all.

    x         (n, D): first sent[0] rows for rank 0, then sent[1] for rank 1, ..
    comm      Communicator
    sent, received  tuples of a number for each rank: rows that go there, and that come from there
    returns   (sum(received), D), by the rank they come from

    Check: tinylm gradcheck exchange
    """
    ends = np.cumsum((0, *sent)).tolist()
    parcels = [x[a:b].copy() for a, b in zip(ends, ends[1:])]
    return np.concatenate(comm.all_to_all(parcels))


def counts_from_all(
    comm: Communicator, counts: np.ndarray, bounds: Sequence[tuple[int, int]]
) -> np.ndarray:
    """How many rows every rank has for each of the experts of this one.

    counts   (E,) integers, this rank's rows for each expert
    bounds   (first, last) of the experts of every rank
    returns  (size, own E) integers
    """
    parcels = [counts[first:last].copy() for first, last in bounds]
    return np.stack(comm.all_to_all(parcels))


@primitive(lambda g, y, x, added: g + added, linear=True)
def pushed(x: np.ndarray, added: np.ndarray) -> np.ndarray:
    """x forward; backward the cotangent plus `added`.

    Where a penalty is a part of the loss, but is computed in the middle of a model of which other
    ranks have the rest, `added` is its gradient by x. (So Megatron-LM does it, by an operation that
    scales the penalty.)

    added    array of x's shape; a constant. With zeros this is the identity

    Check: tinylm gradcheck pushed
    """
    return x.copy()
