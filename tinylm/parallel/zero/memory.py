"""Bytes of a rank's states under ZeRO: the formula, and what is there   (Rajbhandari et al. 2020,
section 5).

With a 16-bit parameter and gradient and 12 bytes of Adam's state in float32, a parameter costs
2 + 2 + 12 bytes on one rank. Trained in float32 throughout, as here, it costs 4 + 4 + 8. Of N ranks
each has an N-th of the last summand at stage 1, of the last two at stage 2, of all at stage 3. To
that comes, at stages 2 and 3, what is whole while it is used: the gradients of one bucket, and at
stage 3 its parameters. Read next: ../plan/memory.py.
"""

import gc
import tracemalloc
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike

FLOAT32 = 4, 4, 8  # bytes of a parameter, its gradient, and Adam's two moments
MIXED = 2, 2, 12  # the paper's: the last are a float32 copy and two moments
SHARED_FROM = 3, 2, 1  # the stage of ZeRO that cuts each


def state_bytes(
    parameters: ArrayLike,
    ranks: ArrayLike,
    stage: ArrayLike,
    each: tuple[int, np.ndarray | int, int] = FLOAT32,
) -> tuple[np.ndarray | float, ...]:
    """Bytes of (parameters, gradients, optimizer's state) of one of the ranks that share a batch.

    parameters  of the rank, before ZeRO
    stage       of ZeRO, 0 to 3
    each        bytes of (a parameter, its gradient, its moments)

    All but `each` may be arrays.
    """
    stage = np.asarray(stage)
    return tuple(
        size * parameters / np.where(stage >= first, ranks, 1)
        for size, first in zip(each, SHARED_FROM)
    )


def live_bytes() -> int:
    """Bytes of all NumPy arrays that are alive in this process, as tracemalloc has counted them.

    tracemalloc.start() must have been called before they were made.
    """
    gc.collect()
    arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    found = tracemalloc.take_snapshot().filter_traces([arrays])
    return sum(trace.size for trace in found.traces)


def held_bytes(shards: Any) -> dict[str, int]:
    """Bytes of the arrays that a rank keeps between steps: {"parameters", "gradients", "moments"}.

    shards   Shards
    """
    found = {"parameters": 0, "gradients": 0, "moments": 0}
    for bucket, optimizer in zip(shards.buckets.values(), shards.optimizers):
        for what, whole, own in (
            ("parameters", bucket.data, bucket.flat.data),
            ("gradients", bucket.grad, bucket.flat.grad),
        ):
            found[what] += own.nbytes if whole is None else whole.nbytes
        moments = [value for value in optimizer.state().values() if np.ndim(value)]
        found["moments"] += sum(array.nbytes for array in moments)
    return found
