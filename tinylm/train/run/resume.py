"""What `--resume` finds: a run's directory, locked, with its configuration, tokenizer and tokens.

A run is continued from a checkpoint with the settings it was begun with, except those that may
change (config.py:MAY_CHANGE), and on the same text: missing or damaged token files are made again
and compared by their sha256. Read next: run.py, which trains what is found.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from tinylm.data.batches.prepare import PREPARED
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.reading import BadLines
from tinylm.train import checkpoint as checkpoints
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.directory import lock, sweep
from tinylm.train.run.recorded import continued
from tinylm.train.run.saved import described, trained_on
from tinylm.train.run.texts import open_text, prepare_text


def reopen(wanted: TrainConfig, report: Callable, given: Collection[str] | None) -> tuple:
    """Find and lock the run that `wanted.resume` names.

    wanted   TrainConfig of the command line
    report   where lines of text for the user go
    given    names of the settings that the user has set; None: those that are not the default
    returns  (TrainConfig to continue with, tokenizer, Prepared, Path of the checkpoint, Lock)
    raises   ConfigError, CheckpointError, DataError; the lock is then released
    """
    if wanted.out and (given is None or "out" in given):
        raise ConfigError(
            f"--resume continues in the run's own directory: leave out --out {wanted.out}"
        )
    directory, path = checkpoints.find_run(wanted.resume)
    held = lock(directory, report)
    try:
        sweep(directory)  # the lock is held: nobody else is writing
        _check_newest(directory, path)
        saved = checkpoints.load(path, files=())
        if "align" in saved.state:
            raise CheckpointError(
                f"{path} was made by `tinylm align`: `tinylm align --resume {directory}` continues "
                "it if it was interrupted"
            )
        if "data" not in saved.state:  # nothing of the optimizer was kept either
            raise CheckpointError(
                f"{path} is a fine-tuned model, whose training cannot be resumed: "
                f"tune it further with `tinylm finetune {directory} --data FILE`"
            )
        # The checkpoint's configuration counts, not RUN/config.json, which is there to be read.
        config, tokenizer = described(saved)
        config = continued(config, wanted, given, source=str(path))
        config = dataclasses.replace(config, out=str(directory), resume=str(path))
        data = _same_data(directory / "data", trained_on(saved), config, tokenizer, report)
    except BaseException:
        held.close()
        raise
    report(f"continuing from {path}")
    return config, tokenizer, data, path, held


def _check_newest(directory, path):
    """Refuse a checkpoint that has later ones: training from it would overwrite them."""
    names = [other.name for other in checkpoints.steps(directory).values()]
    if path.name not in names:
        return
    later = names[names.index(path.name) + 1 :]
    if later:
        raise CheckpointError(
            f"{directory} has later checkpoints, {', '.join(later)}: remove them to continue from "
            f"{path.name}, or continue from the newest with --resume {directory}"
        )


def _same_data(directory, sha256, config, tokenizer, report):
    """The tokens that a run was trained on: the files in `directory`, or the text encoded again."""
    try:
        data = open_text(config, tokenizer, directory)
        if data.meta["sha256"] == sha256:
            data.verify()
            return data
    except DataError:
        pass
    report(f"the tokens in {directory} are missing or damaged: preparing the text again")
    real = Path(os.path.realpath(directory))  # it may be a link
    aside = real.with_name(f"{real.name}.tmp-{os.getpid()}")  # compared before it replaces anything
    try:
        bad = BadLines(config.skip_bad)
        found = prepare_text(config, tokenizer, aside, bad=bad).meta["sha256"]
        if found != sha256:
            text = ", ".join(config.data) or "the help of this Python version"
            raise CheckpointError(
                f"the run was trained on another text than {text} holds now: "
                "resuming needs the same text"
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
    return open_text(config, tokenizer, directory)
