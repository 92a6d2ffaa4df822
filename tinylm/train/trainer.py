"""The trainer: steps, validations, checkpoints, and an end that can be gone on from   (book section
2.2.2).

All state is explicit: parameters, the optimizer's moments, the counters of the random streams, and
the number of steps, which is also the position in the data because batches are pure functions of
the step. So a run that stopped and goes on computes the same bits as one that never did. The
mathematics of a step is in step.py; from a configuration to a trainer: run/run.py.
"""

import math
import time

import numpy as np

from tinylm.autograd.engine.profile import find_nonfinite
from tinylm.backend import Random, device_of, to_device
from tinylm.errors import CheckpointError, ConfigError, TrainingError
from tinylm.fields import LARGEST, Fields
from tinylm.train.alone import ALONE, broadcast_text
from tinylm.train.interrupt import finish_first
from tinylm.train.step import passes, random_streams, train_step

MOST_STEPS = 2**53  # a float counts no further


class Trainer:
    """Train a model.

    model        Module
    objective    make_batch(sequences, rng) -> Batch; loss(model, batch) -> (Tensor, {"tokens",
                 "loss"})
    optimizer    of optim/, made on the model's FlatParameters
    batches      (step, start, stop) -> rows start .. stop-1 of that step's batch of sequences, as
                 RandomWindows.batch
    batch_size   rows of a whole batch, over all workers
    learning_rate  step -> learning rate; a number for a constant one
    clip         largest gradient norm; 0: any
    micro_batch  rows a worker differentiates at a time; 0: all of its own
    seed         of what the objective draws
    comm         communicator; None for one process. Every worker makes the same trainer and calls
                 the same methods

    step         updates done so far
    stopped_by   the signal that ended the last run() early: SIGINT (Ctrl-C), SIGTERM, SIGHUP; None
    """

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
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.batches = batches
        self.batch_size = batch_size
        self.clip = clip
        self.micro_batch = micro_batch
        self.seed = seed
        self.learning_rate = (
            learning_rate if callable(learning_rate) else lambda step: learning_rate
        )
        self.comm, self.step, self.stopped_by = comm or ALONE, 0, None
        self._pending = None  # a signal that came in the last step of a run()
        self.device, self.streams = device_of(optimizer.flat.data), random_streams(model)
        rank, size = self.comm.rank, self.comm.size
        if size > batch_size:
            raise ConfigError(
                f"Trainer: {size} workers cannot share a batch of {batch_size}: at most one per row"
            )
        self.first = rank * batch_size // size
        self.last = (rank + 1) * batch_size // size  # this worker's rows

    def batch(self, step):
        """This worker's rows of the batch of a step, on the model's device: a pure function of the
        step.
        """
        rng = Random(self.seed, "objective", step)
        with rng.rows(self.first, self.batch_size):
            batch = self.objective.make_batch(self.batches(step, self.first, self.last), rng)
        return batch.to(self.device)

    def advance(self, stop=None):
        """Do one step.

        stop     the signal by which this worker has been asked to stop, or None
        returns  Step, its .stop the signal by which any worker was
        raises   TrainingError if the loss or the gradient is not finite, or the batch does not fit
                 in memory; the parameters are then as before the step
        """
        if not self.model.training:
            self.model.train()
        batch, counters = self.batch(self.step), [rng.counter for rng in self.streams]
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
                )
        except MemoryError as error:
            rows = self.micro_batch or len(batch)
            raise TrainingError(
                f"step {self.step + 1}: {rows} rows of {batch.inputs.shape[1]} tokens at a time do not "
                f"fit in memory ({error}): use a micro_batch below {rows}, which changes no result, "
                "or a smaller model"
            ) from None
        if not step.updated:
            self._rewind(counters)
            raise TrainingError(self._explain(step, batch))
        self.step += 1
        return step

    def run(self, steps, after_step=None, say=lambda: None):
        """Go on until `steps` updates are done, or until Ctrl-C, SIGTERM or SIGHUP, which let the
        step in work finish.

        after_step  called as after_step(Step, seconds it took) when an update is done; what is true
                    ends training, and must be so on every worker
        say         called once when Ctrl-C is pressed or another of the signals comes
        returns     True if all steps are done or after_step found an end, False if stopped before
        """
        self.stopped_by = None
        with finish_first(say) as asked:
            while self.step < steps:
                started = time.perf_counter()
                step = self.advance(asked.signal or self._pending)
                if after_step is not None and after_step(step, time.perf_counter() - started):
                    return True
                if step.stop:
                    self.stopped_by, self._pending = step.stop, None  # perhaps another worker's
                    return self.step >= steps
            # nobody else knows of a signal that came in the last step: the next run() tells all
            # workers
            self._pending = asked.signal or self._pending
        return self.step >= steps

    def state(self):
        """All state, complete on every worker: ({"model": arrays, "optimizer": arrays}, JSON-able
        dict).

        Every worker must call it: each holds the moments of its own slice only, and they are
        gathered here. The arrays are the live ones, to be written before the next step.
        """
        moments, scalars = {}, {}
        for name, value in self.optimizer.state().items():
            if getattr(value, "ndim", 0):
                moments[name] = self.comm.all_gather_(value)
            else:
                scalars[name] = value
        parameters = self.model.named_arrays()
        streams = [
            {"seed": rng.seed, "path": list(rng.path), "counter": rng.counter}
            for rng in self.streams
        ]
        return (
            {"model": parameters, "optimizer": moments},
            {"step": self.step, "optimizer": scalars, "random": streams},
        )

    def load_state(self, arrays, state, where="the checkpoint"):
        """Take over a state(), from any number of workers.

        where   the file of `state`, named in errors
        raises  CheckpointError if it is of another model or optimizer; then nothing has been
                changed
        """
        step, scalars, streams = read_state(state, where)
        mine, moments = self.optimizer.state(), {**arrays["optimizer"], **scalars}
        differing = [
            name
            for name in {**mine, **moments}
            if np.shape(mine.get(name)) != np.shape(moments.get(name))
            or (name in mine) != (name in moments)
        ]
        if differing:
            raise CheckpointError(
                f"the optimizer's state does not fit: {', '.join(sorted(differing))} differ: "
                "was it saved by another optimizer or model?"
            )
        if [(rng.seed, list(rng.path)) for rng in self.streams] != [
            stream[:2] for stream in streams
        ]:
            raise CheckpointError(
                "the random streams are not those of this model: was the seed another?"
            )
        self.model.load_state_dict(arrays["model"])
        self.optimizer.load_state(
            {
                name: to_device(value, self.device) if np.ndim(value) else value
                for name, value in moments.items()
            }
        )
        self._rewind([counter for _, _, counter in streams])
        self.step = step

    def _rewind(self, counters):
        for rng, counter in zip(self.streams, counters):
            rng.counter = counter

    def _explain(self, step, batch):
        """Why a step is not finite: the same text on every worker, from the first that sees a cause
        in its rows.
        """
        what = "loss" if not math.isfinite(step.loss) else "gradient norm"
        value = step.loss if what == "loss" else step.grad_norm
        size, rank = self.comm.size, self.comm.rank
        cause = self._sick_operation(batch)
        order = rank  # an operation says more than a gradient; low ranks go first
        if not cause:
            cause, order = self._sick_gradient(), size + rank
        order = int(self.comm.all_reduce(np.array([order if cause else 2 * size]), "min")[0])
        cause = (
            broadcast_text(self.comm, cause, order % size) or "all was finite when it was repeated"
        )
        return (
            f"step {self.step + 1}: the {what} is {value}; {cause}; the parameters are as after step {self.step}. "
            "Try a smaller lr, a longer warmup, or clipping"
        )

    def _sick_operation(self, batch):
        """The first operation of this worker's forward pass whose result is not finite, and for
        which rows; or "".
        """
        counters, row = [rng.counter for rng in self.streams], self.first
        try:
            for part in passes(self.streams, batch, self.first, self.batch_size, self.micro_batch):
                found = find_nonfinite(lambda part=part: self.objective.loss(self.model, part))
                if found:
                    return f"in rows {row} to {row + len(part) - 1} of batch {self.step}, first {found}"
                row += len(part)
        finally:
            self._rewind(counters)
        return ""

    def _sick_gradient(self):
        """The first parameter whose gradient, as far as this worker holds it, is not finite; or ""."""
        for name, g in self.optimizer.flat.named(self.optimizer.flat.grad).items():
            if not np.isfinite(g).all():
                return f"on batch {self.step} the forward pass is finite, but the gradient of {name} is not"
        return ""


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
