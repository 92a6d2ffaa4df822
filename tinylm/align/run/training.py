"""One run of `tinylm align`: from a model and a file to a tuned model, logged, saved, resumable.

    open      the model, which is the reference as long as it is unchanged    tunable.py
    check     the samples: what is left out is counted, with its lines        examples.py
    compare   held-out examples are scored, and the reference's log-probabilities are computed
    train     finetune.fit's trainer, step by step; each step's figures go to the log
    save      an interrupted run with the trainer's state, a finished one as a tuned model

A resumed run does the first three again, all of which follow from the settings, compares the hashes
of weights and examples with those of its start, and goes on from the trainer's state: its steps are
to the bit those of a run that was never interrupted. Read first: methods.py, saved.py.
"""

import hashlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.align.meter import Metered, mean_figures
from tinylm.align.preference.pairs import rows_of
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.run.examples import about_held, held_back
from tinylm.align.run.methods import METHODS
from tinylm.align.run.saved import Begun, load_trained, new_run, save_aligned, trained_arrays
from tinylm.align.run.tunable import open_tunable, weights_sha256
from tinylm.errors import CheckpointError, DataError, TrainingError
from tinylm.finetune.fitting import Shuffled, new_trainer
from tinylm.finetune.freezing import count_trainable
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.nn.recompute import recompute_blocks
from tinylm.optim.schedule import adapted, warm_up_steps
from tinylm.train import checkpoint as checkpoints
from tinylm.train.interrupt import finish_first
from tinylm.train.log import Log
from tinylm.train.progress import Progress
from tinylm.train.run.config import as_json

SMOOTH = 20  # steps over which the loss that is shown is averaged
STANDARDIZED_BY = 256  # pairs whose answers give rewards their mean and variance


