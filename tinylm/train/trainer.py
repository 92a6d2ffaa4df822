"""The training loop: forward, loss, backward, update, for one process or several   (book section
2.2.2, 2.2.3).

Let micro-batch k have n_k targets that count and the mean loss M_k over them, and let n be the sum
of n_k over the whole batch on all workers. The gradient of the mean loss M of the batch is

    dM = sum_k (n_k / n) dM_k        (eq. 2.33, for a mean instead of a sum)

so every backward pass starts from the cotangent n_k / n, and gradients are simply added: over
micro-batches in the flat buffer (`accumulate`), over workers by the communicator (`train_step`).
As n is known only after a reduction over the workers, n_k is first divided by the number of rows,
and the sum corrected afterwards. Each worker then updates its own slice of the parameters, and the
slices are exchanged.

All state of a Trainer is explicit: parameters, the optimizer's moments, the counters of the random
streams, and the number of steps, which is also the position in the data because batches are pure
functions of the step. So a resumed run computes the same bits as one that never stopped. Read next:
pretrain/objectives.py, where the loss comes from.
"""

import contextlib
import math
import time
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import first_order_only
from tinylm.backend import Random, device_of, to_device
from tinylm.errors import CheckpointError, ConfigError, TrainingError
from tinylm.fields import LARGEST, Fields
from tinylm.machine import keep_freed_memory
from tinylm.optim.flat import clip_factor, sum_of_squares
from tinylm.train.alone import ALONE
from tinylm.train.evaluation import evaluate
from tinylm.train.interrupt import finish_first, marked, marks
from tinylm.train.nonfinite import explain
from tinylm.train.whole_batch import whole_batch, with_numbers

MOST_STEPS = 2**53  # a float counts no further


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


