"""Fine-tuning: training continues from pretrained weights, on the examples of a task   (book eqs.
1.21, 1.22, 2.15).

    theta* = argmin over theta of  sum over examples (x, y) of Loss(model_theta(x), y),
             started at the pretrained theta; frozen parameters stay there

The trainer is the one of pre-training. What differs: examples are a list that is read in a new
order every epoch, only parameters that are not frozen are updated, and the learning rate warms up
and falls to zero in a straight line, as BERT's fine-tuning does (Devlin et al. 2019, appendix A.3).
Read next: tasks/heads.py for tasks on an encoder, instruct/instructions.py for tasks given as
instructions.
"""

import math
import signal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import trainable
from tinylm.machine import Terminated
from tinylm.nn import evaluating
from tinylm.nn.module import Module
from tinylm.optim import AdamW, FlatParameters
from tinylm.optim.schedule import rise_and_fall
from tinylm.train.alone import Workers
from tinylm.train.trainer import Trainer


class Shuffled:
    """Batches of a list of examples; every epoch reads each example once, in an order of its own.

    A pure function of the step, as the trainer needs it: batch(step, start, stop) are examples
    start .. stop-1 of its batch. The last batch of an epoch is filled up from the epoch's
    beginning.

    examples    list, not empty
    batch_size  at most len(examples) of it are used
    seed        of the orders
    """

    def __init__(self, examples: Sequence, batch_size: int, seed: int = 0) -> None:
        if not len(examples):
            raise ConfigError("fit: there are no examples to learn from")
        self.examples = examples
        self.batch_size = min(batch_size, len(examples))
        self.seed = seed
        self.per_epoch = math.ceil(len(examples) / self.batch_size)
        self._order = (None, None)  # (epoch, its permutation): drawn once an epoch

    def order(self, epoch: int) -> np.ndarray:
        """The order in which an epoch reads the examples, (n,) integers."""
        if self._order[0] != epoch:
            rng = Random(self.seed, "examples", epoch)
            self._order = (epoch, rng.permutation(len(self.examples)))
        return self._order[1]

    def batch(self, step: int, start: int, stop: int) -> list:
        """Examples start .. stop-1 of the batch of a step: a list."""
        epoch, batch_of_epoch = divmod(step, self.per_epoch)
        order = self.order(epoch)
        first = batch_of_epoch * self.batch_size
        # modulo n: what the last batch lacks comes from the beginning of the same order
        return [self.examples[order[(first + i) % len(order)]] for i in range(start, stop)]


def fit(
    model: Module,
    task: Any,
    examples: Sequence,
    *,
    after_epoch: Callable | None = None,
    after_step: Callable | None = None,
    **options: Any,
) -> np.ndarray:
    """Train the parameters of a model that are not frozen, in place.

    task           make_batch(examples, rng) -> Batch, loss(model, batch) -> (Tensor, {"tokens",
                   "loss"})
    examples       list, of the form that task.make_batch takes
    after_epoch    called as after_epoch(epochs done, step losses so far), model in evaluation mode;
                   True ends the training
    after_step     called as after_step(Step, seconds it took), to show progress
    options        of new_trainer(): epochs or steps, batch_size, learning_rate, ...
    returns        (steps,) array: the mean loss of every step, before its update; the model is then
                   in evaluation mode
    raises         ConfigError if there are no examples or everything is frozen; KeyboardInterrupt
                   on Ctrl-C, Terminated on SIGTERM or SIGHUP, after the current step
    """
    trainer, steps, per_epoch = new_trainer(model, task, examples, **options)
    return run_epochs(trainer, steps, per_epoch, after_epoch, after_step)


def new_trainer(
    model: Module,
    task: Any,
    examples: Sequence,
    *,
    epochs: float = 3,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    steps: int | None = None,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    seed: int = 0,
    micro_batch: int = 0,
    comm: Workers | None = None,
) -> tuple[Trainer, int, int]:
    """The trainer of fit(), before its first step.

    model, task, examples  as there
    steps          updates; epochs * batches per epoch if None
    learning_rate  the highest: reached after the share `warmup` of the steps (a tenth, where that
                   would be all of them), then falling in a straight line that reaches 0 after the
                   last
    weight_decay   AdamW's, on matrices
    clip           largest norm of a gradient; 0: any
    seed           of the order of examples, and of what the task draws
    micro_batch    examples differentiated at a time; 0: all
    comm           communicator, for workers that train together
    returns        (Trainer, steps to train in all, steps of an epoch)
    raises         ConfigError if there are no examples or everything is frozen
    """
    parameters = trainable(model)
    if not parameters:
        raise ConfigError(
            "fit: every parameter of the model is frozen: unfreeze some, see freezing.only()"
        )
    batches = Shuffled(examples, batch_size, seed)
    if steps is None:
        steps = round(epochs * batches.per_epoch)
    rate = rise_and_fall(learning_rate, steps, warmup)
    # one flat buffer of the trained parameters alone: frozen ones have no moments and no decay
    optimizer = AdamW(FlatParameters(parameters), weight_decay=weight_decay)
    shape = (batches.batch, batches.batch_size)
    trainer = Trainer(model, task, optimizer, *shape, rate, clip, micro_batch, seed, comm)
    return trainer, steps, batches.per_epoch


def run_epochs(
    trainer: Trainer,
    steps: int,
    per_epoch: int,
    after_epoch: Callable | None = None,
    after_step: Callable | None = None,
) -> np.ndarray:
    """Advance a trainer to `steps`, with a pause after every epoch; arguments and results of fit().

    trainer    Trainer at step 0
    per_epoch  steps of an epoch; the last one may be shorter
    """
    model, losses = trainer.model, []
    model.eval()  # also when there are no steps; the trainer switches the mode as it needs

    def keep(step, seconds):
        losses.append(step.loss)
        if after_step is not None:
            after_step(step, seconds)

    while trainer.step < steps:
        trainer.run(min(steps, trainer.step + per_epoch), keep)
        raise_if_interrupted(trainer, steps)
        model.eval()  # after_epoch measures, so without dropout
        if after_epoch is not None:
            epochs_done = math.ceil(trainer.step / per_epoch)
            if after_epoch(epochs_done, np.array(losses)):
                break
    return np.array(losses)


def raise_if_interrupted(trainer: Trainer, steps: int) -> None:
    """Raise what a signal stands for, if one came and steps are left.

    A signal in the last step of an epoch does not shorten run(), so stopped_by is what counts; in
    the very last step it has nothing left to interrupt.
    """
    if not trainer.stopped_by or trainer.step >= steps:
        return
    if trainer.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(trainer.stopped_by)


def answers(model: Module, task: Any, examples: Sequence, batch_size: int = 64) -> list:
    """The model's answer to every example, dropout off: a list, in the order of examples."""
    found = []
    device = model.parameters()[0].device
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            rng = Random(0, "answers", start)  # the same draws at every evaluation
            batch = task.make_batch(examples[start : start + batch_size], rng)
            found.extend(task.predict(model, batch.to(device)))
    return found


def evaluate(
    model: Module, task: Any, examples: Sequence, batch_size: int = 64
) -> dict[str, float]:
    """Scores of the model's answers by task.measure, such as {"accuracy": 0.9}."""
    return task.measure(answers(model, task, examples, batch_size), examples)
