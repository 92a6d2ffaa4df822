"""The cause of a failed training step: the first operation or gradient that is not finite.

A step whose loss or gradient is NaN or infinite is repeated on the same rows with every operation
checked. All workers search their own rows and agree on one cause. Read next:
autograd/engine/profile.py, which checks the operations.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd.engine.profile import find_nonfinite
from tinylm.train.alone import broadcast_text

if TYPE_CHECKING:
    from tinylm.train.trainer import Trainer


def explain(trainer: "Trainer", step: int, micro_batches: Iterable) -> str:
    """The text of the error, the same on every worker.

    trainer        Trainer, its parameters as before the step
    step           Step that was not finite
    micro_batches  of this worker's rows, as the step read them
    """
    what, value = "loss", step.loss
    if math.isfinite(value):
        what, value = "gradient norm", step.grad_norm
    size, rank = trainer.comm.size, trainer.comm.rank
    cause = _sick_operation(trainer, micro_batches)
    order = rank  # an operation explains more than a gradient; low ranks go first
    if not cause:
        cause = _sick_gradient(trainer)
        order = size + rank
    if not cause:
        order = 2 * size  # nothing found: after all others
    order = int(trainer.comm.all_reduce(np.array([order]), "min")[0])
    cause = broadcast_text(trainer.comm, cause, order % size)
    cause = cause or "all was finite when it was repeated"
    return (
        f"step {trainer.step + 1}: the {what} is {value}; {cause}; "
        f"the parameters are as after step {trainer.step}. "
        "Try a smaller lr, a longer warmup, or clipping"
    )


def _sick_operation(trainer, micro_batches):
    """The first operation of this worker's forward pass whose result is not finite, and the rows it
    read; "" if there is none.
    """
    row = trainer.first
    for part in micro_batches:
        found = find_nonfinite(lambda part=part: trainer.objective.loss(trainer.model, part))
        last = row + len(part) - 1
        if found:
            return f"in rows {row} to {last} of batch {trainer.step}, first {found}"
        row = last + 1
    return ""


def _sick_gradient(trainer):
    """The first parameter whose gradient, as far as this worker holds it, is not finite; or ""."""
    flat = trainer.optimizer.flat
    for name, g in flat.named(flat.grad).items():
        if not np.isfinite(g).all():
            return (
                f"on batch {trainer.step} the forward pass is finite, "
                f"but the gradient of {name} is not"
            )
    return ""
