"""What surrounds the training loop of a run: logs, validates, shows and saves.

Nothing here touches the arithmetic of the trainer, so a run does not depend on how often it is
looked at. Every worker makes the same calls; rank 0 alone writes. Read next: log.py and
checkpoint.py, the files that are written.
"""

import platform
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.optim.schedule import adapted
from tinylm.train import checkpoint as checkpoints
from tinylm.train.evaluation import perplexity_of_loss
from tinylm.train.log import Log
from tinylm.train.patience import Patience
from tinylm.train.progress import Progress, clock
from tinylm.train.run.config import as_json
from tinylm.train.step import Step

if TYPE_CHECKING:
    from tinylm.train.run.run import Run
    from tinylm.train.trainer import Trainer


FIRST = 3.0  # seconds to the first checkpoint of a new run: one that is killed early can be resumed
SMOOTH = 20  # steps over which the loss and the speed that are shown are averaged


class Session:
    """The log, validations and checkpoints of one training, from start to end() or an error.

    run       Run
    trainer   its Trainer
    patience  Patience, already restored where the run is resumed
    report    where lines of text for the user go
    """

    def __init__(
        self, run: "Run", trainer: "Trainer", patience: Patience, report: Callable
    ) -> None:
        self.run = run
        self.config = run.config
        self.trainer = trainer
        self.comm = trainer.comm
        self.patience = patience
        self.report = report
        self.log = None  # of rank 0, as is the progress line
        self.progress = None
        self.saved_at = trainer.step if run.checkpoint else None
        # Of the last SMOOTH steps:
        self.losses = []
        self.seconds = []
        self.tokens = []

    def start(self) -> None:
        """Open the log and report what will be trained."""
        config, first = self.config, self.trainer.step
        self.started = time.perf_counter()
        if self.comm.rank == 0:
            self._open(first)
        parameters = self.trainer.parameters
        if config.warm_up_steps != config.warmup and first < config.steps:
            self.report(adapted(config.warmup, config.steps))
        self.report(
            f"model: {parameters:,} parameters; {self.trainer.shared_by}; {self._steps()}; "
            f"run {self.run.directory}"
        )
        if self.trainer.arithmetic:
            self.report(self.trainer.arithmetic)
        if self.patience.lost:
            self.report(
                f"the run ended at step {first}, {self.patience}: "
                "give a larger --patience to go further"
            )
        elif first >= config.steps:
            self.report(f"all {first} steps are done: give --steps a larger number to go further")
        self._write(
            "start",
            step=first,
            config=as_json(config),
            workers=self.comm.size,
            parameters=parameters,
            vocab_size=self.run.tokenizer.vocab_size,
            bytes_per_token=self.run.data.bytes_per_token("train"),
            python=platform.python_version(),
            numpy=np.__version__,
        )

    def after_step(self, step: Step, seconds: float) -> bool:
        """Log a step; validate and save when it is their turn.

        step     Step, already counted in trainer.step
        returns  True if patience is lost: training ends
        """
        n, config = self.trainer.step, self.config
        self._smooth(step, seconds)
        if self.comm.rank == 0:
            more = self.trainer.figures()
            if not step.updated:
                self.progress.note(
                    f"step {n} left out: its gradient is not finite in {config.dtype}; "
                    f"the loss scale is now {more['scale']:g}"
                )
            self._write(
                "step",
                step=n,
                loss=step.loss,
                lr=config.learning_rate(n - 1),  # rates count steps from 0
                grad_norm=step.grad_norm,
                tokens=step.tokens,
                tokens_per_second=step.tokens / seconds,
                seconds=seconds,
                **more,
            )
            speed = sum(self.tokens) / sum(self.seconds)  # of the last SMOOTH steps
            loss = sum(self.losses) / len(self.losses)
            self.progress.update(n, loss, speed, step.grad_norm, list(more.items()))
        # The last step is validated by end(), on the whole text.
        if config.eval_every and n % config.eval_every == 0 and n < config.steps:
            found = self.validate(config.eval_batches)
            if found and self.comm.rank == 0:
                self.progress.note(f"step {n}: {_scores(found)}")
            if config.patience and self.patience.sees(n, found["validation_loss"]):
                self.save()  # the best so far; save_step keeps it
        if config.checkpoint_every and (n % config.checkpoint_every == 0 or self._first_is_due()):
            self.save()
        return self.patience.lost

    def validate(self, batches: int) -> dict[str, float]:
        """Score the validation text and log the result.

        batches  how many of its batches; 0: all
        returns  dict of scores; {} without a validation text
        """
        if self.run.validation is None:
            return {}
        loss, tokens = self.trainer.evaluate(self.run.validation, self.config.batch_size, batches)
        found = {}
        if self.config.recipe.whole_text:  # these two have no meaning for other losses
            found = {
                "perplexity": perplexity_of_loss(loss),
                "bits_per_byte": self.run.data.bits_per_byte(loss),
            }
        self._write("validation", step=self.trainer.step, loss=loss, tokens=tokens, **found)
        return {"validation_loss": loss, **found}

    def save(self) -> None:
        """Write a checkpoint of this step, unless it is written already."""
        if self.saved_at == self.trainer.step:
            return
        arrays, state = self.trainer.state()  # every worker gives its part of the moments
        if self.comm.rank == 0:
            c = self.config
            checkpoints.save_step(
                self.run.directory,
                self.trainer.step,
                arrays,
                {
                    "config": as_json(c),
                    "tokenizer": self.run.tokenizer.to_dict(),
                    "trainer": state,
                    # Step and position are one number: a batch is a function of the step.
                    "data": {"sha256": self.run.data.meta["sha256"], "position": self.trainer.step},
                    "schedule": {"name": c.schedule, "next": c.learning_rate(self.trainer.step)},
                    "patience": self.patience.state(),
                },
                c.keep,
                self.patience.best_step if c.patience else None,
            )
        self.saved_at = self.trainer.step

    def end(self, finished: bool) -> dict[str, Any]:
        """Score the whole validation text, and report and log the result.

        finished  False if a signal stopped the training
        returns   the summary that train_run describes
        """
        trainer = self.trainer
        summary = {
            "run": str(self.run.directory),
            "step": trainer.step,
            "parameters": trainer.parameters,
            "interrupted": not finished,
            "signal": None if finished else int(trainer.stopped_by or signal.SIGINT),
            "loss": None,
            "tokens_per_second": None,
        }
        if self.losses:
            summary["loss"] = float(np.mean(self.losses))
            summary["tokens_per_second"] = sum(self.tokens) / sum(self.seconds)
        summary |= trainer.figures()
        if finished:
            summary |= self.validate(0)
        if self.config.patience:
            summary["best"] = self.patience.state()
        summary["seconds"] = time.perf_counter() - self.started
        self._write("end", **summary)
        if self.log:
            self.log.close()
        self.report(self._closing(summary))
        return summary

    def interrupted(self) -> None:
        """Note on the progress line that a signal has come."""
        if self.progress:
            self.progress.note(
                "asked to stop: finishing this step and saving "
                "(Ctrl-C once more: stop at once, without saving)"
            )

    def close_progress(self) -> None:
        """End the progress line."""
        if self.progress:
            self.progress.close()

    def _open(self, first):
        """Open log and progress line at step `first`."""
        after = first if self.run.checkpoint else None  # later lines will be written again
        self.log = Log(self.run.directory, after=after)
        if self.log.damaged:
            self.report(
                f"{self.log.path}: damaged lines were left out: {self.log.damaged}; "
                "the log as it was is kept beside it"
            )
        self.progress = Progress(first, self.config.steps, unit=self.config.recipe.counted)

    def _smooth(self, step, seconds):
        """Take a step into the running means, and the oldest out of them."""
        self.losses.append(step.loss)
        self.seconds.append(seconds)
        self.tokens.append(step.tokens)
        for values in (self.losses, self.seconds, self.tokens):
            del values[:-SMOOTH]

    def _first_is_due(self):
        """True if nothing is saved yet after FIRST seconds. Clocks differ: if one worker's has
        passed, all return True.
        """
        if self.saved_at is not None:
            return False
        due = time.perf_counter() - self.started >= FIRST
        return bool(self.comm.all_reduce(np.array([float(due)]), "max")[0])

    def _write(self, event, **values):
        if self.log:
            self.log.write(event, **values)

    def _closing(self, summary):
        """The last line of a training."""
        if summary["interrupted"]:
            return (
                f"stopped at step {summary['step']}, saved; "
                f"to continue: tinylm train --resume {self.run.directory}"
            )
        ended = f"{summary['step']} steps, {clock(summary['seconds'])}"
        if "validation_loss" in summary:
            ended = f"{_scores(summary)}, {ended}"
        if summary.get("skipped"):
            ended += f"; steps left out: {summary['skipped']}, loss scale {summary['scale']:g}"
        best = self.patience.best_step
        if best is None:
            return ended
        return f"{ended}; {self.patience}: {self.run.directory}/{checkpoints.AREA}/step-{best:06d}"

    def _steps(self):
        """The steps of the run in words: "8 steps of 4 x 8 tokens"."""
        c = self.config
        short = min(c.short_steps, c.steps)
        full = f"{c.steps - short} steps of {c.batch_size} x {c.context} tokens"
        if not short:
            return full
        return f"{short} steps of {c.batch_size} x {c.short_context} tokens, then {full}"


def _scores(found):
    """The scores of a validation as text."""
    text = f"validation loss {found['validation_loss']:.4f}"
    if "bits_per_byte" in found:
        return f"{text}, {found['bits_per_byte']:.4f} bits per byte"
    return text