class Training:
    """A run of a method, ready to train.

    name       of the method;  run  what it starts from, as open_tunable takes it
    settings   (TuningSettings, the method's own settings)
    directory  of the result, locked by the caller
    report     function: line -> None
    begun      Begun of an interrupted run that is continued; None: a new one
    """

    def __init__(
        self,
        name: str,
        run: str,
        settings: Any,
        directory: str | Path,
        report: Callable,
        begun: Begun | None = None,
    ) -> None:
        settings, own = self.settings, self.own = settings
        self.name, self.run = name, run
        self.directory, self.report = directory, report
        self.method = METHODS[name]
        self.opened = open_tunable(
            run, settings.template, settings.lora, settings.lora_alpha, settings.seed
        )
        if begun:
            check_same("weights of", run, begun.sha256, self.opened.sha256)
        found = self.method.examples(self.opened, settings, own, report)
        digest = examples_sha256([one.encoded for one in found])
        if begun:
            check_same("examples in", ", ".join(settings.data), begun.examples, digest)
        train, held = held_back(found, settings.val_fraction, settings.seed)
        report(about_held(train, held))
        self.model = self.method.model(self.opened, settings).to(settings.device)
        if settings.checkpointing:
            recompute_blocks(self.model)
        self.task = Metered(self.method.task(self.opened, own, train))
        self.examples = self._prepared(train, _read(train, self.task.task, settings))
        self.held = self._prepared_held(held)
        self.trainer, self.steps, _ = new_trainer(
            self.model,
            self.task,
            self.examples,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.lr or self.method.lr,
            steps=_steps(settings, self.examples),
            warmup=settings.warmup,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            seed=settings.seed,
            micro_batch=settings.micro_batch,
        )
        self.frozen = self._frozen_sha256()
        self.begun = begun
        if begun:
            self._restore()
        else:
            words = as_json(settings) | as_json(own)
            self.begun = new_run(name, run, words, self.opened.sha256, digest)
        self.losses = []
        self.log = self.progress = None

    def _prepared(self, examples, read=None):
        """Examples with what the task compares with: all, or those at the places `read`."""
        task, chosen = self.task.task, examples
        if read is not None:
            chosen = [examples[i] for i in read]
        if getattr(task, "compares", False):
            self.report(f"reference: scoring {len(chosen):,} {self.method.counted}")
        chosen = self.method.prepare(self.model, task, chosen, self.settings, self.own)
        if read is None:
            return chosen
        found = list(examples)
        for i, one in zip(read, chosen):
            found[i] = one
        return found

    def _prepared_held(self, held):
        """Held-out examples with their reference; [] where KTO finds one prompt only."""
        if not held:
            return []
        try:
            return self._prepared(held)
        except DataError as error:
            self.report(f"validation: none, {len(held):,} examples are not scored: {error}")
            return []

    def figures(self) -> dict[str, float]:
        """What the loss reports on held-out examples, dropout off: {name: float}."""
        if not self.held:
            return {}
        return mean_figures(self.model, self.task.task, self.held, self.settings.batch_size)

    def _first_figures(self):
        """Figures before the first step. Where policy and reference agree, rewards are 0 and their
        order is rounding: only loss and log-probabilities are kept.
        """
        found = self.figures()
        if getattr(self.task.task, "compares", False):
            kept = ("loss", "logp_chosen", "logp_rejected")
            return {name: found[name] for name in kept if name in found}
        return found

    def go(self) -> dict[str, Any]:
        """Train to the end or to a signal, and save.

        returns  dict: finished, signal (its number or None), steps, before, after (figures on
                 held-out examples, {} without), path (of the checkpoint)
        """
        settings, first = self.settings, self.trainer.step
        if not first:
            self.begun = replace(self.begun, before=self._first_figures())
        self._open_log(first)
        rising = round(settings.warmup * self.steps)
        if warm_up_steps(rising, self.steps) != rising:
            self.report(adapted(rising, self.steps))
        self.report(
            f"model: {self.model.count_parameters():,} parameters, of which "
            f"{count_trainable(self.model):,} are trained; {self.steps} steps of "
            f"{self.trainer.batch_size} examples; conversations written as "
            f"{self.opened.template.name}"
        )
        self.progress = Progress(first, self.steps, unit=self.method.counted)
        try:
            with finish_first():
                finished = self.trainer.run(self.steps, self._after_step, self._interrupted)
                return self._end(finished)
        finally:
            self.progress.close()
            self.log.close()

    def _open_log(self, first):
        self.log = Log(self.directory, after=first or None)
        self.log.write(
            "start",
            step=first,
            method=self.name,
            counted=self.method.counted,
            settings=as_json(self.settings) | as_json(self.own),
            parameters=self.model.count_parameters(),
        )
        if not first and self.begun.before:
            self.log.write("validation", step=0, **self.begun.before)

    def _after_step(self, step, seconds):
        """Log a step; validate and save when it is their turn."""
        n, settings = self.trainer.step, self.settings
        figures = self.task.meter.means() | {"loss": step.loss}
        self.losses = [*self.losses, step.loss][-SMOOTH:]
        self.log.write(
            "step",
            step=n,
            lr=self.trainer.learning_rate(n - 1),
            grad_norm=step.grad_norm,
            tokens=step.tokens,
            seconds=seconds,
            **figures,
        )
        shown = [(name, figures[name]) for name in self.method.shown if name in figures]
        mean = float(np.mean(self.losses))
        self.progress.update(n, mean, step.tokens / seconds, step.grad_norm, shown)
        last = n == self.steps
        if self.held and settings.eval_every and n % settings.eval_every == 0 and not last:
            found = self._validate()
            self.progress.note(f"step {n}, held back: {in_words(found)}")
        if settings.checkpoint_every and n % settings.checkpoint_every == 0 and not last:
            self._save(unfinished=True)

    def _interrupted(self):
        self.progress.note("interrupted: finishing this step and saving (Ctrl-C once more: stop)")

    def _validate(self):
        """Log and return the figures on held-out examples; {} without any."""
        found = self.figures()
        if found:
            self.log.write("validation", step=self.trainer.step, **found)
        return found

    def _end(self, finished):
        """Score and save; what go() returns."""
        stopped_by, after = None, {}
        if finished:
            self._check_frozen()
            if isinstance(self.model, RewardModel) and self.own.standardize:
                self._standardize()
            self.model.eval()
            after = self._validate()
            path = self._save(after)
        else:
            stopped_by = int(self.trainer.stopped_by or signal.SIGINT)
            path = self._save(unfinished=True)
        return {
            "finished": finished,
            "signal": stopped_by,
            "steps": self.trainer.step,
            "before": self.begun.before,
            "after": after,
            "path": path,
        }

    def _standardize(self):
        """Rewards of the answers learnt from get mean 0 and variance 1; comparisons stay."""
        some = self.examples[:STANDARDIZED_BY]
        texts = [one.ids for pair in some for one in (pair.chosen, pair.rejected)]
        self.model.standardize(texts, batch_size=self.settings.batch_size)

    def _restore(self):
        """Go on from the state of an interrupted run."""
        model, optimizer = load_trained(self.begun, self.model, self.trainer.optimizer)
        arrays = {"model": model, "optimizer": optimizer}
        self.trainer.load_state(arrays, self.begun.trainer, self.begun.path / checkpoints.STATE)

    def _save(self, after=None, unfinished=False):
        more = None
        if unfinished:
            arrays, state = self.trainer.state()
            more = trained_arrays(self.model), arrays["optimizer"], state
        shown = {
            "data": self.begun.settings["data"],
            "steps": self.trainer.step,
            "held_back_before": self.begun.before.get("loss"),
            "held_back_after": (after or {}).get("loss"),
        }
        parts = self.directory, self.model, self.opened, self.begun, self.trainer.step
        return save_aligned(*parts, more, shown)

    def _frozen_sha256(self):
        named = self.model.named_parameters()
        frozen = {name: p.data for name, p in named.items() if not p.requires_grad}
        return weights_sha256(frozen)

    def _check_frozen(self):
        """Raise TrainingError if a frozen parameter has changed: the reference of LoRA."""
        if self._frozen_sha256() != self.frozen:
            raise TrainingError("parameters that are frozen have changed while training")


