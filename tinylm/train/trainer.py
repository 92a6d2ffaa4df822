"""The training loop: steps on batches, by one process or several, and a state to save   (book
section 2.2.2, 2.2.3).

All state of a Trainer is explicit: parameters, the optimizer's moments, the counters of the random
streams, and the number of steps, which is also the position in the data because batches are pure
functions of the step. So a resumed run computes the same bits as one that never stopped. Read
first: step.py, the mathematics of one update. Read next: pretrain/objectives.py, where the loss
comes from.
"""

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.backend import Random, device_of, to_device
from tinylm.data.batches.windows import EvenWindows
from tinylm.errors import CheckpointError, ConfigError, TrainingError
from tinylm.fields import LARGEST, Fields
from tinylm.machine import keep_freed_memory
from tinylm.pretrain.batch import Batch, Objective
from tinylm.train.alone import ALONE, Workers
from tinylm.train.evaluation import evaluate
from tinylm.train.interrupt import finish_first
from tinylm.train.nonfinite import explain
from tinylm.train.step import (
    Step,
    gather_parts,
    moved,
    passes,
    random_streams,
    rewind,
    share_of_gradient,
    train_step,
)

MOST_STEPS = 2**53  # a float counts no further


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
        model: Any,
        objective: Objective,
        optimizer: Any,
        batches: Callable,
        batch_size: int,
        learning_rate: float | Callable,
        clip: float = 0.0,
        micro_batch: int = 0,
        seed: int = 0,
        comm: Workers | None = None,
    ) -> None:
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

    def run(
        self, steps: int, after_step: Callable | None = None, say: Callable = lambda: None
    ) -> bool:
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

    def advance(self, stop: Callable | None = None) -> Step:
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
                    self.add_up,
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

    # What a trainer with another arithmetic (precision/mixed.py), or one that sends gradients in
    # another way (parallel/data/trainers.py), replaces.

    add_up = None  # as of train_step

    def gradient(self, *arguments: Any) -> float:
        """The gradient of a step: share_of_gradient."""
        return share_of_gradient(*arguments)

    def in_passes(self) -> AbstractContextManager:
        """A context in which the model computes as it does in the passes of a step."""
        return contextlib.nullcontext()

    def may_skip(self, step: int) -> bool:
        """Whether training goes on after a Step whose loss or gradient was not finite."""
        return False

    def figures(self) -> dict[str, Any]:
        """What the log of a step holds besides its Step: {name: number}."""
        return {}

    def batch(self, step: int) -> Batch:
        """This worker's rows of the batch of a step, on the model's device: a pure function of the
        step.
        """
        # Rows first .. last of B draw as they would in one process: masks do not depend on the
        # number of workers.
        rng = Random(self.seed, "objective", step)
        with rng.rows(self.first, self.batch_size):
            batch = self.objective.make_batch(self.batches(step, self.first, self.last), rng)
        return moved(batch, self.device, self.model, self.objective)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return len(self.optimizer.flat)

    @property
    def shared_by(self) -> str:
        """The workers in words: "2 workers"."""
        return "1 worker" if self.comm.size == 1 else f"{self.comm.size} workers"

    def evaluate(
        self, windows: EvenWindows, batch_size: int, batches: int = 0
    ) -> tuple[float, int]:
        """The score of the model on validation windows; see evaluation.py. Every worker must call
        it.

        returns  (mean nats per target, targets scored), the same on every worker
        """
        with self.averaged():
            return evaluate(
                self.model, self.objective, windows, batch_size, batches, self.comm, self.device
            )

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
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

    def averaged(self) -> AbstractContextManager:
        """A context in which the weights are those that are validated and saved: their running
        mean, where the optimizer keeps one (optim/average.py). Every worker must enter it.
        """
        if hasattr(self.optimizer, "in_place"):
            return self.optimizer.in_place(self._whole_moments)
        return contextlib.nullcontext()

    def _whole_model(self):
        with self.averaged():
            arrays = self.model.named_arrays()
            if hasattr(self.optimizer, "in_place"):
                arrays = {name: array.copy() for name, array in arrays.items()}
        return arrays

    def _whole_moments(self, value):
        # (N,), of which this worker's part was current
        return gather_parts(self.comm, value, self.optimizer.bounds(self.comm.size))

    def expected(self) -> dict[str, dict[str, tuple]]:
        """The arrays of a state(): {"model", "optimizer": {name: (shape, dtype)}}."""
        moments = {
            name: (value.shape, np.dtype(value.dtype))
            for name, value in self.optimizer.state().items()
            if np.ndim(value)  # the others are counters, and stand in the dict
        }
        arrays = self.model.named_arrays().items()
        model = {name: (array.shape, np.dtype(array.dtype)) for name, array in arrays}
        return {"model": model, "optimizer": moments}

    def load_state(
        self,
        arrays: dict[str, dict[str, np.ndarray]],
        state: dict[str, Any],
        where: str | Path = "the checkpoint",
    ) -> None:
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


def read_state(state: dict[str, Any], where: str | Path) -> tuple[int, dict[str, int], list[tuple]]:
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
