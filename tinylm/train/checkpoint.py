"""Checkpoints that survive anything: a directory written aside, checked by checksums, renamed when
complete.

    RUN/checkpoints/step-000500/
        state.json      configuration, tokenizer, scalars; shape, dtype, checksum of every array
        model.npz       one array per parameter
        optimizer.npz   one array per moment

A rename is atomic, so a directory without ".tmp-" in its name is complete, whenever the process or
the machine died. Everything is verified on loading: state.json carries the SHA-256 of its content
and of every array, so a file cut short or edited gives one error that names it. Read next: npz.py,
the files of arrays; trainer.py.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.errors import CheckpointError
from tinylm.fields import Fields, show
from tinylm.files import inside, read_json
from tinylm.train import npz

FORMAT, STATE, AREA = 1, "state.json", "checkpoints"
_NAME = re.compile(r"step-(\d+)")
_OF_A_RUN = (AREA, "config.json", "lock")  # at least one of them is there from a run's start on


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    state      the dict that was given to save
    arrays     {file: {name: array}} of the files that were loaded
    described  {file: {name: {"shape", "dtype", "sha256"}}}
    """

    path: Path
    state: dict
    arrays: dict
    described: dict


def save(path: Path, arrays: dict[str, dict[str, np.ndarray]], state: dict[str, Any]) -> None:
    """Write a checkpoint directory, all or nothing.

    path    must not exist
    arrays  {file: {name: array}}; each file becomes file.npz; arrays of any device
    state   JSON-able dict
    raises  CheckpointError if the disk is full or may not be written; nothing that was there before
            has been touched
    """
    path = Path(path)
    aside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        if path.exists():
            raise CheckpointError(f"save checkpoint: {path} exists already")
        described = {
            file: {name: npz.describe(array) for name, array in members.items()}
            for file, members in arrays.items()
        }
        # Everything is written aside and reaches the disk (fsync) before the rename makes it a
        # checkpoint: a rename that survives a crash never names files that did not.
        aside.mkdir(parents=True)
        for file, members in arrays.items():
            with open(aside / f"{file}.npz", "wb") as out:
                npz.write(out, members)
                _to_disk(out)
        content = {"format": FORMAT, "arrays": described, "state": state}
        with open(aside / STATE, "w", encoding="utf-8") as out:
            json.dump({"sha256": _content_hash(content), **content}, out, indent=1)
            _to_disk(out)
        _directory_to_disk(aside)
        os.rename(aside, path)
        _directory_to_disk(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"save checkpoint: cannot write {path} ({error.strerror or error}); earlier "
            "checkpoints are untouched: free space or permit writing, then continue with --resume"
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(
    path: Path,
    files: tuple[str, ...] | None = None,
    expected: dict[str, dict[str, tuple]] | None = None,
) -> Checkpoint:
    """Read and verify a checkpoint directory.

    files     names of the array files wanted; None: all
    expected  {file: {name: (shape, dtype)}} that the arrays must have, checked before any is read;
              None: whatever was saved
    returns   Checkpoint
    raises    CheckpointError naming the file, and the field or array, that is missing, cut short,
              edited, of another shape, or pickled
    """
    path = Path(path)
    content = _read_state(path / STATE)
    lists, arrays = _described(path, content), {}
    wanted = [file for file in lists if files is None or file in files]
    for file in expected or ():
        if file not in wanted:
            raise CheckpointError(f"checkpoint file {path / STATE}: arrays.{file} is missing")
    # Shapes are compared for all files before memory is taken for any.
    for file in wanted:
        if expected is not None:
            npz.check_expected(path / f"{file}.npz", lists[file], expected.get(file, {}))
    for file in wanted:
        arrays[file] = npz.read(_inside(path, f"{file}.npz"), lists[file])
    return Checkpoint(path, content.object("state").values, arrays, lists)


def _read_state(path):
    """The content of state.json as Fields, its checksum verified."""
    try:
        content = read_json(_inside(path.parent, path.name))
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path.parent}: {path.name} is not there") from None
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path.parent}: {path.name} cannot be read ({error.strerror})"
        ) from None
    except ValueError as error:
        raise npz.damaged(path, f"it is cut short or no checkpoint's JSON ({error})") from None
    content = Fields(content, f"checkpoint file {path} is damaged")
    # The checksum is of everything else in the file.
    content.text("sha256")
    claimed = content.values.pop("sha256")
    if content.values.get("format", FORMAT) != FORMAT:
        raise CheckpointError(
            f"checkpoint {path.parent} has format {show(content.values['format'])}, "
            f"this tinylm reads {FORMAT}"
        )
    if _content_hash(content.values) != claimed:
        raise npz.damaged(path, "its content does not match its checksum: it was edited")
    content.one_of("format", [FORMAT])
    return content


