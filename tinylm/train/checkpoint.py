"""Checkpoints that survive anything: a directory written aside, checked by checksums, renamed when complete.

    RUN/checkpoints/step-000500/state.json      configuration, tokenizer, scalars, and what each array must be
                                model.npz       one array per parameter
                                optimizer.npz   one array per moment

A rename is atomic, so a directory without ".tmp-" in its name is complete, whenever the process or the machine died.
Everything is verified on loading: state.json carries the SHA-256 of its content and of every array, so a file cut
short or edited gives one error that names it. Arrays are never pickled. Read next: trainer.py.
"""
import contextlib
import hashlib
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError

FORMAT, STATE, AREA = 1, "state.json", "checkpoints"
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint. `state` is what was given to save; `arrays` {file: {name: array}} as far as asked for."""

    path: Path
    state: dict
    arrays: dict


def save(path, arrays, state):
    """Write a checkpoint directory, all or nothing.

    path    must not exist
    arrays  {file: {name: array}}; each file becomes file.npz; arrays of any device
    state   JSON-able dict
    raises  CheckpointError if the disk is full or may not be written; nothing that was there before has been touched
    """
    path = Path(path)
    aside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        if path.exists():
            raise CheckpointError(f"save checkpoint: {path} exists already")
        described = {file: {name: _describe(array) for name, array in members.items()}
                     for file, members in arrays.items()}
        aside.mkdir(parents=True)
        for file, members in arrays.items():
            with open(aside / f"{file}.npz", "wb") as out:
                _write_npz(out, members)
                _to_disk(out)
        content = {"format": FORMAT, "arrays": described, "state": state}
        with open(aside / STATE, "w", encoding="utf-8") as out:
            json.dump({"sha256": _content_hash(content), **content}, out, indent=1)
            _to_disk(out)
        _directory_to_disk(aside)
        os.rename(aside, path)
        _directory_to_disk(path.parent)
    except OSError as error:
        raise CheckpointError(f"save checkpoint: cannot write {path} ({error.strerror or error}); earlier checkpoints "
                              "are untouched: free space or permit writing, then go on with --resume") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_npz(out, members):
    """What np.savez writes, but never a pickle, and the same bytes for the same arrays: no time stamps."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, to_cpu(array), allow_pickle=False)


def load(path, files=None):
    """Read and verify a checkpoint directory.

    files    names of the array files wanted; None: all
    returns  Checkpoint
    raises   CheckpointError naming the file or array that is missing, cut short, edited, or pickled
    """
    path = Path(path)
    content = _read_state(path / STATE)
    arrays = {}
    for file, members in content["arrays"].items():
        if files is None or file in files:
            arrays[file] = _read_arrays(path / f"{file}.npz", members)
    return Checkpoint(path, content["state"], arrays)


def _read_state(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        claimed = content.pop("sha256")
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path.parent}: {path.name} is not there") from None
    except OSError as error:
        raise CheckpointError(f"checkpoint {path.parent}: {path.name} cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"it is cut short or no checkpoint's JSON ({error})") from None
    if content.get("format", FORMAT) != FORMAT:
        raise CheckpointError(f"checkpoint {path.parent} has format {content['format']!r}, this tinylm reads {FORMAT}")
    if _content_hash(content) != claimed:
        raise _damaged(path, "its content does not match its checksum: it was edited")
    return content


def _read_arrays(path, members):
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _damaged(path, "it is not an .npz archive")
            if set(archive.files) != set(members):
                differing = sorted(set(archive.files) ^ set(members))
                raise _damaged(path, f"its arrays are not those that {STATE} lists: {differing[:5]}")
            return {name: _verified(path, name, archive, expected) for name, expected in members.items()}
    except FileNotFoundError:
        raise _damaged(path, "it is missing") from None
    except OSError as error:
        raise CheckpointError(f"checkpoint file {path} cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, ValueError, EOFError, AttributeError) as error:
        pickled = "pickle" in str(error).lower()
        raise (_refused(path) if pickled else _damaged(path, f"it is cut short or no .npz archive ({error})")) from None


def _verified(path, name, archive, expected):
    try:
        array = archive[name]
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError, NotImplementedError, SyntaxError) as error:
        if "object arrays" in str(error).lower() or "pickle" in str(error).lower():
            raise _refused(path, name) from None
        raise _damaged(path, f"array {name!r} cannot be read ({error})") from None
    found = _describe(array)
    if found != expected:
        what = next(key for key in expected if found.get(key) != expected[key])
        raise _damaged(path, f"array {name!r} has {what} {found[what]}, but {STATE} says {expected[what]}")
    return array


def _damaged(path, why):
    return CheckpointError(f"checkpoint file {path} is damaged: {why}; use another checkpoint of the run")


def _refused(path, name=None):
    what = f"array {name!r} holds" if name else "it holds"
    return CheckpointError(f"checkpoint file {path} is refused: {what} pickled objects, which can run any code when "
                           "they are read; tinylm writes and reads plain numbers only")


def _describe(array):
    array = to_cpu(array)
    if array.dtype.hasobject:
        raise CheckpointError(f"save checkpoint: an array of {array.dtype} is not numbers and would have to be pickled")
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return {"shape": list(array.shape), "dtype": array.dtype.str, "sha256": hashlib.sha256(data).hexdigest()}


def _content_hash(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _directory_to_disk(path):
    """Make a rename or a new file durable; some systems cannot sync a directory, and do it by themselves."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def steps(run):
    """{step: path} of the complete checkpoints of a run, oldest first."""
    area = Path(run) / AREA
    found = [(_NAME.fullmatch(path.name), path) for path in (area.iterdir() if area.is_dir() else ())]
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def latest(run):
    """The path of the newest complete checkpoint of a run, or None."""
    return next(reversed(steps(run).values()), None)


def find(path):
    """The checkpoint that a user means by a run (its newest) or by a checkpoint directory itself.

    returns  (run directory, checkpoint directory)
    raises   CheckpointError if there is none
    """
    path = Path(path)
    if (path / STATE).exists() or _NAME.fullmatch(path.name):
        return path.resolve().parent.parent, path
    if not path.is_dir():
        raise CheckpointError(f"no run at {str(path)!r}: give the directory that `tinylm train` printed")
    newest = latest(path)
    if newest is None:
        raise CheckpointError(f"{path} holds no complete checkpoint: the run ended before its first, or is not that far yet. "
                              "Start it again: `tinylm train` with another --out, or remove this directory first")
    return path, newest


def save_step(run, step, arrays, state, keep=2, best=None):
    """Write RUN/checkpoints/step-N and then remove all but the newest `keep`, and what killed processes left behind.

    best     another step whose checkpoint stays, or None

    A checkpoint of this very step that exists is kept as it is: it was verified complete by its rename.
    returns  its path
    """
    path = Path(run) / AREA / f"step-{step:06d}"
    if not path.exists():
        save(path, arrays, state)
    old = [other for n, other in list(steps(run).items())[:-keep] if n != best]
    for stale in [*old, *(p for p in path.parent.iterdir() if ".tmp-" in p.name)]:
        doomed = stale if ".tmp-" in stale.name else stale.with_name(f"{stale.name}.tmp-{os.getpid()}")
        with contextlib.suppress(OSError):
            if doomed is not stale:
                os.rename(stale, doomed)                  # a half-removed checkpoint must not look complete
            shutil.rmtree(doomed)
    return path
