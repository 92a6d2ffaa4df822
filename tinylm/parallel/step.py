"""Training a decoder that many ranks hold together: the same steps as of one process   (book
section 2.2.3).

A step is that of train/trainer.py with more sums, each where the ranks of a group hold parts of the
same thing:

    micro-batches go through the pipeline, whose gradients add up            pipeline/run.py
    what every rank of a tensor group holds whole, but has differentiated
    for its own heads or tokens only, is summed over the group               Whole(summed=True)
    a tied table of tokens is summed over the first and the last stage, and what biases the scores
    of all layers over all stages
    gradients are summed over the ranks that have read different tokens,
    each of which updates a slice and hands it to the others                 as ZeRO 1

The norm of the gradient counts every number once: what a tensor group holds whole on its first rank
only, what several stages hold on the first stage only. Loss and norm are divided by the number of
targets of the whole batch, which is known last. Read first: together.py.
"""

import contextlib
import math

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, TrainingError
from tinylm.optim.flat import FlatParameters, clip_factor, sum_of_squares
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.tensor.cuts import Whole
from tinylm.parallel.tensor.losses import split_cross_entropy
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.language.causal import CausalLM
from tinylm.train.trainer import Step, rewind

BIASES = "position_bias."  # parameters that every stage holds


class ParallelTrainer:
    """The training of a decoder by all ranks of a mesh.

    together     Together
    objective    CausalLM
    make_optimizer  FlatParameters -> optimizer of optim/
    batches      (step, start, stop) -> rows of sequences, as of train/trainer.py
    batch_size   rows of a whole batch
    micros       micro-batches that a data rank cuts its rows into
    others       as of Trainer
    """

    def __init__(
        self,
        together,
        objective,
        make_optimizer,
        batches,
        batch_size,
        learning_rate,
        clip=0.0,
        micros=1,
        seed=0,
    ):
        if not isinstance(objective, CausalLM):
            raise ConfigError(
                f"ParallelTrainer: {type(objective).__name__} is not cut among ranks; CausalLM is, "
                "and workers that share the batch take every other objective"
            )
        self.together, self.mesh, self.objective = together, together.mesh, objective
        self.flat = FlatParameters(together.parameters)
        self.optimizer = make_optimizer(self.flat)
        self.batches, self.batch_size, self.seed = batches, batch_size, seed
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            self.learning_rate = lambda step: learning_rate
        self.clip, self.micros, self.step = clip, micros, 0
        self.pipeline = Pipeline(together.stages, self.mesh.pp, self.mesh.layout.schedule)
        self.first, self.last = share_rows(batch_size, self.mesh.dp.rank, self.mesh.dp.size)
        rows = batch_size // self.mesh.dp.size
        if rows < micros:
            most = f"{rows} micro-batches" if rows else f"dp={batch_size}"
            raise ConfigError(
                f"layout: {batch_size} rows for {self.mesh.dp.size} data ranks are too few for "
                f"{micros} micro-batches each; {most} can"
            )

    def advance(self):
        """Do one step; returns Step, the same on every rank.

        raises  TrainingError if loss or gradient is not finite; then no parameter has changed
        """
        self.together.train()
        parts, bounds = self._micro_batches()
        rng = self.pipeline.rng
        start = rng.counter
        self.flat.zero_grad()

        def windows(k):
            stack = contextlib.ExitStack()
            stack.enter_context(rng.rows(self.first + bounds[k][0], self.batch_size))
            return stack

        loss = self.pipeline.run(parts, self._loss, windows)
        self.flat.collect()
        self._complete_gradients()
        tokens = sum(self._targets(part)[1] for part in parts)
        step = self._update(loss, tokens)
        if not step.updated:
            rewind([rng], [start])
            raise TrainingError(
                f"step {self.step + 1}: loss {step.loss}, gradient norm {step.grad_norm}: not "
                "finite; a lower learning rate may help"
            )
        self.step += 1
        return step

    def _micro_batches(self):
        """This data rank's rows of the batch in micro-batches, and the bounds of each."""
        rng = Random(self.seed, "objective", self.step)
        with rng.rows(self.first, self.batch_size):
            rows = self.batches(self.step, self.first, self.last)
            batch = self.objective.make_batch(rows, rng)
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

    def _complete_gradients(self):
        """Sum what ranks of one model have computed parts of."""
        flat, cuts, mesh = self.flat, self.together.cuts, self.mesh
        slots = dict(zip(flat.names, flat.slots))
        _sum_in_one(mesh.tp, [slots[n] for n in flat.names if cuts[n].summed])
        biases = [slots[n] for n in flat.names if n.startswith(BIASES)]
        _sum_in_one(mesh.pp, biases)
        if mesh.ends is not None and self.together.config.tied:
            _sum_in_one(mesh.ends, [slots["tokens.weight"]])

    def _counted(self):
        """(start, stop) pairs: the parts of the flat buffer that this rank counts in the norm."""
        mesh, cuts = self.mesh, self.together.cuts
        found = []
        bounds = zip(self.flat.names, self.flat.offsets, self.flat.offsets[1:])
        for name, start, stop in bounds:
            if isinstance(cuts[name], Whole) and mesh.tp.rank:
                continue
            tied = name == "tokens.weight" and self.together.config.tied
            if (tied or name.startswith(BIASES)) and not mesh.first:
                continue
            found.append((start, stop))
        return found

    def _update(self, loss, tokens):
        """Sum over data ranks, clip, and update this rank's slice; returns Step."""
        flat, data = self.flat, self.mesh.data
        start, end = data.slice(len(flat))
        data.reduce_scatter_(flat.grad)
        square = 0.0
        for low, high in self._counted():
            low, high = max(low, start), min(high, end)
            if low < high:
                square += sum_of_squares(flat.grad[low:high])
        once = self.mesh.last and self.mesh.tp.rank == 0  # of each data rank's copies of the loss
        found = np.array([loss * once, square, tokens * once], np.float64)
        loss, square, tokens = self.mesh.comm.all_reduce(found).tolist()
        factor = self.batch_size / max(tokens, 1)
        loss *= factor
        norm = math.sqrt(square) * factor if square >= 0 else math.nan
        updated = math.isfinite(loss) and math.isfinite(norm)
        if updated:
            clipped = clip_factor(norm, self.clip or math.inf)
            self.optimizer.step(self.learning_rate(self.step), start, end, scale=factor * clipped)
            data.all_gather_(flat.data)
        return Step(loss, norm, int(tokens), None, updated)


def _sum_in_one(comm, arrays):
    """Sum arrays over ranks in place, by one all-reduce."""
    if comm.size == 1 or not arrays:
        return
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    comm.all_reduce(flat)
    start = 0
    for array in arrays:
        array[...] = flat[start : start + array.size].reshape(array.shape)
        start += array.size
