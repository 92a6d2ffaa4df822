"""A folder that appears when it is complete, and replaces nothing but an earlier export.

    with WholeFolder("runs/model") as aside:
        ...                                   files are written into `aside`

tinylm_export.json lists the files with their checksums: a folder that holds other files, or files
that have changed since, is the user's work and is not replaced. Read first: files.py.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from tinylm.errors import CheckpointError, ConfigError
from tinylm.fields import of_type, show
from tinylm.files import open_regular, read_json, write_text

MANIFEST = "tinylm_export.json"
_SHOWN = 4  # names in a message
_PART = 1 << 22  # bytes of a file in memory at a time


class WholeFolder:
    """A folder that is written under another name and then renamed; see the top of this file.

    path    of the folder; its parent is created
    begin   ids that `tinylm generate` puts before a prompt
    raises  ConfigError naming other files at `path`; CheckpointError if it cannot be written
    """

    def __init__(self, path: str | Path, begin: tuple[int, ...] = ()) -> None:
        self.path, self.begin = Path(os.path.abspath(path)), list(begin)
        self.aside = None

    def __enter__(self) -> Path:
        check_free(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.aside = self._temporary()
            mask = os.umask(0)  # the only way to read it is to set it
            os.umask(mask)
            os.chmod(self.aside, 0o777 & ~mask)  # mkdtemp permits only the owner, mkdir does not
        except OSError as error:
            raise self._failed(error) from None
        return self.aside

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._keep()
            elif issubclass(kind, OSError):
                raise self._failed(error) from None
        finally:
            shutil.rmtree(self.aside, ignore_errors=True)

    def _temporary(self):
        """A new folder beside the path: on the same file system, so that it can be renamed."""
        prefix = f".{self.path.name}.tmp-"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))

    def _keep(self):
        """Write the list of files, and rename the folder to its path."""
        try:
            sums = {path.name: _sum(path) for path in sorted(self.aside.iterdir())}
            about = {"about": "written by tinylm export", "begin": self.begin, "files": sums}
            text = json.dumps(about, indent=2)
            write_text(self.aside / MANIFEST, text + "\n")
            check_free(self.path)  # again: files may have appeared while weights were written
            self._rename()
        except OSError as error:
            raise self._failed(error) from None

    def _rename(self):
        if not self.path.exists() or not any(self.path.iterdir()):
            os.rename(self.aside, self.path)  # an empty folder is replaced
            return
        # The earlier export is moved away first, and back if the new one cannot take its path.
        old = self._temporary()
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


def check_free(path: Path) -> None:
    """Raise ConfigError unless a path is free, an empty folder, or an unchanged earlier export."""
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
        raise ConfigError(f"{path} is an existing file: {elsewhere}")
    if path.samefile(os.curdir):
        raise ConfigError(f"{path} is the working folder, which cannot be replaced: {elsewhere}")
    there = sorted(path.iterdir())
    if not there:
        return
    listed = _listed(path)
    files = [file for file in there if file.name != MANIFEST]
    if not listed:
        names = ", ".join(file.name for file in (files or there)[:_SHOWN])
        raise ConfigError(
            f"{path} holds {names}, which is not overwritten, "
            f"for it is no earlier export of tinylm: {elsewhere}"
        )
    others = [file.name for file in files if file.name not in listed]
    if others:
        names = ", ".join(others[:_SHOWN])
        raise ConfigError(f"{path} holds {names}, which is not overwritten: {elsewhere}")
    changed = [file.name for file in files if _sum(file) != listed[file.name]]
    if changed:
        raise ConfigError(
            f"{path} holds {', '.join(changed[:_SHOWN])}, changed since it was exported, "
            f"which is not overwritten: {elsewhere}, or remove it"
        )


def prompt_begin(path: str | Path) -> tuple[int, ...]:
    """The ids that belong before a prompt of an exported model; () for other folders.

    path    of the folder, or of the weights in it
    raises  CheckpointError if they are not a list of ids
    """
    folder = Path(path)
    if not folder.is_dir():
        folder = folder.parent
    begin = _manifest(folder).get("begin", [])
    if not isinstance(begin, list) or not all(of_type(i, int) and i >= 0 for i in begin):
        raise CheckpointError(
            f"{folder / MANIFEST}: begin is {show(begin)}; it must be a list of ids"
        )
    return tuple(begin)


def _listed(folder):
    """{file: checksum} of an earlier export; {} for other folders."""
    files = _manifest(folder).get("files")
    if isinstance(files, dict):
        return files
    return {}


def _manifest(folder):
    """The content of tinylm_export.json; {} for folders without one."""
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
    """The SHA-256 of a regular file; None for anything else."""
    if path.is_symlink() or not path.is_file():
        return None
    digest = hashlib.sha256()
    with contextlib.closing(open_regular(path)) as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()
