"""A run: from a TrainConfig to a directory with everything in it.

From the command to the arithmetic of its loss:

    cli/learn/train.py          main: prepare_run, then train_run in every worker
    train/run/run.py            prepare_run makes a Run: tokenizer, tokens, rows, objective;
                                train_run makes its model, and calls Trainer.run
    train/trainer.py            run -> advance
    train/step.py               train_step -> accumulate: objective.loss, backward
    pretrain/objectives.py      the row of the objective: its class, its model, its rows
    pretrain/language/causal.py CausalLM.loss: logits and their cross-entropy; others beside it

and the directory:

    RUN/config.json     the configuration, to read; the one that counts is in each checkpoint
        tokenizer.json  the tokenizer
        data/           the text as token ids, prepared once
        dictionary.tsv  where there is one
        lock            the process that trains it (directory.py)
        log.jsonl       losses and rates, step by step (log.py)
        checkpoints/    the newest few (checkpoint.py)

A directory that holds a run is never overwritten: `resume` continues it. Read next: trainer.py;
session.py, which logs, validates and saves meanwhile.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm import tokenizers
from tinylm.backend import backend
from tinylm.data import Prepared
from tinylm.errors import DataError, TrainingError
from tinylm.files import write_text
from tinylm.nn.linear import hidden_matrices
from tinylm.nn.module import Module
from tinylm.nn.recompute import recompute_blocks
from tinylm.optim import AdamW, Averaged, FlatParameters, Muon
from tinylm.reading import BadLines
from tinylm.tokenizers.base import Tokenizer
from tinylm.train import checkpoint as checkpoints
from tinylm.train.alone import ALONE, Workers, broadcast_text
from tinylm.train.interrupt import finish_first
from tinylm.train.patience import Patience
from tinylm.train.precision.mixed import MixedPrecision
from tinylm.train.run.build import new_model
from tinylm.train.run.config import TrainConfig, as_json
from tinylm.train.run.context import cut_line, fitted
from tinylm.train.run.defaults import dial_line
from tinylm.train.run.directory import Begun, Lock, begin
from tinylm.train.run.recorded import from_json
from tinylm.train.run.resume import reopen
from tinylm.train.run.rows import training_rows, validation_rows
from tinylm.train.run.saved import restore
from tinylm.train.run.session import Session
from tinylm.train.run.texts import (
    keep_dictionary,
    kept_dictionary,
    make_tokenizer,
    open_text,
    prepare_text,
    sources_line,
)
from tinylm.train.run.words import word_tables
from tinylm.train.trainer import Trainer


@dataclass(frozen=True)
class Run:
    """A run that is ready to train; train_run adds only the model and its optimizer.

    directory   Path
    config      TrainConfig, the saved one where a run is resumed
    tokenizer   Tokenizer
    special     Special: the special ids that follow the tokenizer's
    data        Prepared: token files of both sides
    rows        to train on: batch(step, start, stop), see rows.py
    validation  rows to validate on: batches(batch_size); None without a validation text
    objective   make_batch(sequences, rng), loss(model, batch)
    checkpoint  Path of the checkpoint to resume from; None: a new run
    lock        Lock of the directory, held until train_run ends; None in workers other than rank 0
    begun       Begun of a new run, which can be undone
    """

    directory: Path
    config: TrainConfig
    tokenizer: object
    special: object
    data: Prepared
    rows: object
    validation: object
    objective: object
    checkpoint: Path | None = None
    lock: Lock | None = None
    begun: Begun | None = None

    def undo(self) -> None:
        """Remove the files of a new run without a checkpoint, so that it can be begun again."""
        if self.begun and checkpoints.latest(self.directory) is None:
            self.begun.undo()


def train_run(
    run: TrainConfig | Run,
    comm: Workers | None = None,
    report: Callable = print,
    make_trainer: Callable | None = None,
) -> dict[str, Any]:
    """Train from a configuration to the end.

    run      Run that prepare_run made before workers were started, so that bad input is reported by
             the process the user started; or a TrainConfig, which is prepared here
    comm     communicator whose every worker calls this; None: this process alone
    report   where lines of text for the user go; only rank 0 reports
    make_trainer  (run, comm) -> Trainer; None: new_trainer
    returns  dict: run, step, loss, validation_loss, tokens_per_second, seconds, parameters,
             interrupted, signal (its number, or None), best (step and validation loss, with
             patience); of causal language modeling also perplexity and bits_per_byte
    raises   TinylmError
    """
    comm = comm or ALONE
    if comm.rank != 0:  # every worker calls the same functions; one of them writes to the user

        def report(line):
            return None

    if not isinstance(run, Run):
        run = prepare_together(run, comm, report)
    try:
        with contextlib.ExitStack() as until_saved:
            # From here on a signal lets the current step finish and its result be saved.
            until_saved.enter_context(finish_first())
            make_trainer = make_trainer or new_trainer
            trainer, patience = make_trainer(run, comm), Patience(run.config.patience)
            if run.checkpoint:
                restore(run.checkpoint, trainer, patience)
            session = Session(run, trainer, patience, report)
            session.start()
            try:
                # A resumed run whose patience was lost already trains no further.
                finished = patience.lost or trainer.run(
                    run.config.steps, session.after_step, say=session.interrupted
                )
                session.save()
                until_saved.close()  # from here on a signal ends the process again
            except TrainingError as error:
                saved = checkpoints.latest(run.directory) or "nothing"
                raise TrainingError(f"{error}. Saved so far: {saved}") from None
            finally:
                session.close_progress()
            return session.end(finished)
    finally:
        if run.lock:
            run.lock.close()


def new_trainer(run: Run, comm: Workers | None) -> Trainer:
    """The Trainer of a run: its model, freshly initialized, and AdamW on its parameters."""
    config = run.config
    backend(config.device)  # raises here if the device is missing, before a model is made
    model = new_model(config, run.special).to(config.device)
    if config.checkpointing:
        recompute_blocks(model)
    shared = None  # workers on one machine hold the parameters in shared memory
    if config.device == "cpu":
        shared = getattr(comm, "empty", None)
    flat = FlatParameters(model.named_parameters(), shared)
    make = Trainer
    if config.mixed:
        make = functools.partial(MixedPrecision, format=config.dtype)
    return make(
        model,
        run.objective,
        new_optimizer(config, flat, model),
        run.rows.batch,
        config.batch_size,
        config.learning_rate,
        config.clip,
        config.micro_batch,
        config.seed,
        comm,
    )


def new_optimizer(
    config: TrainConfig, flat: FlatParameters, model: Module | None = None
) -> AdamW | Averaged:
    """The optimizer of a configuration, on the FlatParameters of a model.

    model  whose matrices Muon is to update; AdamW needs none
    """
    rest = {"betas": tuple(config.betas), "weight_decay": config.weight_decay}
    if config.optimizer == "muon":
        trained = set(flat.names)
        matrices = [name for name in hidden_matrices(model) if name in trained]
        optimizer = Muon(flat, matrices, config.peak_lr, config.muon_scale, **rest)
    else:
        optimizer = AdamW(flat, config.peak_lr, **rest)
    if config.average:
        return Averaged(optimizer, config.average)
    return optimizer


def prepare_run(
    config: TrainConfig, report: Callable = print, given: Collection[str] | None = None
) -> Run:
    """Make the directory of a new run, with tokenizer and data; or find those of an old one.

    given    names of the settings that the user has set (for resume); None: those that are not the
             default
    returns  Run
    raises   ConfigError, DataError, CheckpointError; what was begun is removed again, and only that
    """
    config.check()
    if config.resume:
        config, tokenizer, data, checkpoint, held = reopen(config, report, given)
        try:
            return _ready(config, tokenizer, data, checkpoint=checkpoint, lock=held)
        except BaseException:
            held.close()
            raise
    # A new run. Whatever fails from here on, the directory is left as it was found.
    begun, bad = begin(config.out, report), BadLines(config.skip_bad)
    directory = begun.path
    try:
        config = dataclasses.replace(config, out=str(directory))
        tokenizer = make_tokenizer(config)
        tokenizer.save(directory / "tokenizer.json")
        data = prepare_text(config, tokenizer, directory / "data", bad=bad)
        keep_dictionary(config, directory)
        config = fitted(config, data, given, report)
        # Rows and objective are made before workers start, so that an unsuitable text raises here.
        run = _ready(config, tokenizer, data, lock=begun.lock, begun=begun)
        text = json.dumps(as_json(config), indent=2)
        write_text(directory / "config.json", text + "\n")
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
    if cut := cut_line(config, data):
        report(f"text: {cut}")
    train, val = data.meta["train"], data.meta["val"]
    report(
        f"text: {train['characters'] + val['characters']:,} characters; {train['tokens']:,} tokens "
        f"to learn from, {val['tokens']:,} to validate; vocabulary {tokenizer.vocab_size}"
    )
    if config.depth:
        report(dial_line(config, train["tokens"]))
    return run


def _ready(config, tokenizer, data, **more):
    """The Run of a directory that is complete. Raises DataError if the text is too short,
    ConfigError if it lacks what the objective needs.
    """
    directory, validation = Path(config.out), None
    special = config.special(tokenizer.vocab_size)
    rows = training_rows(config, data.train, special)
    if config.val_fraction:
        validation = validation_rows(config, data.val, special)
    dictionary = kept_dictionary(config, directory)
    objective = new_objective(config, tokenizer, data.train.tokens, dictionary)
    return Run(directory, config, tokenizer, special, data, rows, validation, objective, **more)


def new_objective(
    config: TrainConfig,
    tokenizer: Tokenizer,
    corpus: np.ndarray,
    dictionary: dict[str, list[str]] | None = None,
) -> Any:
    """The objective of a configuration, by the recipe of its name.

    corpus      (N,) ids of the training text, where negatives are drawn from
    dictionary  {word: [translations]}, for code-switching
    returns     make_batch(sequences, rng), loss(model, batch)
    raises      ConfigError for a text that lacks what the objective works on
    """
    recipe, special = config.recipe, config.special(tokenizer.vocab_size)
    tables = word_tables(recipe.needs, tokenizer, special.vocab_size, dictionary)
    objective = recipe.build(special, corpus=corpus, **tables)
    if config.experts:
        objective = dataclasses.replace(objective, balance=config.balance)
    return objective


def prepare_together(
    config: TrainConfig,
    comm: Workers | None,
    report: Callable = print,
    given: Collection[str] | None = None,
) -> Run:
    """prepare_run by rank 0, while the others wait; then all open the same files.

    given    as of prepare_run
    returns  Run, on every rank
    """
    run, text = None, ""
    if comm.rank == 0:
        run = prepare_run(config, report, given)
        text = json.dumps([str(run.directory), str(run.checkpoint or ""), as_json(run.config)])
    directory, checkpoint, values = json.loads(broadcast_text(comm, text))
    if run is not None:
        return run
    directory, config = Path(directory), from_json(values, directory)
    tokenizer = tokenizers.load(directory / "tokenizer.json")
    data = open_text(config, tokenizer, directory / "data")
    return _ready(config, tokenizer, data, checkpoint=Path(checkpoint) if checkpoint else None)
