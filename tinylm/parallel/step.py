"""Training a decoder that many ranks hold together: the same steps as of one process   (book
section 2.2.3).

A step is that of train/step.py with more sums, each where the ranks of a group hold parts of the
same thing:

    micro-batches go through the pipeline, whose gradients add up            pipeline/run.py
    what every rank of a tensor group holds whole, but has differentiated
    for its own heads or tokens only, is summed over the group               Whole(summed=True)
    a tied table of tokens is summed over the first and the last stage, and what biases the scores
    of all layers over all stages
    gradients are summed over the ranks that have read different tokens,
    each of which updates a slice and hands it to the others                 zero/shards.py

The norm of the gradient counts every number once: what a tensor group holds whole on its first rank
only, what several stages hold on the first stage only. Loss and norm are divided by the number of
targets of the whole batch, which is known last. Read first: together.py.
"""

import contextlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError, TrainingError
from tinylm.optim.flat import clip_factor
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.pipeline.schedules import schedule
from tinylm.parallel.tensor.losses import split_cross_entropy
from tinylm.parallel.together import Together
from tinylm.parallel.zero.shards import Shards
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.language.causal import CausalLM
from tinylm.train.interrupt import marked, marks
from tinylm.train.step import Step, rewind
from tinylm.train.trainer import Trainer


