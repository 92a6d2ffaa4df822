"""One session of a run, from its start or from a checkpoint: trains, and meanwhile logs, validates,
shows and saves.

Everything here surrounds the trainer without touching its arithmetic, so a run does not depend on
how often it is looked at. Every worker goes through the same motions; rank 0 alone writes. Read
next: trainer.py.
"""

import platform
import signal
import time

import numpy as np

from tinylm.backend import backend
from tinylm.errors import TrainingError
from tinylm.machine import keep_freed_memory
from tinylm.optim import AdamW, FlatParameters
from tinylm.optim.schedule import adapted
from tinylm.train import checkpoint as checkpoints
from tinylm.train.evaluation import evaluate, perplexity
from tinylm.train.log import Log
from tinylm.train.patience import Patience
from tinylm.train.progress import Progress, clock
from tinylm.train.run.build import new_model
from tinylm.train.run.config import as_json
from tinylm.train.run.saved import parameters_of
from tinylm.train.trainer import Trainer

FIRST = (
    3.0  # seconds after which a new run has its first checkpoint: what is killed early can go on
)
SMOOTH = (
    20  # steps over which the loss and the speed on the live line and in the summary are averaged
)


class Session:
    """Everything that a run needs while it trains; `train()` is all that is called.

    run      Run
    comm     communicator
    report   where lines of text for the user go
    """

    def __init__(self, run, comm, report):
        keep_freed_memory()
        self.run, self.config, self.comm, self.report = run, run.config, comm, report
        config, self.family = run.config, run.family
        backend(config.device)  # says what is missing before anything is built
        windows, self.validation = run.windows()
        self.model = new_model(config, self.family).to(config.device)
        shared = getattr(comm, "empty", None) if config.device == "cpu" else None
        flat = FlatParameters(self.model.named_parameters(), shared)
        optimizer = AdamW(
            flat, config.peak_lr, tuple(config.betas), weight_decay=config.weight_decay
        )
        self.objective, self.patience = run.objective(), Patience(config.patience)
        self.trainer = Trainer(
            self.model,
            self.objective,
            optimizer,
            windows.batch,
            config.batch_size,
            config.learning_rate,
            config.clip,
            config.micro_batch,
            config.seed,
            comm,
        )
        if run.checkpoint:
            moments = {
                name: (value.shape, np.dtype(value.dtype))
                for name, value in optimizer.state().items()
                if np.ndim(value)
            }
            saved = checkpoints.load(
                run.checkpoint, expected={"model": parameters_of(self.model), "optimizer": moments}
            )
            where = run.checkpoint / checkpoints.STATE
            self.trainer.load_state(saved.arrays, saved.state["trainer"], where)
            self.patience.load_state(saved.state.get("patience"), where)
        self.saved_at = self.trainer.step if run.checkpoint else None
        self.losses, self.seconds, self.tokens = [], [], []  # of the last SMOOTH steps

    def train(self, saved=lambda: None):
        """Train to the end, or to Ctrl-C, SIGTERM or SIGHUP.

        saved    called when the last checkpoint is written: signals may end the process again
        returns  the summary that train_run describes
        """
        config, trainer, rank = self.config, self.trainer, self.comm.rank
        started, first = time.perf_counter(), trainer.step
        self.started = started
        self.log = (
            Log(self.run.directory, after=first if self.run.checkpoint else None)
            if rank == 0
            else None
        )
        if self.log and self.log.damaged:
            self.report(
                f"{self.log.path}: damaged lines were left out: {self.log.damaged}; "
                "the log as it was is kept beside it"
            )
        self.progress = (
            Progress(first, config.steps, unit=self.run.family.counted) if rank == 0 else None
        )
        parameters = len(trainer.optimizer.flat)
        if config.warm_up_steps != config.warmup and first < config.steps:
            self.report(adapted(config.warmup, config.steps))
        self.report(
            f"model: {parameters:,} parameters; {self.comm.size} worker{'s' * (self.comm.size > 1)}; "
            f"{self._steps()}; run {self.run.directory}"
        )
        if self.patience.lost:
            self.report(
                f"the run ended at step {first}, {self.patience}: give a larger --patience to go further"
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
            python=platform.python_version(),
            numpy=np.__version__,
        )
        try:
            finished = self.patience.lost or trainer.run(
                config.steps, self.after_step, say=self._interrupted
            )
            self.save()
            saved()
        except TrainingError as error:
            saved = checkpoints.latest(self.run.directory)
            raise TrainingError(f"{error}. Saved so far: {saved or 'nothing'}") from None
        finally:
            if rank == 0:
                self.progress.close()
        stopped_by = None if finished else int(trainer.stopped_by or signal.SIGINT)
        summary = {
            "run": str(self.run.directory),
            "step": trainer.step,
            "parameters": parameters,
            "interrupted": not finished,
            "signal": stopped_by,
            "loss": float(np.mean(self.losses)) if self.losses else None,
            "tokens_per_second": sum(self.tokens) / sum(self.seconds) if self.seconds else None,
        }
        summary |= self.validate(0) if finished else {}
        summary |= {"best": self.patience.state()} if config.patience else {}
        summary["seconds"] = time.perf_counter() - started
        self._write("end", **summary)
        if rank == 0:
            self.log.close()
        self.report(self._closing(summary))
        return summary

    def after_step(self, step, seconds):
        """Log a step; validate and save when it is their turn. `step` is a Step, already counted in
        trainer.step.

        returns  True if patience is lost: nothing more is to be trained
        """
        n, config = self.trainer.step, self.config
        for values, value in (
            (self.losses, step.loss),
            (self.seconds, seconds),
            (self.tokens, step.tokens),
        ):
            values.append(value)
            del values[:-SMOOTH]
        if self.comm.rank == 0:
            self._write(
                "step",
                step=n,
                loss=step.loss,
                lr=config.learning_rate(n - 1),
                grad_norm=step.grad_norm,
                tokens=step.tokens,
                tokens_per_second=step.tokens / seconds,
                seconds=seconds,
            )
            speed = sum(self.tokens) / sum(self.seconds)
            self.progress.update(n, sum(self.losses) / len(self.losses), speed, step.grad_norm)
        if config.eval_every and n % config.eval_every == 0 and n < config.steps:
            found = self.validate(config.eval_batches)
            if found and self.comm.rank == 0:
                self.progress.note(f"step {n}: {_scores(found)}")
            if config.patience and self.patience.sees(n, found["validation_loss"]):
                self.save()  # the best so far; save_step keeps it
        if config.checkpoint_every and (n % config.checkpoint_every == 0 or self._first_is_due()):
            self.save()
        return self.patience.lost

    def validate(self, batches):
        """Score the validation text (`batches` of it; 0: all) and log it. Returns what was found;
        {} without a text.
        """
        if self.validation is None:
            return {}
        loss, tokens = evaluate(
            self.model,
            self.objective,
            self.validation,
            self.config.batch_size,
            batches,
            self.comm,
            self.config.device,
        )
        found = {}
        if self.family.causal:  # other losses are not of a whole text
            found = {
                "perplexity": perplexity(loss),
                "bits_per_byte": self.run.data.bits_per_byte(loss),
            }
        self._write("validation", step=self.trainer.step, loss=loss, tokens=tokens, **found)
        return {"validation_loss": loss, **found}

    def save(self):
        """Write a checkpoint of this step, unless it is there already."""
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
                    "data": {"sha256": self.run.data.meta["sha256"], "position": self.trainer.step},
                    "schedule": {"name": c.schedule, "next": c.learning_rate(self.trainer.step)},
                    "patience": self.patience.state(),
                },
                c.keep,
                self.patience.best_step if c.patience else None,
            )
        self.saved_at = self.trainer.step

    def _first_is_due(self):
        """Whether nothing is saved yet after FIRST seconds; every worker says the same, clocks
        differ.
        """
        if self.saved_at is not None:
            return False
        due = time.perf_counter() - self.started >= FIRST
        return bool(self.comm.all_reduce(np.array([float(due)]), "max")[0])

    def _write(self, event, **values):
        if self.comm.rank == 0:
            self.log.write(event, **values)

    def _interrupted(self):
        if self.comm.rank == 0:
            self.progress.note(
                "asked to stop: finishing this step and saving (Ctrl-C once more: stop at once, without saving)"
            )

    def _closing(self, summary):
        if summary["interrupted"]:
            return f"stopped at step {summary['step']}, saved; go on with: tinylm train --resume {self.run.directory}"
        scored = f"{_scores(summary)}, " if "validation_loss" in summary else ""
        ended = f"{scored}{summary['step']} steps, {clock(summary['seconds'])}"
        best = self.patience.best_step
        if best is None:
            return ended
        return f"{ended}; {self.patience}: {self.run.directory}/{checkpoints.AREA}/step-{best:06d}"

    def _steps(self):
        c, short = self.config, min(self.config.short_steps, self.config.steps)
        if short:
            first = f"{short} steps of {c.batch_size} x {c.short_context} tokens, then "
        else:
            first = ""
        return f"{first}{c.steps - short} steps of {c.batch_size} x {c.context} tokens"


def _scores(found):
    """A validation in words."""
    text = f"validation loss {found['validation_loss']:.4f}"
    if "bits_per_byte" in found:
        return f"{text}, {found['bits_per_byte']:.4f} bits per byte"
    return text
