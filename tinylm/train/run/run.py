"""A run: from a TrainConfig to a directory with everything in it, and back to a model.

    RUN/config.json     the configuration, to read; the one that counts is in each checkpoint
        tokenizer.json  the tokenizer
        data/           the text as token ids, prepared once
        dictionary.tsv  where there is one
        lock            who trains it (directory.py)
        log.jsonl       losses and rates, step by step (log.py)
        checkpoints/    the newest few (checkpoint.py)

A directory that holds a run is never written over: `resume` goes on with it. Read next: session.py,
the loop around the trainer that logs, validates and saves.
"""

import contextlib
import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tinylm import tokenizers
from tinylm.data import Prepared
from tinylm.data.batches.prepare import PREPARED
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.files import write_text
from tinylm.reading import BadLines
from tinylm.train import checkpoint as checkpoints
from tinylm.train.alone import ALONE, broadcast_text
from tinylm.train.interrupt import finish_first
from tinylm.train.run.build import new_objective
from tinylm.train.run.config import TrainConfig, as_json, continued, from_json
from tinylm.train.run.directory import Begun, Lock, begin, lock, sweep
from tinylm.train.run.families import family_of
from tinylm.train.run.rows import training_rows, validation_rows
from tinylm.train.run.saved import described, model_of, parameters_of, trained_on
from tinylm.train.run.session import Session
from tinylm.train.run.texts import (
    keep_dictionary,
    kept_dictionary,
    make_tokenizer,
    open_text,
    prepare_text,
    sources_line,
)


@dataclass(frozen=True)
class Run:
    """A run that is ready to train: what prepare_run made, or found.

    directory   Path
    config      TrainConfig, the saved one where the run goes on
    tokenizer   Tokenizer
    data        Prepared: token files of both sides
    checkpoint  Path of the checkpoint to go on from; None: a new run
    lock        Lock of the directory, held until train_run ends; None: a worker's, whose rank 0
                holds it
    begun       Begun of a new run, which was made here
    """

    directory: Path
    config: TrainConfig
    tokenizer: object
    data: Prepared
    checkpoint: Path | None
    lock: Lock | None = None
    begun: Begun | None = None

    def undo(self):
        """Remove what was made for a new run, if nothing is saved in it yet: it can be begun again."""
        if self.begun and checkpoints.latest(self.directory) is None:
            self.begun.undo()

    @property
    def family(self):
        """The Family: what the objective trains, and its special ids."""
        return family_of(self.config, self.tokenizer.vocab_size)

    def windows(self):
        """(rows to train on, rows to validate on or None), see rows.py. DataError if the text is
        too short.
        """
        config, family = self.config, self.family
        return (
            training_rows(config, self.data.train, family),
            validation_rows(config, self.data.val, family) if config.val_fraction else None,
        )

    def objective(self):
        """The objective, made for this text. ConfigError if the text lacks what it works on."""
        return new_objective(
            self.family,
            self.tokenizer,
            self.data.train.tokens,
            kept_dictionary(self.config, self.directory),
        )


def train_run(run, comm=None, report=print):
    """Train from a configuration to the end.

    run      TrainConfig, or the Run that prepare_run made of one (before workers were started, so
             that bad input is reported by the process the user started)
    comm     communicator whose every worker calls this; None: this process alone
    report   where lines of text for the user go; only rank 0 reports
    returns  dict: run, step, loss, validation_loss, tokens_per_second, seconds, parameters,
             interrupted, signal (its number, or None), best (step and validation loss, with
             patience); of causal language modeling also perplexity and bits_per_byte
    raises   TinylmError
    """
    comm = comm or ALONE
    if comm.rank != 0:

        def report(line):
            return None

    if not isinstance(run, Run):
        run = _prepare_together(run, comm, report)
    try:
        with contextlib.ExitStack() as until_saved:
            until_saved.enter_context(
                finish_first()
            )  # from here on a signal finds a step to finish
            return Session(run, comm, report).train(until_saved.close)
    finally:
        if run.lock:
            run.lock.close()


def prepare_run(config, report=print, given=None):
    """Make the directory of a new run, with tokenizer and data; or find what is needed to go on
    with an old one.

    given    names of the settings that the user has set (for resume); None: those that are not the
             default
    returns  Run
    raises   ConfigError, DataError, CheckpointError; what was begun is removed again, and only that
    """
    config.check()
    if config.resume:
        return _reopen(config, report, given)
    begun = begin(config.out, report)
    directory = begun.path
    try:
        tokenizer = make_tokenizer(config)
        tokenizer.save(directory / "tokenizer.json")
        bad = BadLines(config.skip_bad)
        family = family_of(config, tokenizer.vocab_size)
        data = prepare_text(config, tokenizer, family, directory / "data", bad=bad)
        keep_dictionary(config, directory)
        config = dataclasses.replace(config, out=str(directory))
        run = Run(directory, config, tokenizer, data, None, begun.lock, begun)
        run.windows(), run.objective()  # a text that will not do is told now
        _write_config(directory, config)
    except BaseException as error:
        begun.undo()
        if isinstance(error, OSError):
            raise DataError(
                f"cannot write the run {directory} ({error.strerror or error}): "
                "free space, or choose another --out"
            ) from None
        raise
    if sources := sources_line(config):
        report(f"text: {sources}")
    for line in bad.report():
        report(line)
    sides = data.meta["train"], data.meta["val"]
    report(
        f"text: {sum(side['characters'] for side in sides):,} characters; {sides[0]['tokens']:,} tokens to learn "
        f"from, {sides[1]['tokens']:,} to validate; vocabulary {tokenizer.vocab_size}"
    )
    return run


