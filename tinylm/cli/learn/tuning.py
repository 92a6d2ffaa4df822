"""A training of `tinylm finetune` and `tinylm classify`: fit() with progress, stopped by signals.

Read first: finetune/fitting.py.
"""

import signal
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.cli.options import report
from tinylm.machine import Terminated
from tinylm.nn.module import Module


def tune(
    config: Any, model: Module, task: Any, examples: Sequence, unit: str = "tokens"
) -> tuple[int, int | None]:
    """Train a model in place by fit(), and show the progress.

    config    has epochs, lr and warmup, and the fields of UpdateSettings
    task, examples  as of fit()
    unit      what the loss is a mean of, for the speed
    returns   (updates done, the signal that stopped them or None)
    """
    from tinylm.finetune.fitting import Shuffled, fit
    from tinylm.nn.recompute import recompute_blocks
    from tinylm.optim.schedule import adapted, warm_up_steps
    from tinylm.train.progress import Progress

    # Every epoch reads each sample once, in another order.
    per_epoch = Shuffled(examples, config.batch_size).per_epoch
    steps = config.steps or max(1, round(config.epochs * per_epoch))
    if config.checkpointing:
        recompute_blocks(model)
    progress, losses = Progress(0, steps, unit=unit), []
    rising = round(config.warmup * steps)
    if warm_up_steps(rising, steps) != rising:
        report(adapted(rising, steps))

    def show(step, seconds):
        losses.append(step.loss)
        mean = float(np.mean(losses[-20:]))  # one batch alone jumps too much to read
        progress.update(len(losses), mean, step.tokens / seconds, step.grad_norm)

    try:
        fit(
            model,
            task,
            examples,
            steps=steps,
            batch_size=config.batch_size,
            learning_rate=config.lr,
            warmup=config.warmup,
            weight_decay=config.weight_decay,
            clip=config.clip,
            seed=config.seed,
            micro_batch=config.micro_batch,
            after_step=show,
        )
    except KeyboardInterrupt as stopped:
        # The current step was finished: the weights are as after it.
        model.eval()
        return len(losses), signal_of(stopped)
    finally:
        progress.close()
    return steps, None


def signal_of(stopped: KeyboardInterrupt) -> int:
    """The signal behind a KeyboardInterrupt."""
    if isinstance(stopped, Terminated):
        return stopped.signal
    return signal.SIGINT
