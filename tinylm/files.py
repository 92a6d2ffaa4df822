"""Files that are written whole or not at all, and JSON that is read with errors of one kind.

What is written goes to a file beside the target, which takes its place by one rename: a crash or a
full disk leaves an older file as it was. Read next: backend.py.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections import Counter
from pathlib import Path

from tinylm.errors import CheckpointError
from tinylm.fields import show

LARGEST_JSON = 1 << 28  # bytes; the vocabulary of a large model takes a tenth of that
DEEPEST = 50  # levels of JSON
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_LINKS = 40  # symbolic links that are followed one after another, as Linux does


class WholeFile:
    """A file that appears when it is complete.

        with WholeFile(path) as out:
            out.write(data)

    path    a symbolic link stays one: the file that it leads to is written. A device or a pipe
            (/dev/null, /dev/stdout) is never replaced: it is written straight through
    file    the open file, for bytes
    raises  OSError; then an older file is as it was, and nothing is left beside it
    """

    def __init__(self, path):
        self.target, self.aside = Path(path), None
        regular = _regular_target(self.target)
        if regular is None:
            self.file = open(self.target, "wb")
            return
        self.target = regular
        self.aside = regular.with_name(f"{regular.name}.tmp-{os.getpid()}")
        try:
            self.file = open_fresh(self.aside)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(regular)) from None
        with contextlib.suppress(OSError):  # there is no older file, or its mode cannot be given
            shutil.copymode(regular, self.aside)

    def keep(self):
        """Force what was written to disk and put the file in its place."""
        self.file.flush()
        if self.aside is None:
            self.file.close()
            return
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.aside, self.target)

    def discard(self):
        """Remove what was written so far; what went to a device is gone."""
        with contextlib.suppress(OSError):  # a full disk refuses the last buffer: nothing to keep
            self.file.close()
        if self.aside is not None:
            self.aside.unlink(missing_ok=True)

    def __enter__(self):
        return self.file

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.keep()
        finally:
            self.discard()


def write_text(path, text):
    """Write a text as UTF-8, whole or not at all; see WholeFile. Raises OSError."""
    data = text.encode("utf-8")
    with WholeFile(path) as out:
        out.write(data)


def open_fresh(path):
    """Open a new file for writing bytes. What has the name is removed: a link is not followed."""
    Path(path).unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def _regular_target(path):
    """The file that a rename may replace, links followed; None: a device, a pipe, a directory."""
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        # /dev/stdout, /dev/fd/3: a file that is open, in some systems by a link into /proc
        if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
            return None
        if not path.is_symlink():
            break
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


def read_json(path):
    """The value in a JSON file, UTF-8 with or without a byte order mark.

    raises   OSError if it cannot be read; ValueError if it is no JSON, nested too deeply, or too
             large
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_JSON:
            raise ValueError(f"it has {size} bytes, more than {LARGEST_JSON}")
        return parse_json(file.read())


def read_object(path, hint=""):
    """The object in a JSON file, as read_json() reads it.

    hint     follows the reason why it cannot be read
    raises   CheckpointError naming the file, if it cannot be read or is no object
    """
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}{hint}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is {show(found)}; it must be an object {{...}}")
    return found


def parse_json(data):
    """The value in bytes of JSON. Raises ValueError, also where Python's own parser has others."""
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=distinct)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [value]
    for _ in range(DEEPEST):  # what lies deeper could be read, but neither shown nor written
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def distinct(pairs):
    """The object of some (name, value); ValueError where a name stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {twice!r:.60} stands twice")
    return found


def _inner(value):
    """The lists and objects that stand directly in a JSON value."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]


def open_regular(path):
    """Open a regular file for reading bytes, never waiting: opening a pipe waits for its writer.

    raises   OSError, also for what is no regular file
    """
    file = open(path, "rb", opener=_without_waiting)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def inside(folder, name):
    """The path of a file that an index names, which must lie in `folder` itself.

    raises   ValueError for a path, a name of nothing, or a link that leads out of the folder
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{str(name)[:60]!r} is not a plain name of a file in {folder}")
    path = Path(folder) / name
    if os.path.realpath(path.parent) != os.path.dirname(os.path.realpath(path)):
        raise ValueError(f"{name!r} is a link that leads out of {folder}")
    return path