def _described(path, content):
    """{file: {name: description}} of a state.json."""
    lists = {}
    for file in content.object("arrays").values:
        _inside(path, f"{file}.npz")
        members = content.object("arrays").object(file)
        lists[file] = {name: npz.described(members, name) for name in members.values}
    return lists


def _inside(folder, name):
    """The path of a file of a checkpoint. Raises CheckpointError if it leads out of the folder."""
    try:
        return inside(folder, name)
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder} is refused: {error}") from None


def _content_hash(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _directory_to_disk(path):
    """Make a rename or a new file durable."""
    # Some systems cannot sync a directory, and need not.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def steps(run: str | Path) -> dict[int, Path]:
    """{step: path} of the complete checkpoints of a run, oldest first."""
    area = Path(run) / AREA
    if not area.is_dir():
        return {}
    found = {}
    for path in area.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def latest(run: str | Path) -> Path | None:
    """The path of the newest complete checkpoint of a run, or None."""
    return next(reversed(steps(run).values()), None)


def find_run(path: str | Path) -> tuple[Path, Path]:
    """The checkpoint that a path names: a run stands for its newest one.

    path     a run, or a checkpoint directory
    returns  (run directory, checkpoint directory)
    raises   CheckpointError if there is none
    """
    path = Path(path)
    if (path / STATE).exists() or _NAME.fullmatch(path.name):
        return path.resolve().parent.parent, path
    if not path.is_dir():
        raise CheckpointError(f"no run at {str(path)!r}: give the directory that a run printed")
    newest = latest(path)
    if newest is None and not any((path / part).exists() for part in _OF_A_RUN):
        raise CheckpointError(
            f"{path} holds no complete checkpoint, nor anything else of a run: give the directory "
            "that a run printed"
        )
    if newest is None:
        raise CheckpointError(
            f"{path} holds no complete checkpoint: the run ended before its first, or has not "
            "reached it yet. Start it again by the command that made it, with another --out, or "
            "remove this directory first"
        )
    return path, newest


def save_step(
    run: str | Path,
    step: int,
    arrays: dict[str, dict[str, np.ndarray]],
    state: dict[str, dict[str, Any]],
    keep: int = 2,
    best: int | None = None,
) -> Path:
    """Write RUN/checkpoints/step-N, then remove all but the newest `keep`, and leftovers of killed
    processes.

    best     another step whose checkpoint stays, or None
    returns  the path written. One of this step that exists already is kept: its name shows that it
             is complete
    """
    path = Path(run) / AREA / f"step-{step:06d}"
    if not path.exists():
        save(path, arrays, state)
    for n, old in list(steps(run).items())[:-keep]:
        if n != best:
            doomed = old.with_name(f"{old.name}.tmp-{os.getpid()}")
            with contextlib.suppress(OSError):
                os.rename(old, doomed)  # a half-removed checkpoint must not look complete
    for doomed in list(path.parent.iterdir()):
        if ".tmp-" in doomed.name:
            with contextlib.suppress(OSError):
                shutil.rmtree(doomed)
    return path
