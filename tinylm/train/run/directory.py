"""The directory of a run: taken once, used by one process at a time, removed after a failed start.

The process that takes a directory creates RUN/lock, which only one process can do. While it trains,
it holds a flock on that file; the kernel releases it when the process ends, however it ends, so no
stale lock is left behind. Read next: run.py.
"""

import atexit
import contextlib
import itertools
import os
import platform
import re
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError
from tinylm.train import checkpoint as checkpoints

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None

LOCK = "lock"
# What a run holds before its first checkpoint.
STARTED = "tokenizer.json", "config.json", "settings.json", "dictionary.tsv", "log.jsonl"
_ASIDE = re.compile(
    r"(config\.json|settings\.json|tokenizer\.json|log\.jsonl|meta\.json|\w+\.bin)\.tmp-\d+"
)


class Lock:
    """A held lock. Forked workers share it: it is free once each of them has closed it or ended."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def close(self) -> None:
        """Release this process's share of the lock."""
        handle, self.handle = self.handle, None
        if handle is not None:
            os.close(handle)

    __del__ = close


def lock(directory: str | Path, report: Callable = lambda line: None) -> Lock:
    """Lock a run, so that no other process trains in its directory.

    report   called with a line of text where this system has no locks
    returns  Lock
    raises   CheckpointError naming the process that holds it
    """
    path = Path(directory) / LOCK
    try:
        held = Lock(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    except OSError as error:
        raise CheckpointError(
            f"cannot lock the run: {path} cannot be opened ({error.strerror}): permit writing"
        ) from None
    if fcntl is None:  # the run is trained without a lock
        report(
            f"this system has no file locks (fcntl): do not resume {directory} while it is trained"
        )
        return held
    try:
        fcntl.flock(held.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(held.handle, 200, 0).decode("utf-8", "replace").strip()
        owner = owner or "another process"
        held.close()
        raise CheckpointError(
            f"{directory} is being trained by {owner}: wait until it has ended, or end it, "
            "then continue with --resume"
        ) from None
    except OSError as error:  # some network file systems
        report(
            f"{path} cannot be locked ({error.strerror}): do not resume {directory} while "
            "it is trained"
        )
        return held
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    owner = f"process {os.getpid()} on {platform.node()} since {since}\n"
    # The owner's name is for the error of others; the lock is the kernel's.
    os.ftruncate(held.handle, 0)
    os.pwrite(held.handle, owner.encode(), 0)
    return held


def sweep(directory: str | Path) -> None:
    """Remove half-written files of a killed process from a locked run; see files.py."""
    for folder in (Path(directory), Path(directory) / "data"):
        for path in folder.glob("*.tmp-*"):
            if _ASIDE.fullmatch(path.name):
                path.unlink(missing_ok=True)
    for path in Path(directory).glob("data.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


class Begun:
    """The directory of a new run, `path`, locked; `undo()` after a failed start."""

    def __init__(self, path: str | Path, made: bool, held: Lock) -> None:
        self.path, self.made, self.lock = path, made, held

    def undo(self) -> None:
        """Remove the files of the start, and the directory if it was made for the run."""
        for name in STARTED:
            self.path.joinpath(name).unlink(missing_ok=True)
        try:
            self.path.joinpath(LOCK).unlink(missing_ok=True)
        except PermissionError:  # Windows removes no file that is open
            self.lock.close()
            self.path.joinpath(LOCK).unlink(missing_ok=True)
        self.lock.close()
        self._remove_folders()
        # Nor one that is mapped, as the tokens are while an error is on its way to the user.
        if (self.path / "data").exists():
            atexit.register(self._remove_folders)

    def _remove_folders(self):
        shutil.rmtree(self.path / "data", ignore_errors=True)
        for unfinished in self.path.glob(f"{checkpoints.AREA}/*.tmp-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        with contextlib.suppress(OSError):  # it does not exist, or holds a checkpoint
            self.path.joinpath(checkpoints.AREA).rmdir()
        if self.made:
            with contextlib.suppress(OSError):  # it holds a file that is not the run's
                self.path.rmdir()


def begin(
    out: str, report: Callable = lambda line: None, otherwise: str | Path | None = None
) -> Begun:
    """Take the directory of a new run, which must not exist yet or be empty.

    out        its path; "": `otherwise`, or if that is taken the same with a number
    otherwise  None: runs/ and the time
    returns    Begun
    raises     ConfigError if it is not empty, or cannot be made
    """
    first = Path(out or otherwise or Path("runs") / time.strftime("%Y%m%d-%H%M%S"))
    numbered = (first.with_name(f"{first.name}-{i}") for i in itertools.count(2))
    for path in itertools.chain([first], numbered):
        try:
            made = _take(path)
            return Begun(path, made, lock(path, report))
        except FileExistsError:
            if out:
                raise ConfigError(_occupied(path, resumes=otherwise is None)) from None
        except OSError as error:
            raise ConfigError(
                f"cannot make the directory {path} ({error.strerror}): choose another --out"
            ) from None


def _take(path):
    """Make `path`, or find it empty, and create its lock file.

    returns  True if it was made
    raises   FileExistsError if it is taken
    """
    made = True
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        if not path.is_dir() or any(path.iterdir()):
            raise
        made = False
    # Two processes may both have seen an empty directory: only one of them makes this file.
    os.close(os.open(path / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))
    return made


def _occupied(path, resumes):
    there = f"{path} exists already and is not overwritten"
    if resumes and path.is_dir() and checkpoints.latest(path):
        return (
            f"{there}: continue it with --resume {shlex.quote(str(path))}, or choose another --out"
        )
    started = (path / LOCK).exists() or (path / "config.json").exists()
    if started and not checkpoints.latest(path):
        return (
            f"{there}: it holds a run without a checkpoint, which is still starting or ended "
            "before its first: choose another --out, or remove the directory if nothing is "
            "running in it"
        )
    return f"{there}: choose another --out"