class ParallelTrainer(Trainer):
    """The training of a decoder by all ranks of a mesh.

    together     Together
    objective    CausalLM
    make_optimizer  FlatParameters -> optimizer of optim/
    batch_size   rows of a whole batch
    micros       micro-batches that a data rank cuts its rows into
    others       as of Trainer, whose run(), state() and load_state() it has: the arrays of a
                 state are whole on rank 0, and missing on others; that of a single process or of
                 any layout can be loaded
    raises       ConfigError for another objective, or batches too small for the layout
    """

    def __init__(
        self,
        together: Together,
        objective: CausalLM,
        make_optimizer: Callable,
        batches: Callable,
        batch_size: int,
        learning_rate: float | Callable,
        clip: float = 0.0,
        micros: int = 1,
        seed: int = 0,
    ) -> None:
        if not isinstance(objective, CausalLM):
            raise ConfigError(
                f"ParallelTrainer: {type(objective).__name__} is not cut among ranks; CausalLM is, "
                "and workers that share the batch take every other objective"
            )
        self.together, self.mesh = together, together.mesh
        data, layout = self.mesh.rows.size, self.mesh.layout
        if batch_size < data * micros:
            raise ConfigError(
                f"layout: a batch of {batch_size} is too small for {data} data ranks with {micros} "
                f"micro-batches each: {data * micros} rows can"
            )
        schedule(layout.schedule, layout.pp, micros, layout.chunks)  # raises if they do not fit
        shards = Shards(together, make_optimizer, self.mesh.layout.zero)
        rest = batches, batch_size, learning_rate, clip
        # A data group shares the rows, so it is the communicator that cuts them ...
        super().__init__(together, objective, shards, *rest, seed=seed, comm=self.mesh.rows)
        self.comm = self.mesh.comm  # ... and all ranks have a signal, a log and a state in common
        self.micros = micros
        self.pipeline = Pipeline(together.stages, self.mesh.pp, layout.schedule)
        self.streams = [self.pipeline.rng]
        self.routers = together.routers
        self.routers.penalize(objective.balance, objective.router_z, batch_size)

    @property
    def parameters(self) -> int:
        """How many numbers are trained, each counted once."""
        return sum(math.prod(shape) for shape, _ in self.together.shapes.values())

    @property
    def shared_by(self) -> str:
        """The workers in words: "4 workers as dp=2,tp=2"."""
        return f"{super().shared_by} as {self.mesh.layout}"

    def advance(self, stop: Callable | None = None) -> Step:
        """Do one step; returns Step, the same on every rank. `stop` is that of Trainer.

        raises  TrainingError if loss or gradient is not finite; then no parameter has changed
        """
        self.together.train()
        parts, bounds = self._micro_batches()
        rng = self.pipeline.rng
        start = rng.counter
        self.optimizer.begin()

        def windows(k):
            stack = contextlib.ExitStack()
            stack.enter_context(rng.rows(self.first + bounds[k][0], self.batch_size))
            self.routers.begin(parts[k], self.objective.held(parts[k]))
            return stack

        with np.errstate(all="ignore"):  # what is not finite is found below
            self.routers.count_first(self.pipeline, parts, windows)
            loss = self.pipeline.run(parts, self._loss, windows)
            self.optimizer.complete()
            tokens = sum(self._targets(part)[1] for part in parts)
            step = self._update(loss, tokens, stop and stop())
        if not step.updated:
            rewind([rng], [start])
            raise TrainingError(
                f"step {self.step + 1}: loss {step.loss}, gradient norm {step.grad_norm}: not "
                "finite; a lower learning rate may help, and one process (leave out the layout) "
                "says in which layer it begins"
            )
        self.step += 1
        return step

    def evaluate(self, windows: Any, batch_size: int, batches: int = 0) -> tuple[float, int]:
        """The score on validation windows: data ranks share the batches, and each model group
        computes one together.
        """
        dp, found = self.mesh.dp, np.zeros(2)
        chosen = enumerate(itertools.islice(windows.batches(batch_size), batches or None))
        self.together.train(False)
        with no_grad():
            while group := list(itertools.islice(chosen, dp.size)):
                # A rank without a batch at the end scores another's, which does not count:
                # parameters may have to be gathered from it (zero/units.py).
                i, sequences = group[min(dp.rank, len(group) - 1)]
                batch = self.objective.make_batch(sequences, Random(0, "evaluate", i))
                self.routers.begin(batch, self.objective.held(batch))
                share = self.pipeline.score(batch, self._loss) * self.batch_size
                if dp.rank < len(group):
                    found += share, self._targets(batch)[1]
        once = self._counts_loss and self.mesh.ep.rank == 0  # whose ranks read the same batches
        total, count = self.comm.all_reduce(found * once).tolist()
        return total / max(count, 1.0), int(count)

    def _whole_model(self):
        found = self.together.gathered(self.optimizer.parameters())
        return found and found | self.together.settings

    def _whole_moments(self, value):
        return self.together.gathered_buffer(self.optimizer.pieces(value))

    def expected(self) -> dict[str, Any]:
        """The arrays of a state(): {"model", "optimizer": {name: (shape, dtype)}}."""
        together, moments = self.together, self.optimizer.state().items()
        settings = {n: (a.shape, np.dtype(a.dtype)) for n, a in together.settings.items()}
        whole = {n: ((self.parameters,), np.dtype(v.dtype)) for n, v in moments if np.ndim(v)}
        return {"model": together.shapes | settings, "optimizer": whole}

    def _take(self, arrays, moments):
        self.optimizer.load_parameters(self._here(self.together.own(arrays)))
        for name, value in moments.items():
            if np.ndim(value):
                moments[name] = self.optimizer.own(self._here(self.together.own_buffer(value)))
        self.optimizer.load_state(moments)

    def _here(self, shares):
        return {name: to_device(share, self.device) for name, share in shares.items()}

    def _micro_batches(self):
        """This data rank's rows of the batch in micro-batches, and the bounds of each."""
        rng = Random(self.seed, "objective", self.step)
        with rng.rows(self.first, self.batch_size):
            rows = self.batches(self.step, self.first, self.last)
            batch = self.objective.make_batch(rows, rng).to(self.device)
        bounds = [share_rows(len(batch), k, self.micros) for k in range(self.micros)]
        return [batch.rows(a, b) for a, b in bounds], bounds

    def _targets(self, batch):
        """The targets at this rank's positions, and how many of them count."""
        positions = self.pipeline.stages[0].tokens.own(batch.inputs.shape[1])
        targets = batch.targets[:, positions]
        return targets, int((targets != IGNORE).sum())

    def _loss(self, logits, batch):
        o = self.objective
        targets, count = self._targets(batch)
        loss = split_cross_entropy(
            logits,
            targets,
            self.mesh.tp,
            self.together.config.vocab_size,
            ignore_index=IGNORE,
            label_smoothing=o.label_smoothing,
            z_loss=o.z_loss,
        )
        weight = count / self.batch_size  # corrected by rows / targets afterwards
        return loss, weight, weight * float(loss.item())

    @property
    def _counts_loss(self):
        """Whether this rank's loss is the one that counts, of those that its group has alike."""
        return self.mesh.last and self.mesh.tp.rank == 0

    def _update(self, loss, tokens, signal):
        """Clip by the norm of the whole gradient, and update; returns Step."""
        square = self.optimizer.sum_of_squares()
        once = self._counts_loss
        loss = loss * once + self.routers.penalty  # of this rank's layers of experts
        found = np.array([loss, square, tokens * once, *marks(signal)], np.float64)
        loss, square, tokens, *stops = self.comm.all_reduce(found).tolist()
        factor = self.batch_size / max(tokens, 1)
        loss *= factor
        norm = math.sqrt(square) * factor if square >= 0 else math.nan
        updated = math.isfinite(loss) and math.isfinite(norm)
        if updated:
            clipped = clip_factor(norm, self.clip or math.inf)
            self.optimizer.step(self.learning_rate(self.step), scale=factor * clipped)
        return Step(loss, norm, int(tokens), marked(stops), updated)