class Trainer:
    """The training of a model: steps of gradient descent on batches, which one process or several
    share, and a state to save and resume.

    model        Module
    objective    make_batch(sequences, rng) -> Batch; loss(model, batch) -> (Tensor, {"tokens",
                 "loss"}); where the loss needs numbers of the whole batch, whole_batch() too
                 (whole_batch.py)
    optimizer    of optim/, made on the model's FlatParameters
    batches      (step, start, stop) -> rows start .. stop-1 of that step's batch of sequences, as
                 RandomWindows.batch
    batch_size   rows of a whole batch, over all workers
    learning_rate  step -> learning rate; a number for a constant one
    clip         largest gradient norm; 0: any
    micro_batch  rows a worker differentiates at a time; 0: all of its own
    seed         of the objective's random choices, such as masks
    comm         communicator; None for one process. Every worker makes the same trainer and calls
                 the same methods

    step         updates done so far
    arithmetic   a line for the user about the numbers it computes with, where they are not all
                 those of the model
    stopped_by   the signal that ended the last run() early: SIGINT (Ctrl-C), SIGTERM, SIGHUP; None
    """

    arithmetic = ""

    def __init__(
        self,
        model,
        objective,
        optimizer,
        batches,
        batch_size,
        learning_rate,
        clip=0.0,
        micro_batch=0,
        seed=0,
        comm=None,
    ):
        keep_freed_memory()
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.batches = batches
        self.batch_size = batch_size
        self.clip = clip
        self.micro_batch = micro_batch
        self.seed = seed
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            self.learning_rate = lambda step: learning_rate
        self.comm = comm or ALONE
        self.step = 0
        self.stopped_by = None
        self._pending = None  # a signal that came too late for the last step of a run()
        self.device = device_of(optimizer.flat.data)
        self.streams = random_streams(model)
        rank, size = self.comm.rank, self.comm.size
        if size > batch_size:
            raise ConfigError(
                f"Trainer: {size} workers cannot share a batch of {batch_size}: at most one per row"
            )
        # This worker's rows; sizes differ by one row at most.
        self.first = rank * batch_size // size
        self.last = (rank + 1) * batch_size // size

    def run(self, steps, after_step=None, say=lambda: None):
        """Train until `steps` updates are done, or until Ctrl-C, SIGTERM or SIGHUP, which let the
        current step finish.

        after_step  called as after_step(Step, seconds it took) when an update is done; a true
                    result ends training, and must be the same on every worker
        say         called once when Ctrl-C is pressed or another of the signals comes
        returns     True if all steps are done or after_step ended training, False if stopped before

        Of several workers all stop after the same step. They agree in the reduction at a step's
        end, so a signal that comes after it lets one more step be done.
        """
        self.stopped_by = None
        with finish_first(say) as received:
            while self.step < steps:
                started = time.perf_counter()
                step = self.advance(lambda: received.signal or self._pending)
                if after_step is not None and after_step(step, time.perf_counter() - started):
                    return True
                stop = step.stop  # perhaps another worker's
                if self.comm.size == 1:  # there are no others to agree with
                    stop = stop or received.signal
                if stop:
                    self.stopped_by = stop
                    self._pending = None
                    return self.step >= steps
            # The next run() passes on what came too late for the last step.
            self._pending = received.signal or self._pending
        return self.step >= steps

    def advance(self, stop=None):
        """Do one step: read its batch and update the parameters.

        stop     function: the signal that this worker has received by now, or None; asked at the
                 end of the step
        returns  Step, its .stop the signal that any worker received
        raises   TrainingError if the loss or the gradient is not finite, or the batch does not fit
                 in memory; the parameters are then as before the step
        """
        if not self.model.training:
            self.model.train()
        batch = self.batch(self.step)
        counters = [rng.counter for rng in self.streams]  # of dropout, to rewind a failed step
        try:
            with np.errstate(all="ignore"):  # what is not finite is found and explained below
                step = train_step(
                    self.model,
                    self.objective,
                    self.optimizer,
                    batch,
                    self.first,
                    self.batch_size,
                    self.learning_rate(self.step),
                    self.clip,
                    self.micro_batch,
                    self.comm,
                    stop,
                    self.streams,
                    self.gradient,
                )
        except MemoryError as error:
            rows = self.micro_batch or len(batch)
            raise TrainingError(
                f"step {self.step + 1}: {rows} rows of {batch.inputs.shape[-1]} tokens at a time "
                f"do not fit in memory ({error}): use a micro_batch below {rows}, "
                "which changes only the loss `contrastive`, or a smaller model"
            ) from None
        if not step.updated and not self.may_skip(step):
            rewind(self.streams, counters)
            parts = passes(self.streams, batch, self.first, self.batch_size, self.micro_batch)
            # The search may end before the last of the parts.
            with contextlib.closing(parts), self.in_passes():
                cause = explain(self, step, parts)
            rewind(self.streams, counters)  # the search has drawn dropout again
            raise TrainingError(cause)
        self.step += 1
        return step

    # What a trainer with another arithmetic replaces (precision/mixed.py).

    def gradient(self, *arguments):
        """The gradient of a step: share_of_gradient."""
        return share_of_gradient(*arguments)

    def in_passes(self):
        """A context in which the model computes as it does in the passes of a step."""
        return contextlib.nullcontext()

    def may_skip(self, step):
        """Whether training goes on after a Step whose loss or gradient was not finite."""
        return False

    def figures(self):
        """What the log of a step holds besides its Step: {name: number}."""
        return {}

    def batch(self, step):
        """This worker's rows of the batch of a step, on the model's device: a pure function of the
        step.
        """
        # Rows first .. last of B draw as they would in one process: masks do not depend on the
        # number of workers.
        rng = Random(self.seed, "objective", step)
        with rng.rows(self.first, self.batch_size):
            batch = self.objective.make_batch(self.batches(step, self.first, self.last), rng)
        return batch.to(self.device)

    @property
    def parameters(self):
        """How many numbers are trained."""
        return len(self.optimizer.flat)

    @property
    def shared_by(self):
        """The workers in words: "2 workers"."""
        return "1 worker" if self.comm.size == 1 else f"{self.comm.size} workers"

    def evaluate(self, windows, batch_size, batches=0):
        """The score of the model on validation windows; see evaluation.py. Every worker must call
        it.

        returns  (mean nats per target, targets scored), the same on every worker
        """
        return evaluate(
            self.model, self.objective, windows, batch_size, batches, self.comm, self.device
        )

    def state(self):
        """All state, complete on every worker: ({"model": arrays, "optimizer": arrays}, JSON-able
        dict).

        Every worker must call it: each holds the moments of its own slice only, and they are
        gathered here. The arrays are no copies: they must be written before the next step.
        """
        moments, scalars = {}, {}
        for name, value in self.optimizer.state().items():
            if getattr(value, "ndim", 0):
                moments[name] = self._whole_moments(value)
            else:
                scalars[name] = value  # counters
        streams = [
            {"seed": rng.seed, "path": list(rng.path), "counter": rng.counter}
            for rng in self.streams
        ]
        return (
            {"model": self._whole_model(), "optimizer": moments},
            {"step": self.step, "optimizer": scalars, "random": streams},
        )

    def _whole_model(self):
        return self.model.named_arrays()

    def _whole_moments(self, value):
        return self.comm.all_gather_(value)  # (N,), of which a slice was current

    def expected(self):
        """The arrays of a state(): {"model", "optimizer": {name: (shape, dtype)}}."""
        moments = {
            name: (value.shape, np.dtype(value.dtype))
            for name, value in self.optimizer.state().items()
            if np.ndim(value)  # the others are counters, and stand in the dict
        }
        arrays = self.model.named_arrays().items()
        model = {name: (array.shape, np.dtype(array.dtype)) for name, array in arrays}
        return {"model": model, "optimizer": moments}

    def load_state(self, arrays, state, where="the checkpoint"):
        """Take over a state(), from any number of workers.

        where   the file of `state`, named in errors
        raises  CheckpointError if it is of another model or optimizer; then nothing has been
                changed
        """
        # All is compared before anything is changed.
        step, scalars, streams = read_state(state, where)
        moments = {**arrays["optimizer"], **scalars}
        mine = {name: shape for name, (shape, _) in self.expected()["optimizer"].items()}
        mine |= {n: () for n, value in self.optimizer.state().items() if not np.ndim(value)}
        differing = [
            name
            for name in {**mine, **moments}
            if (name in mine) != (name in moments) or mine[name] != np.shape(moments[name])
        ]
        if differing:
            raise CheckpointError(
                f"the optimizer's state does not fit: {', '.join(sorted(differing))} differ: "
                "was it saved by another optimizer or model?"
            )
        own = [(rng.seed, list(rng.path)) for rng in self.streams]
        if own != [stream[:2] for stream in streams]:
            raise CheckpointError(
                "the random streams are not those of this model: was it made with another seed?"
            )
        self._take(arrays["model"], moments)
        rewind(self.streams, [counter for _, _, counter in streams])
        self.step = step

    def _take(self, arrays, moments):
        """Take over the arrays of a model, and an optimizer's moments and counters."""
        self.model.load_state_dict(arrays)
        for name, value in moments.items():
            if np.ndim(value):
                moments[name] = to_device(value, self.device)
        self.optimizer.load_state(moments)


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
    gradient=None,
):
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
    start, end = comm.slice(len(flat))  # this worker's part of all N parameters
    comm.reduce_scatter_(flat.grad)  # (N,): the sum over workers stands in start .. end
    mine = flat.grad[start:end]
    signal = stop and stop()
    # One reduction for everything else: loss, |g|^2 of the slices, targets, signals.
    found = np.array([loss, sum_of_squares(mine), batch.tokens, *marks(signal)], np.float64)
    loss, square, tokens, *stops = comm.all_reduce(found).tolist()
    factor = total / max(tokens, 1)
    loss *= factor
    norm = math.nan  # also if the sum of squares is NaN
    if square >= 0:
        norm = math.sqrt(square) * factor
    updated = math.isfinite(loss) and math.isfinite(norm)  # of sums: the same on every worker
    if updated:
        clipped = clip_factor(norm, clip or math.inf)  # min(1, clip / norm)
        optimizer.step(lr, start, end, scale=factor * clipped)  # this worker's slice alone
        comm.all_gather_(flat.data)  # (N,): the slices of all workers
    return Step(loss, norm, int(tokens), marked(stops), updated)