def load_run(path):
    """The model of a run.

    path     a run (its newest checkpoint), or a checkpoint directory
    returns  (model in evaluation mode, tokenizer, TrainConfig). What the model is depends on the
             objective, see families.py; family_of(config, tokenizer.vocab_size).special are the ids
             that it knows besides
    raises   CheckpointError if there is none, or it is damaged
    """
    _, found = checkpoints.find(path)
    saved = checkpoints.load(found, files=())
    config, tokenizer = described(saved)
    model = model_of(saved, config, tokenizer)
    saved = checkpoints.load(found, ("model",), {"model": parameters_of(model)})
    model.load_state_dict(saved.arrays["model"])
    return model.eval(), tokenizer, config


def _reopen(asked, report, given):
    if asked.out and (given is None or "out" in given):
        raise ConfigError(
            f"--resume goes on in the run's own directory: leave --out {asked.out} away"
        )
    directory, path = checkpoints.find(asked.resume)
    held = lock(directory, report)
    sweep(directory)
    try:
        return _reopened(asked, report, given, directory, path, held)
    except BaseException:
        held.close()
        raise


def _reopened(asked, report, given, directory, path, held):
    """The Run that goes on from the checkpoint at `path`, with the lock that is held on it."""
    later = [other.name for other in checkpoints.steps(directory).values()]
    later = later[later.index(path.name) + 1 :] if path.name in later else []
    if later:
        raise CheckpointError(
            f"{directory} has later checkpoints, {', '.join(later)}: remove them to go on from "
            f"{path.name}, or go on from the newest with --resume {directory}"
        )
    saved = checkpoints.load(path, files=())
    if "data" not in saved.state:  # nothing of the optimizer was kept either
        raise CheckpointError(
            f"{path} is a fine-tuned model, whose training cannot be taken up again: tune it further with "
            f"`tinylm finetune {directory} --data FILE`"
        )
    config, tokenizer = described(saved)
    text = trained_on(saved)
    config = continued(config, asked, given, source=str(path))
    config = dataclasses.replace(config, out=str(directory), resume=str(path))
    data = _same_data(directory / "data", text, config, tokenizer, report)
    report(f"going on from {path}")
    return Run(directory, config, tokenizer, data, path, held)


def _same_data(directory, sha256, config, tokenizer, report):
    """The tokens that a run was trained on: as they lie there, or prepared again from the text."""
    family = family_of(config, tokenizer.vocab_size)
    try:
        data = open_text(directory, tokenizer, family)
        if data.meta["sha256"] == sha256:
            data.verify()
            return data
    except DataError:
        pass
    report(f"the tokens in {directory} are missing or damaged: preparing the text again")
    real = Path(os.path.realpath(directory))  # it may be a link
    aside = real.with_name(f"{real.name}.tmp-{os.getpid()}")  # not over what lies there
    try:
        bad = BadLines(config.skip_bad)
        found = prepare_text(config, tokenizer, family, aside, bad=bad).meta["sha256"]
        if found != sha256:
            text = ", ".join(config.data) or "the help of this Python version"
            raise CheckpointError(
                f"the run was trained on another text than {text} holds now: "
                "going on needs the same one"
            )
        real.mkdir(exist_ok=True)
        for name in PREPARED:
            os.replace(aside / name, real / name)
    except OSError as error:
        raise DataError(
            f"cannot write {directory} ({error.strerror or error}): free space"
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return open_text(directory, tokenizer, family)


def _write_config(directory, config):
    write_text(directory / "config.json", json.dumps(as_json(config), indent=2) + "\n")


def _prepare_together(config, comm, report):
    """prepare_run by rank 0, while the others wait; then all open the same files."""
    run = prepare_run(config, report) if comm.rank == 0 else None
    if run:
        told = json.dumps([str(run.directory), str(run.checkpoint or ""), as_json(run.config)])
    else:
        told = ""
    directory, checkpoint, values = json.loads(broadcast_text(comm, told))
    if run is not None:
        return run
    directory, config = Path(directory), from_json(values, directory)
    tokenizer = tokenizers.load(directory / "tokenizer.json")
    data = open_text(directory / "data", tokenizer, family_of(config, tokenizer.vocab_size))
    return Run(directory, config, tokenizer, data, Path(checkpoint) if checkpoint else None)