def _read(examples, task, settings):
    """The places of the examples that the steps will read, where a reference must score each and
    the steps are fewer than an epoch; None: all of them.
    """
    batches = Shuffled(examples, settings.batch_size, settings.seed)
    steps = _steps(settings, examples)
    if not getattr(task, "compares", False) or steps >= batches.per_epoch:
        return None
    return sorted(batches.order(0)[: steps * batches.batch_size].tolist())


def _steps(settings, examples):
    """Updates; None: fit() counts them. Less than an epoch still is one step."""
    if settings.steps is not None:
        return settings.steps
    size = min(settings.batch_size, len(examples))
    return max(1, round(settings.epochs * -(-len(examples) // size)))


def check_same(what: str, where: str, before: str, now: str) -> None:
    """Raise CheckpointError if a hash is not the one of the run's start."""
    if before != now:
        raise CheckpointError(
            f"the {what} {where} are not those that this run started from (their SHA-256 differs): "
            "put them back, or start a new run"
        )


def examples_sha256(examples: Sequence) -> str:
    """The SHA-256 of encoded examples: ids, and which of them count."""
    found = hashlib.sha256()
    for example in examples:
        rows = [example]
        if not isinstance(example, Encoded):
            rows = rows_of(example)
            label = getattr(example, "desirable", getattr(example, "probability", None))
            found.update(f"{label} {getattr(example, 'margin', None)}\n".encode())
        for row in rows:
            found.update(np.ascontiguousarray(row.ids))
            found.update(np.ascontiguousarray(row.answer))
            found.update(b"\n")
    return found.hexdigest()


def in_words(figures: dict[str, float]) -> str:
    """Figures as text: "loss 0.6931, accuracy 0.5"."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value + 0.0:.4g}" for name, value in figures.items()
    )