def share_of_gradient(
    model,
    objective,
    flat,
    batch,
    first,
    total,
    micro_batch,
    comm,
    streams,
    tokens=None,
    scale=1.0,
):
    """Leave in `flat` this worker's share of the gradient of the loss over a whole batch.

    tokens   what the sum over targets is divided by; None: the number of rows, `total`
    scale    as of accumulate;  others as of train_step
    returns  its share of the loss
    """
    counters = [rng.counter for rng in streams]
    parts = passes(streams, batch, first, total, micro_batch)
    numbers = whole_batch(objective, model, parts, comm)  # {} for nearly all objectives
    rewind(streams, counters)  # both passes draw the same dropout
    batch = with_numbers(batch, numbers)
    parts = passes(streams, batch, first, total, micro_batch)
    loss = accumulate(model, objective, flat, parts, tokens or total, scale)
    flat.collect()
    return loss


def accumulate(model, objective, flat, micro_batches, tokens, scale=1.0):
    """Leave in `flat` this worker's share of the gradient of the mean loss over `tokens` targets.

    tokens   n above: targets of the whole batch, or what the caller corrects for afterwards
    scale    factor on the gradient, not on the loss that is returned
    returns  its share of the mean loss: the sum over micro-batches of (n_k / n) M_k
    """
    flat.zero_grad()
    loss_share = 0.0  # a float, not a Tensor: each micro-batch's graph is freed before the next
    for part in micro_batches:
        with first_order_only():
            loss, metrics = objective.loss(model, part)  # forward; the mean M_k of n_k targets
        weight = metrics["tokens"] / max(tokens, 1)
        loss.backward(scale * weight)  # adds (n_k / n) dM_k to the gradients
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
        part = batch if size >= len(batch) else batch.rows(start, start + size)
        rewind(streams, counters)
        with contextlib.ExitStack() as windows:
            # Dropout is drawn for rows first + start .. of the `total` rows.
            for rng in streams:
                windows.enter_context(rng.rows(first + start, total))
            yield part


def rewind(streams, counters):
    """Set random streams back to counters, so that they draw the same numbers again."""
    for rng, counter in zip(streams, counters):
        rng.counter = counter


def random_streams(model):
    """The random streams a model draws from while training (dropout), each once, in the order of
    its modules.
    """
    streams = [getattr(module, "rng", None) for module in model.modules()]
    # By identity: modules of a model may share one stream.
    found = {id(rng): rng for rng in streams if isinstance(rng, Random)}
    return list(found.values())


def read_state(state, where):
    """The dict of a Trainer's state(), out of a file, checked.

    returns  (step, {name: whole number} of the optimizer, [(seed, path, counter), ...] of streams)
    raises   CheckpointError naming the file and the field
    """
    fields = Fields(state, where, name="state.trainer")
    step, scalars = fields.integer("step", high=MOST_STEPS), fields.object("optimizer")
    for name in scalars.values:
        scalars.integer(name, high=MOST_STEPS)
    streams = [
        (one.integer("seed", -LARGEST), one.list("path"), one.integer("counter"))
        for one in fields.objects("random")
    ]
    return step, scalars.values, streams
