"""Against overfitting and forgetting in supervised fine-tuning   (book section 4.2.1).

The remedies are those of section 1.4: a penalty on the distance from the pre-trained parameters
(finetune/continual/anchors.py), early stopping on held-out answers (finetune/early_stopping.py), a
low learning rate, and text of pre-training mixed in (finetune/continual/rehearsal.py). Here they
are put together in one training, which reports what was forgotten:

    forgotten = perplexity of old text after - before
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.align.rewards.marked import MarkedText
from tinylm.errors import ConfigError
from tinylm.finetune.continual.anchors import Anchor, Penalized
from tinylm.finetune.continual.rehearsal import with_rehearsal
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.fitting import fit
from tinylm.finetune.freezing import trainable
from tinylm.finetune.instruct.instructions import InstructionTuning, answer_loss
from tinylm.models.decoder.gpt import GPT
from tinylm.train.evaluation import perplexity_of_loss

if TYPE_CHECKING:
    from tinylm.align.preference.judged import KTO
    from tinylm.align.preference.tuning import DPO


@dataclass(frozen=True)
class Tuned:
    """What a training did.

    losses     (steps,) mean loss of every step, the penalty included
    held       (epochs,) loss of held-out answers after each epoch; empty without any
    forgotten  perplexity of the old text after, minus before; nan without old text
    """

    losses: np.ndarray
    held: np.ndarray
    forgotten: float


def tune(
    model: GPT,
    examples: Sequence[MarkedText],
    *,
    held_out: tuple = (),
    patience: int | None = None,
    anchor: float = 0.0,
    replay: float = 0.0,
    old: np.ndarray = (),
    task: "KTO | DPO | None" = None,
    seed: int = 0,
    **options: Any,
) -> Tuned:
    """Supervised fine-tuning with the remedies against forgetting   (book section 4.2.1)

    model     GPT, trained in place
    examples  list of Encoded
    held_out  list of Encoded: their loss decides when to stop, and is in the result
    patience  epochs without improvement that end the training; the parameters of the best epoch are
              then restored. None: no early stopping
    anchor    lambda of (lambda / 2) |theta - theta_0|^2, the distance from the start (L2-SP)
    replay    old texts per example
    old       list of Encoded of pre-training text (response_only.plain_text), for replay, and to
              measure what is forgotten
    task      InstructionTuning() unless given
    options   of finetune.fit: epochs, learning_rate, batch_size, weight_decay, ..
    returns   Tuned
    raises    ConfigError for patience without held-out examples, a negative anchor, or replay
              without old texts
    """
    if patience is not None and not len(held_out):
        raise ConfigError("tune: early stopping measures held_out examples, and there are none")
    if anchor < 0:
        raise ConfigError(f"tune: anchor {anchor} must be 0 or more")
    plain = task or InstructionTuning()
    learnt, before = plain, _perplexity(model, plain, old)
    if anchor:
        learnt = Penalized(plain, Anchor(trainable(model), anchor))
    mixed = with_rehearsal(examples, old, replay, seed)
    watch, held = None, []
    if len(held_out):
        limit = np.inf
        if patience is not None:
            limit = patience
        # EarlyStopping takes the larger for the better: minus the loss.
        where = model.parameters()[0].device
        watch = EarlyStopping(
            model, lambda: -answer_loss(model, plain, held_out, device=where)[0], limit
        )

    losses = fit(model, learnt, mixed, seed=seed, after_epoch=watch, **options)
    if len(held_out):
        held = [-value for value in watch.history]
    if patience is not None:
        watch.restore()
    forgotten = _perplexity(model, plain, old) - before
    return Tuned(losses, np.array(held), forgotten)


def _perplexity(model, task, old):
    """The perplexity of old texts; nan without any."""
    if not len(old):
        return float("nan")
    device = model.parameters()[0].device
    return perplexity_of_loss(answer_loss(model, task, old, device=device)[0])
