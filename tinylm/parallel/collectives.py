"""Collectives inside a differentiable program, each with its transpose as derivative   (book
section 2.2.3; Shoeybi et al. 2019, whose f and g are the first two).

The loss is one number that every rank of the group computes alike, and counts once. So where ranks
hold the same array, its cotangent is on each of them the whole one, not a share of it:

    forward                                   backward
    enter         x, the same on all ranks    sum of the cotangents, which differ
    leave         sum of x over ranks         the cotangent, which is the same
    joined        shares put together         this rank's share of the cotangent, the same
    own           this rank's share           the cotangents of all shares put together
    enter_joined  shares put together         this rank's share of the sum of cotangents
    leave_shared  this rank's share of the    cotangents put together
                  sum over ranks

`enter` and `enter_joined` stand where ranks begin to compute different things from the same
activation, the others where they come together again. An all-reduce that is differentiated as
another all-reduce would count the loss once for every rank. Shapes: shares are cut along `axis` of
an array that has `total` entries there, as equal as they can be (data_parallel.share_rows), or as
long as a tuple `total` says. Read next: tensor/layers.py.
"""

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.operation import primitive
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows


def bounds(total: int | tuple[int, ...], size: int) -> list[tuple[int, int]]:
    """(start, stop) of the share of every rank: of a number as equal as can be, of a tuple its
    lengths.
    """
    if isinstance(total, tuple):
        ends = np.cumsum(total).tolist()
        return list(zip([0, *ends], ends))
    return [share_rows(total, rank, size) for rank in range(size)]


def own_share(array: np.ndarray, comm: Communicator, axis: int, total: int) -> np.ndarray:
    """This rank's entries along an axis: a view."""
    start, stop = bounds(total, comm.size)[comm.rank]
    return array[(slice(None),) * (axis % array.ndim) + (slice(start, stop),)]


def put_together(
    comm: Communicator, array: np.ndarray, axis: int, total: int | tuple[int, ...]
) -> np.ndarray:
    """The shares of all ranks one after another along an axis, on every rank.

    comm     Communicator;  array  this rank's share
    total    entries of the whole along `axis`, or the tuple of those of each rank
    """
    axis %= array.ndim
    shares = bounds(total, comm.size)
    longest = max(stop - start for start, stop in shares)
    # An all_gather takes arrays of one shape: shorter shares are filled up.
    front = np.zeros_like(array, shape=(longest, *_others(array.shape, axis)))
    moved = np.moveaxis(array, axis, 0)
    front[: len(moved)] = moved
    gathered = comm.all_gather(front)  # (size * longest, ...)
    parts = []
    for rank, (start, stop) in enumerate(shares):
        parts.append(gathered[rank * longest : rank * longest + stop - start])
    return np.moveaxis(np.concatenate(parts), 0, axis).copy()


def share_of_sum(
    comm: Communicator, array: np.ndarray, axis: int, total: int | tuple[int, ...]
) -> np.ndarray:
    """This rank's share, along an axis, of the sum over ranks."""
    axis %= array.ndim
    shares = bounds(total, comm.size)
    longest = max(stop - start for start, stop in shares)
    moved = np.moveaxis(array, axis, 0)
    padded = np.zeros_like(array, shape=(comm.size * longest, *moved.shape[1:]))
    for rank, (start, stop) in enumerate(shares):
        padded[rank * longest : rank * longest + stop - start] = moved[start:stop]
    own = comm.reduce_scatter(padded)  # (longest, ...)
    start, stop = shares[comm.rank]
    return np.moveaxis(own[: stop - start], 0, axis).copy()


def _others(shape, axis):
    return (*shape[:axis], *shape[axis + 1 :])


@primitive(lambda g, y, x, comm: leave(g, comm=comm), linear=True)
def enter(x: np.ndarray, comm: Communicator) -> np.ndarray:
    """Ranks begin to read the same x differently: x forward, the sum over ranks backward.

    comm     Communicator
    returns  x's shape

    Check: tinylm gradcheck enter
    """
    return x.copy()


@primitive(lambda g, y, x, comm: enter(g, comm=comm), linear=True)
def leave(x: np.ndarray, comm: Communicator) -> np.ndarray:
    """The sum of x over ranks forward; backward the cotangent as it is.

    Check: tinylm gradcheck leave
    """
    return comm.all_reduce(x.copy())


@primitive(
    lambda g, y, x, comm, axis, total: _own(g, comm=comm, axis=axis, total=total), linear=True
)
def joined(x: np.ndarray, comm: Communicator, axis: int, total: int) -> np.ndarray:
    """Shares put together, read alike by all ranks; backward the rank's share of the cotangent.

    x        this rank's share, of `total` entries along `axis`
    returns  the whole

    Check: tinylm gradcheck joined
    """
    return put_together(comm, x, axis, total)


@primitive(
    lambda g, y, x, comm, axis, total: joined(g, comm=comm, axis=axis, total=total),
    name="own_share",
    linear=True,
)
def _own(x, comm, axis, total):
    """See own()."""
    return own_share(x, comm, axis, total).copy()


def own(x: Tensor, comm: Communicator, axis: int, total: int) -> Tensor:
    """This rank's share of an x that all ranks have; backward the cotangents of all shares.

    Check: tinylm gradcheck own_share
    """
    return _own(x, comm=comm, axis=axis, total=total)


@primitive(
    lambda g, y, x, comm, axis, total: leave_shared(g, comm=comm, axis=axis, total=total),
    linear=True,
)
def enter_joined(
    x: np.ndarray, comm: Communicator, axis: int, total: int | tuple[int, ...]
) -> np.ndarray:
    """Shares put together, to be read differently by each rank: an all-gather forward, a
    reduce-scatter backward.

    x        this rank's share, of `total` entries along `axis`
    returns  the whole

    Check: tinylm gradcheck enter_joined
    """
    return put_together(comm, x, axis, total)


@primitive(
    lambda g, y, x, comm, axis, total: enter_joined(g, comm=comm, axis=axis, total=total),
    linear=True,
)
def leave_shared(
    x: np.ndarray, comm: Communicator, axis: int, total: int | tuple[int, ...]
) -> np.ndarray:
    """This rank's share of the sum over ranks: a reduce-scatter forward, an all-gather backward.

    Check: tinylm gradcheck leave_shared
    """
    return share_of_sum(comm, x, axis, total)
