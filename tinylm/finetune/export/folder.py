"""A folder that appears when it is complete, and replaces nothing but an earlier one of its kind.

    with WholeFolder("runs/model") as aside:
        ...                                   files are written into `aside`

What is written is listed, with checksums, in tinylm_export.json: a folder in which anything else
lies, or in which a file was changed since, is somebody's work and is refused. Read first: files.py.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError
from tinylm.fields import of_type, show
from tinylm.files import open_regular, read_json, write_text

MANIFEST = "tinylm_export.json"
_SHOWN = 4  # names in a message
_PART = 1 << 22  # bytes of a file in memory at a time


class WholeFolder:
    """A folder written beside its place and renamed; see the top of this file.

    path    where it appears; its parent is made
    begin   ids that `tinylm generate` puts before a prompt
    raises  ConfigError naming what is there already; CheckpointError if it cannot be written
    """

    def __init__(self, path, begin=()):
        self.path, self.begin = Path(os.path.abspath(path)), list(begin)
        self.aside = None

    def __enter__(self):
        check_free(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.aside = Path(
                tempfile.mkdtemp(prefix=f".{self.path.name}.tmp-", dir=self.path.parent)
            )
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(self.aside, 0o777 & ~mask)  # as mkdir would have made it
        except OSError as error:
            raise self._failed(error) from None
        return self.aside

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._keep()
            elif issubclass(kind, OSError):
                raise self._failed(error) from None
        finally:
            shutil.rmtree(self.aside, ignore_errors=True)

    def _keep(self):
        try:
            sums = {path.name: _sum(path) for path in sorted(self.aside.iterdir())}
            about = {"about": "written by tinylm export", "begin": self.begin, "files": sums}
            text = json.dumps(about, indent=2)
            write_text(self.aside / MANIFEST, text + "\n")
            check_free(self.path)  # once more: much time has passed
            self._rename()
        except OSError as error:
            raise self._failed(error) from None

    def _rename(self):
        if not self.path.exists() or not any(self.path.iterdir()):
            os.rename(self.aside, self.path)  # an empty folder is replaced
            return
        old = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.tmp-", dir=self.path.parent))
        try:
            os.rename(self.path, old)
            try:
                os.rename(self.aside, self.path)
            except BaseException:
                os.rename(old, self.path)
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)

    def _failed(self, error):
        return CheckpointError(
            f"cannot write {self.path} ({error.strerror or error}); nothing there was "
            "changed: free space or permit writing"
        )


def check_free(path):
    """Refuse a place where something else lies.

    raises  ConfigError naming what is there
    """
    path = Path(path)
    elsewhere = "name another folder"
    if path.is_symlink():
        raise ConfigError(
            f"{path} is a link to {os.readlink(path)}, and nothing is written through "
            "links: name the folder itself"
        )
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"{path} is a file that is there already: {elsewhere}")
    if path.samefile(os.curdir):
        raise ConfigError(f"{path} is the working folder, which cannot be replaced: {elsewhere}")
    there = sorted(path.iterdir())
    if not there:
        return
    listed = _listed(path)
    others = [one.name for one in there if one.name not in listed and one.name != MANIFEST]
    if not listed or others:
        names = ", ".join((others or [one.name for one in there])[:_SHOWN])
        what = "" if listed else ", for it is no earlier export of tinylm"
        raise ConfigError(f"{path} holds {names}, which is not written over{what}: {elsewhere}")
    changed = [one.name for one in there if one.name != MANIFEST and _sum(one) != listed[one.name]]
    if changed:
        raise ConfigError(
            f"{path} holds {', '.join(changed[:_SHOWN])}, changed since it was exported, "
            f"which is not written over: {elsewhere}, or remove it"
        )


def prompt_begin(path):
    """The ids that belong before a prompt, of a folder that was exported: () of another.

    path    of the folder, or of the weights in it

    raises  CheckpointError where they are no list of ids
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    begin = _manifest(folder).get("begin", [])
    if not isinstance(begin, list) or not all(of_type(i, int) and i >= 0 for i in begin):
        raise CheckpointError(
            f"{folder / MANIFEST}: begin is {show(begin)}; it must be a list of ids"
        )
    return tuple(begin)


def _listed(folder):
    """{file: checksum} of an earlier export; {} for a folder that is none."""
    files = _manifest(folder).get("files")
    if isinstance(files, dict):
        return files
    return {}


def _manifest(folder):
    """The object that lists an export; {} for a folder that is none."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    if isinstance(found, dict):
        return found
    return {}


def _sum(path):
    """The SHA-256 of a file; None for a link, or for what is no file."""
    if path.is_symlink() or not path.is_file():
        return None
    digest = hashlib.sha256()
    with contextlib.closing(open_regular(path)) as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()
