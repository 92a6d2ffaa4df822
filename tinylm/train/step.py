"""One training step, for one process or several: micro-batches, exact averaging, a shared update.

With n_k the targets that count in micro-batch k and n = sum_k n_k over the whole batch on all
workers, the gradient of the mean loss is

    dM = sum_k (n_k / n) dM_k        (book section 2.2.3, eq. 2.33, for a mean instead of a sum)

so every backward pass starts from the cotangent n_k / n, and gradients are simply added: over
micro-batches in the flat buffer, over workers by the communicator. Each worker then updates its own
slice of the parameters, and the slices are exchanged. Read next: trainer.py, which calls this.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import first_order_only
from tinylm.backend import Random
from tinylm.optim.flat import clip_factor, sum_of_squares
from tinylm.train.alone import ALONE
from tinylm.train.interrupt import marked, marks


@dataclass(frozen=True)
class Step:
    """What a step found, the same on every worker.

    loss       mean nats per target of the whole batch, before the update
    grad_norm  Euclidean norm of its gradient, before clipping
    tokens     targets that counted
    stop       the signal by which some worker was asked to stop, or None
    updated    False if loss or gradient is not finite: then the parameters are as they were
    """

    loss: float
    grad_norm: float
    tokens: int
    stop: int | None
    updated: bool


def train_step(
    model,
    objective,
    optimizer,
    batch,
    first,
    total,
    lr,
    clip=0.0,
    micro_batch=0,
    comm=ALONE,
    stop=None,
    streams=None,
):
    """Update the parameters once.

    optimizer    holds the FlatParameters of `model`; its step(lr, start, stop, scale) updates a
                 slice
    batch        this worker's rows
    first,total  they are rows first .. first+len(batch)-1 of a batch of `total` rows
    lr, clip     learning rate; largest gradient norm (0: any)
    micro_batch  rows differentiated at a time; 0: all
    comm         communicator; every worker calls with its own rows
    stop         the signal by which this worker has been asked to stop, or None; Step.stop is that
                 of any worker
    streams      random_streams(model), for who has looked for them before
    returns      Step
    """
    flat, streams = optimizer.flat, random_streams(model) if streams is None else streams
    # How many targets count in the whole batch is known only after the workers have met. To meet
    # once less, gradients are taken per row of the batch, and the factor rows / targets is applied
    # after. Rows, because each worker knows them; the width of its rows may be its own, where they
    # are padded to its longest.
    loss = accumulate(
        model, objective, flat, passes(streams, batch, first, total, micro_batch), total
    )
    flat.collect()
    start, end = comm.slice(len(flat))
    comm.reduce_scatter_(flat.grad)
    mine = flat.grad[start:end]
    found = np.array([loss, sum_of_squares(mine), batch.tokens, *marks(stop)], np.float64)
    loss, square, tokens, *stops = comm.all_reduce(found).tolist()
    factor = total / max(tokens, 1)
    loss, norm = loss * factor, math.sqrt(square) * factor if square >= 0 else math.nan
    updated = math.isfinite(loss) and math.isfinite(norm)
    if updated:
        clipped = clip_factor(norm, clip or math.inf)  # 0: any norm will do
        optimizer.step(lr, start, end, scale=factor * clipped)
        comm.all_gather_(flat.data)
    return Step(loss, norm, int(tokens), marked(stops), updated)


def accumulate(model, objective, flat, micro_batches, tokens):
    """Leave in `flat` this worker's share of the gradient of the mean loss over `tokens` targets.

    returns  its share of the mean loss: the sum over micro-batches of (n_k / n) M_k
    """
    flat.zero_grad()
    loss_share = 0.0
    for part in micro_batches:
        with first_order_only():
            loss, metrics = objective.loss(model, part)
        weight = metrics["tokens"] / max(tokens, 1)
        loss.backward(weight)
        loss_share += weight * metrics["loss"]
    return loss_share


def passes(streams, batch, first, total, micro_batch=0):
    """Yield the micro-batches of a batch, each with the random streams set so that any cut draws
    the same numbers.

    Every micro-batch starts from the same counters and draws its own rows of the whole batch
    (Random.rows), so dropout does not depend on the size of micro-batches or the number of workers.
    """
    size = micro_batch or max(len(batch), 1)
    counters = [rng.counter for rng in streams]
    for start in range(0, len(batch), size):
        for rng, counter in zip(streams, counters):
            rng.counter = counter
        with contextlib.ExitStack() as windows:
            for rng in streams:
                windows.enter_context(rng.rows(first + start, total))
            yield batch if size >= len(batch) else batch.rows(start, start + size)


def random_streams(model):
    """The random streams a model draws from while training (dropout), each once, in the order of
    its modules.
    """
    streams = [getattr(module, "rng", None) for module in model.modules()]
    found = {id(rng): rng for rng in streams if isinstance(rng, Random)}
    return list(found.values())
