"""One step of training: forward, loss, backward, update, for one process or several   (book section
2.2.2, 2.2.3).

Let micro-batch k have n_k targets that count and the mean loss M_k over them, and let n be the sum
of n_k over the whole batch on all workers. The gradient of the mean loss M of the batch is

    dM = sum_k (n_k / n) dM_k        (eq. 2.33, for a mean instead of a sum)

so every backward pass starts from the cotangent n_k / n, and gradients are simply added: over
micro-batches in the flat buffer (`accumulate`), over workers by the communicator (`train_step`).
As n is known only after a reduction over the workers, n_k is first divided by the number of rows,
and the sum corrected afterwards. Each worker then updates its own slice of the parameters, and the
slices are exchanged. Read next: trainer.py.
"""

import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, first_order_only
from tinylm.autograd.device import updates
from tinylm.autograd.device.launch import can_launch
from tinylm.autograd.kernels.rows import check_ids
from tinylm.backend import Random, is_array, to_cpu
from tinylm.nn.module import Module
from tinylm.optim.flat import FlatOptimizer, FlatParameters, clip_factor, sum_of_squares
from tinylm.pretrain.batch import IGNORE, Batch, Objective
from tinylm.pretrain.language.causal import CausalLM
from tinylm.train.alone import ALONE, Workers
from tinylm.train.interrupt import marked, marks
from tinylm.train.whole_batch import whole_batch, with_numbers


@dataclass(frozen=True)
class Step:
    """The result of a step, the same on every worker.

    loss       mean nats per target of the whole batch, before the update
    grad_norm  Euclidean norm of its gradient, before clipping
    tokens     targets that counted
    stop       the signal that asked some worker to stop, or None
    updated    False if loss or gradient is not finite: then the parameters are as they were
    """

    loss: float
    grad_norm: float
    tokens: int
    stop: int | None
    updated: bool


def train_step(
    model: Module,
    objective: Objective,
    optimizer: FlatOptimizer,
    batch: Batch,
    first: int,
    total: int,
    lr: float,
    clip: float = 0.0,
    micro_batch: int = 0,
    comm: Workers = ALONE,
    stop: Callable | None = None,
    streams: Sequence[Random] | None = None,
    gradient: Callable | None = None,
    add_up: Callable | None = None,
) -> Step:
    """Update the parameters once, by the gradient of the mean loss over a whole batch.

    optimizer    holds the FlatParameters of `model`; its step(lr, start, stop, scale) updates a
                 slice
    batch        this worker's rows
    first,total  they are rows first .. first+len(batch)-1 of a batch of `total` rows
    lr, clip     learning rate; largest gradient norm (0: any)
    micro_batch  rows differentiated at a time; 0: all
    comm         communicator; every worker calls with its own rows
    stop         function: the signal that this worker has received by now, or None. It is asked
                 when the gradient is there; Step.stop is the signal of any worker. None: no signals
    streams      random_streams(model), where they are known already
    gradient     function with the arguments of share_of_gradient, if not that one
    add_up       function of (comm, flat) that leaves the sum over workers in the gradient, the same
                 bits on all: each then updates everything. None: each gets the sum of its slice,
                 updates that, and hands it on
    returns      Step
    """
    flat = optimizer.flat
    if streams is None:
        streams = random_streams(model)
    # The number n of targets in the whole batch needs a reduction over the workers. To save it,
    # gradients are taken as means over the `total` rows, which every worker has at hand, and the
    # factor total / n follows below. (Not over rows x width: a worker pads to its own longest row.)
    gradient = gradient or share_of_gradient
    loss = gradient(model, objective, flat, batch, first, total, micro_batch, comm, streams)
    if comm.size == 1 and add_up is None and type(flat.data) is not np.ndarray:
        step = _on_device(optimizer, loss, batch.tokens, total, lr, clip, stop)
        if step is not None:
            return step
    return _update(optimizer, loss, batch.tokens, total, lr, clip, comm, stop, add_up)


def _update(optimizer, loss, tokens, total, lr, clip, comm, stop, add_up):
    """The end of a step: gradients, losses and counts of all workers, and the update.

    loss, tokens  this worker's share of the loss, a number or 0-d array, and its targets
    others        as of train_step;  returns  Step
    """
    flat = optimizer.flat
    start, end = comm.slice(len(flat))  # this worker's part of all N parameters
    bounds = optimizer.bounds(comm.size)  # None, unless an update cannot be cut anywhere
    if add_up is not None:
        add_up(comm, flat)
    elif bounds is None:
        comm.reduce_scatter_(flat.grad)  # (N,): the sum over workers stands in start .. end
    else:
        comm.all_reduce(flat.grad)
    signal = stop and stop()
    # One reduction for everything else: loss, |g|^2 of the slices, targets, signals.
    loss, square = _loss_and_squares(loss, flat.grad[start:end])
    found = np.array([loss, square, tokens, *marks(signal)], np.float64)
    loss, square, tokens, *stops = comm.all_reduce(found).tolist()
    factor = total / max(tokens, 1)
    loss *= factor
    norm = math.nan  # also if the sum of squares is NaN
    if square >= 0:
        norm = math.sqrt(square) * factor
    updated = math.isfinite(loss) and math.isfinite(norm)  # of sums: the same on every worker
    if updated:
        factor *= clip_factor(norm, clip or math.inf)  # min(1, clip / norm)
        if add_up is not None:
            optimizer.step(lr, scale=factor)
        else:
            if bounds is not None:
                start, end = bounds[comm.rank : comm.rank + 2]
            optimizer.step(lr, start, end, scale=factor)  # this worker's part alone
            gather_parts(comm, flat.data, bounds)  # (N,): the parts of all workers
    return Step(loss, norm, int(tokens), marked(stops), updated)


