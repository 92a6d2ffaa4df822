"""Files that are written whole or not at all, and JSON that is read with errors of one kind.

New content is written to a file beside the target, TARGET.tmp-PID, which replaces the target by one
rename: after a crash or on a full disk an older file is unchanged. What a killed process left there
is removed when the target is written again, a day later at the earliest. Read next: backend.py.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from tinylm.errors import CheckpointError
from tinylm.fields import show

LARGEST_JSON = 1 << 28  # bytes; the vocabulary of a large model takes a tenth of that
DEEPEST = 50  # levels of JSON
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
ABANDONED = 24 * 3600  # seconds since the last write: another machine's process may still be alive
_LINKS = 40  # symbolic links that are followed one after another, as Linux does


class WholeFile:
    """A file that replaces its target when it is complete.

        with WholeFile(path) as out:
            out.write(data)

    path    a symbolic link is kept: the file that it points to is written. A device or a pipe
            (/dev/null, /dev/stdout) is never replaced: it is written directly
    file    the open file, for bytes
    raises  OSError; then an older file is unchanged, and no temporary file is left
    """

    def __init__(self, path: str | Path) -> None:
        self.target = Path(path)
        self.aside = None  # the temporary file; None for a device
        regular = _regular_target(self.target)
        if regular is None:
            self.file = open(self.target, "wb")
            return
        self.target = regular
        self.aside = regular.with_name(f"{regular.name}.tmp-{os.getpid()}")
        remove_abandoned(regular)
        try:
            self.file = open_fresh(self.aside)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(regular)) from None
        with contextlib.suppress(OSError):  # there is no older file, or its mode cannot be set
            shutil.copymode(regular, self.aside)

    def keep(self) -> None:
        """Write the file to disk and move it to its target."""
        self.file.flush()
        if self.aside is None:
            self.file.close()
            return
        # Without fsync the rename may reach the disk before the content: after a crash the file
        # would be empty.
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.aside, self.target)

    def discard(self) -> None:
        """Remove the temporary file; bytes written to a device cannot be taken back."""
        with contextlib.suppress(OSError):  # close() flushes, which fails on a full disk
            self.file.close()
        if self.aside is not None:
            self.aside.unlink(missing_ok=True)

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.keep()
        finally:
            self.discard()  # after keep() there is nothing left to remove


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all; see WholeFile. Raises OSError."""
    data = text.encode("utf-8")
    with WholeFile(path) as out:
        out.write(data)


def open_fresh(path: Path) -> BinaryIO:
    """Open a new file for writing bytes. An old file or link of that name is removed first."""
    Path(path).unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def remove_abandoned(target: Path) -> None:
    """Remove temporary files of a target that killed processes have left beside it.

    Only regular files are removed whose process does not live on this machine, and that nobody has
    written to since ABANDONED: on a shared disk the process may be another machine's.
    """
    if os.name != "posix":  # elsewhere os.kill(pid, 0) would end the process
        return
    name = re.compile(re.escape(target.name) + r"\.tmp-(\d{1,9})", re.ASCII)
    # If the folder cannot be read, what is left stays.
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            found = name.fullmatch(entry.name)
            if found and _abandoned(entry.stat(follow_symlinks=False), int(found[1])):
                os.unlink(entry.path)


def _abandoned(status, pid):
    """True for a regular file of a process that is gone, not written to for a day."""
    if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < ABANDONED:
        return False
    try:
        os.kill(pid, 0)  # sends nothing: it only asks
    except ProcessLookupError:
        return True
    except OSError:  # it lives, and is somebody else's
        return False
    return False


def _regular_target(path):
    """The file that a rename may replace, with links followed; None for a device or a pipe."""
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        # /dev/stdout, /dev/fd/3: an open file, on some systems by a link into /proc
        if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
            return None
        if not path.is_symlink():
            break  # skips the else below
        path = path.parent / os.readlink(path)
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return path
    if stat.S_ISREG(mode):
        return path
    return None


def read_json(path: str | Path) -> Any:
    """The value in a JSON file, UTF-8 with or without a byte order mark.

    raises   OSError if it cannot be read; ValueError if it is not JSON, nested too deeply, or too
             large
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_JSON:
            raise ValueError(f"it has {size} bytes, more than {LARGEST_JSON}")
        return parse_json(file.read())


def read_object(path: str | Path, hint: str = "") -> dict[str, Any]:
    """The object in a JSON file, read by read_json().

    hint     added to the message if it cannot be read
    raises   CheckpointError naming the file, if it cannot be read or is no object
    """
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}{hint}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is {show(found)}; it must be an object {{...}}")
    return found


def parse_json(data: bytes) -> Any:
    """The value in bytes of JSON. Raises ValueError, also where Python raises RecursionError."""
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=distinct)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Level by level, without recursion. Deeper values could be parsed, but not printed or written.
    level = [value]
    for _ in range(DEEPEST):
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of (name, value) pairs. Raises ValueError if a name occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {twice!r:.60} stands twice")
    return found


def _inner(value):
    """The lists and objects directly in a JSON value, one level down."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, (dict, list))]


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading bytes, without blocking.

    Opening a pipe would wait for its writer.

    raises   OSError, also for anything that is no regular file
    """
    file = open(path, "rb", opener=_without_waiting)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def inside(folder: str | Path, name: str) -> Path:
    """The path of a file named by an index, which must lie directly in `folder`.

    raises   ValueError for a path, an empty name, or a link that leads out of the folder
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{str(name)[:60]!r} is not a plain name of a file in {folder}")
    path = Path(folder) / name
    if os.path.realpath(path.parent) != os.path.dirname(os.path.realpath(path)):
        raise ValueError(f"{name!r} is a link that leads out of {folder}")
    return path
