"""Fine-tuning: go on training from where pre-training ended, on the examples of a task   (book eqs.
1.21, 1.22, 2.15).

The trainer is the one of pre-training. What differs: examples are a list that is read in a new
order every epoch, only parameters that are not frozen are updated, and the learning rate warms up
and falls to zero in a straight line, as BERT's fine-tuning does (Devlin et al. 2019, appendix A.3).
Read next: tasks/heads.py for tasks on an encoder, instruct/instructions.py for tasks said in words.
"""

import math
import signal

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import trainable
from tinylm.machine import Terminated
from tinylm.nn import evaluating
from tinylm.optim import AdamW, FlatParameters
from tinylm.optim.schedule import linear, warm_up_steps
from tinylm.train.trainer import Trainer


class Shuffled:
    """Batches of a list of examples; every epoch reads each example once, in an order of its own.

    A pure function of the step, as the trainer wants it: batch(step, start, stop) are examples
    start .. stop-1 of its batch. The last batch of an epoch is filled up from the epoch's
    beginning.
    """

    def __init__(self, examples, batch_size, seed=0):
        if not len(examples):
            raise ConfigError("fit: there are no examples to learn from")
        self.examples, self.batch_size, self.seed = examples, min(batch_size, len(examples)), seed
        self.per_epoch = math.ceil(len(examples) / self.batch_size)
        self._order = None, None  # (epoch, its permutation): made once an epoch

    def order(self, epoch):
        """The order in which an epoch reads the examples, (n,) integers."""
        if self._order[0] != epoch:
            self._order = (
                epoch,
                Random(self.seed, "examples", epoch).permutation(len(self.examples)),
            )
        return self._order[1]

    def batch(self, step, start, stop):
        """Examples start .. stop-1 of the batch of a step: a list."""
        epoch, place = divmod(step, self.per_epoch)
        order = self.order(epoch)
        return [
            self.examples[order[(place * self.batch_size + i) % len(order)]]
            for i in range(start, stop)
        ]


def fit(
    model,
    task,
    examples,
    epochs=3,
    batch_size=16,
    learning_rate=1e-3,
    steps=None,
    warmup=0.1,
    weight_decay=0.01,
    clip=1.0,
    seed=0,
    micro_batch=0,
    after_epoch=None,
    after_step=None,
    comm=None,
):
    """Train the parameters of a model that are not frozen, in place.

    task           make_batch(examples, rng) -> Batch, loss(model, batch) -> (Tensor, {"tokens",
                   "loss"})
    examples       list of what the task takes
    steps          updates; epochs * batches per epoch if None
    learning_rate  the highest: reached after the share `warmup` of the steps (a tenth, where that
                   would be all of them), then falling to 0 in a straight line
    weight_decay   AdamW's, on matrices
    seed           of the order of examples, and of what the task draws
    micro_batch    examples differentiated at a time; 0: all
    after_epoch    called as after_epoch(epochs done, step losses so far), model in evaluation mode;
                   True ends the training
    after_step     called as after_step(Step, seconds it took), to show how far it is
    comm           communicator, for workers that train together
    returns        (steps,) array: the mean loss of every step, before its update; the model is then
                   in evaluation mode
    raises         ConfigError if there are no examples or everything is frozen; KeyboardInterrupt
                   on Ctrl-C, Terminated on SIGTERM or SIGHUP, when the step in work is done
    """
    parameters = trainable(model)
    if not parameters:
        raise ConfigError(
            "fit: every parameter of the model is frozen: unfreeze some, see freezing.only()"
        )
    batches = Shuffled(examples, batch_size, seed)
    if steps is None:
        steps = round(epochs * batches.per_epoch)
    rising = warm_up_steps(round(warmup * steps), steps)
    optimizer = AdamW(FlatParameters(parameters), weight_decay=weight_decay)
    trainer = Trainer(
        model,
        task,
        optimizer,
        batches.batch,
        batches.batch_size,
        lambda step: learning_rate * linear(step, steps, rising),
        clip,
        micro_batch,
        seed,
        comm,
    )
    losses = []
    model.eval()  # also when there are no steps; the trainer switches it as it needs

    def keep(step, seconds):
        losses.append(step.loss)
        if after_step is not None:
            after_step(step, seconds)

    while trainer.step < steps:
        trainer.run(min(steps, trainer.step + batches.per_epoch), keep)
        # asked in the last step of an epoch, run() did all its steps, but there are more
        if trainer.stopped_by and trainer.step < steps:
            if trainer.stopped_by == signal.SIGINT:
                raise KeyboardInterrupt
            raise Terminated(trainer.stopped_by)
        model.eval()
        if after_epoch is not None and after_epoch(
            math.ceil(trainer.step / batches.per_epoch), np.array(losses)
        ):
            break
    return np.array(losses)


def answers(model, task, examples, batch_size=64):
    """What the model says to every example, dropout off: a list, in their order."""
    said, device = [], model.parameters()[0].device
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            batch = task.make_batch(
                examples[start : start + batch_size], Random(0, "answers", start)
            )
            said.extend(task.predict(model, batch.to(device)))
    return said


def evaluate(model, task, examples, batch_size=64):
    """How good its answers are: what task.measure makes of them, such as {"accuracy": 0.9}."""
    return task.measure(answers(model, task, examples, batch_size), examples)