def _on_device(optimizer, loss, tokens, total, lr, clip, stop):
    """The end of a step on a GPU, after which the host waits for the device for the first time.

    returns  Step; None for an optimizer or a dtype without a kernel for it
    """
    if_finite = getattr(optimizer, "step_if_finite", None)
    if if_finite is None or not is_array(loss):
        return None
    signal = stop and stop()
    found = if_finite(lr, loss, total / max(tokens, 1), clip)
    if found is None:
        return None
    loss, norm, updated = found
    return Step(loss, norm, tokens, marked(marks(signal)), updated)


def _loss_and_squares(loss, g):
    """A loss and the sum of squares of a gradient (n,), as floats; a GPU is waited for once."""
    if is_array(loss) and can_launch(g, loss):
        return to_cpu(updates.squares(g, loss)).tolist()[:2]
    return float(loss), sum_of_squares(g)


def gather_parts(
    comm: Workers, array: np.ndarray, bounds: Sequence[int] | None = None
) -> np.ndarray:
    """Copy every worker's part of an array (n,) to all workers, in place; returns the array.

    bounds  worker r has the elements bounds[r] .. bounds[r + 1] - 1; None: its comm.slice(n)
    """
    if bounds is None:
        return comm.all_gather_(array)
    for r in range(comm.size):
        comm.broadcast(array[bounds[r] : bounds[r + 1]], r)
    return array


def share_of_gradient(
    model: Module,
    objective: Objective,
    flat: FlatParameters,
    batch: Batch,
    first: int,
    total: int,
    micro_batch: int,
    comm: Workers,
    streams: Sequence[Random],
    tokens: int | None = None,
    scale: float = 1.0,
    backward: Callable | None = None,
) -> float:
    """Leave in `flat` this worker's share of the gradient of the loss over a whole batch.

    tokens   what the sum over targets is divided by; None: the number of rows, `total`
    scale, backward  as of accumulate;  others as of train_step
    returns  its share of the loss
    """
    counters = [rng.counter for rng in streams]
    parts = passes(streams, batch, first, total, micro_batch)
    numbers = whole_batch(objective, model, parts, comm)  # {} for nearly all objectives
    rewind(streams, counters)  # both passes draw the same dropout
    batch = with_numbers(batch, numbers)
    parts = passes(streams, batch, first, total, micro_batch)
    loss = accumulate(model, objective, flat, parts, tokens or total, scale, backward)
    flat.collect()
    return loss


def accumulate(
    model: Module,
    objective: Objective,
    flat: FlatParameters,
    micro_batches: Iterable,
    tokens: int,
    scale: float = 1.0,
    backward: Callable | None = None,
) -> float:
    """Leave in `flat` this worker's share of the gradient of the mean loss over `tokens` targets.

    tokens   n above: targets of the whole batch, or what the caller corrects for afterwards
    scale    factor on the gradient, not on the loss that is returned
    backward  function of (loss, cotangent); None: Tensor.backward
    returns  its share of the mean loss: the sum over micro-batches of (n_k / n) M_k. A float; on a
             GPU a 0-d array, if the objective does not read it
    """
    backward = backward or Tensor.backward
    flat.zero_grad()
    loss_share = 0.0  # a number, not a Tensor: each micro-batch's graph is freed before the next
    for part in micro_batches:
        with first_order_only():
            loss, metrics = objective.loss(model, part)  # forward; the mean M_k of n_k targets
        weight = metrics["tokens"] / max(tokens, 1)
        backward(loss, scale * weight)  # adds (n_k / n) dM_k to the gradients
        loss_share += weight * metrics["loss"]
    return loss_share


def passes(
    streams: Sequence[Random], batch: Batch, first: int, total: int, micro_batch: int = 0
) -> Generator[Batch, None, None]:
    """Yield the micro-batches of a batch, each with the random streams set so that any cut draws
    the same numbers.

    Every micro-batch starts from the same counters and draws its own rows of the whole batch
    (Random.rows), so dropout does not depend on the size of micro-batches or the number of workers.
    """
    size = micro_batch or max(len(batch), 1)
    counters = [rng.counter for rng in streams]
    for start in range(0, len(batch), size):
        part = batch if size >= len(batch) else batch.rows(start, start + size)
        rewind(streams, counters)
        with contextlib.ExitStack() as windows:
            # Dropout is drawn for rows first + start .. of the `total` rows.
            for rng in streams:
                windows.enter_context(rng.rows(first + start, total))
            yield part


def rewind(streams: Sequence[Random], counters: Sequence[int]) -> None:
    """Set random streams back to counters, so that they draw the same numbers again."""
    for rng, counter in zip(streams, counters):
        rng.counter = counter


def moved(batch: Batch, device: str, model: Module, objective: Objective) -> Batch:
    """A batch on a device, its token ids checked on the host: a GPU would have to be waited for.

    raises  DataError naming the first id that the model's tables do not have
    """
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if device != "cpu" and size is not None:
        for name in ("inputs", "decoder"):
            ids = getattr(batch, name, None)
            if ids is not None and ids.dtype.kind in "iu":
                check_ids(ids, size, f"batch: {name}")
        if isinstance(objective, CausalLM):
            targets = np.where(batch.targets == IGNORE, 0, batch.targets)
            check_ids(targets, size, "batch: targets")
    return batch.to(device)


def random_streams(model: Any) -> list[Random]:
    """The random streams a model draws from while training (dropout), each once, in the order of
    its modules.
    """
    streams = [getattr(module, "rng", None) for module in model.modules()]
    # By identity: modules of a model may share one stream.
    found = {id(rng): rng for rng in streams if isinstance(rng, Random)}
    return list(found.values())
