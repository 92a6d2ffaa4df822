"""Which files a text is read from: files, folders and patterns, in a fixed order, each file once.

A file given by its path is read whatever its suffix (a binary one raises when it is read, text.py).
From a folder or a pattern only files with a suffix of text are taken; the rest is counted. Read
next: text.py.
"""

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylm.errors import DataError

PROSE = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc", ".srt")
# fmt: off
CODE = (
    ".py", ".pyi", ".ipynb", ".js", ".mjs", ".ts", ".jsx", ".tsx", ".java", ".kt", ".scala",
    ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".cu", ".cs", ".go", ".rs", ".swift",
    ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".hs", ".ml", ".mli", ".clj", ".el",
    ".lisp", ".scm", ".ex", ".exs", ".erl", ".dart", ".f90", ".f", ".m", ".sql", ".sh",
    ".bash", ".zsh", ".bat", ".ps1", ".s", ".asm", ".v", ".vhd", ".cmake", ".mk", ".diff",
    ".patch",
)
DATA = (
    ".html", ".htm", ".xml", ".css", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".yaml",
    ".yml", ".toml", ".ini", ".cfg", ".conf", ".log", ".bib",
)
# fmt: on
TEXT_SUFFIXES = PROSE + CODE + DATA
SNIFFED = 4096  # bytes read of a file without a suffix, to see whether it is text


@dataclass
class Found:
    """Files of text, and counts of the other files beside them.

    files     list of Path
    left_out  Counter of the files of folders that are no text, by suffix
    """

    files: list
    left_out: Counter

    def left_out_line(self) -> str:
        """One line on what was left out, or "" if nothing was."""
        if not self.left_out:
            return ""
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in self.left_out.most_common(5))
        more = ", ..." if len(self.left_out) > 5 else ""
        count = sum(self.left_out.values())
        files = "1 file" if count == 1 else f"{count:,} files"
        return (
            f"left out {files} not named like a text: {kinds}{more} (a file given with its path is "
            "read whatever its name)"
        )


def find_texts(paths: str | Path | Sequence[Any]) -> Found:
    """The text files at `paths`: files, folders (read recursively), patterns (* ? [ ] and **).

    paths    a path, or several
    returns  Found: in the order of `paths`, within a folder or pattern by name; a file that comes
             twice, also through a link, is read once. Hidden files and folders are skipped
    raises   DataError for a path that does not exist, or a folder or pattern without text
    """
    found, seen = Found([], Counter()), set()
    for path in _several(paths):
        for file in _at(Path(path), found.left_out):
            target = os.path.realpath(file)  # a link and its file are one
            if target not in seen:
                seen.add(target)
                found.files.append(file)
    return found


def text_files(paths: str | Path | Sequence[Any]) -> list[Path]:
    """The files of `find_texts(paths)`, a list of Path."""
    return find_texts(paths).files


def shown(paths: str | Path) -> str:
    """The paths as they are written in error messages."""
    return ", ".join(repr(str(path)) for path in _several(paths))


def _several(paths):
    if isinstance(paths, (str, os.PathLike)):
        return [paths]
    return list(paths)


def _at(path, left_out):
    """The text files at one path; others are counted in `left_out`."""
    try:
        if path.is_dir():
            return _texts_among(path, _walk(path), left_out)
        if path.exists():
            return [path]
        # After `exists`: a file may be called "notes[1].txt".
        if glob.has_magic(str(path)):
            return _matching(path, left_out)
    except OSError as error:
        raise unreadable(path, error) from None
    raise DataError(
        f"read text: no file or directory {str(path)!r}: check the path "
        f"(relative paths start at {os.getcwd()!r})"
    )


def _matching(pattern, left_out):
    """The text files that match a pattern, and those in folders that match."""
    found = []
    for name in sorted(glob.glob(str(pattern), recursive=True)):
        path = Path(name)
        if path.is_dir():
            found += _walk(path)
        elif path.is_file():
            found.append(path)
    if not found:
        raise DataError(
            f"read text: no file matches {str(pattern)!r}: check the pattern "
            f"(relative ones start at {os.getcwd()!r})"
        )
    return _texts_among(pattern, dict.fromkeys(found), left_out, base=Path())


def _walk(folder):
    """Every file of a folder and its folders that is not hidden."""
    for at, subfolders, names in os.walk(folder, onerror=_raise):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]  # walk reads it
        files = (Path(at) / name for name in names if not name.startswith("."))
        yield from files


def _texts_among(path, files, left_out, base=None):
    """The files with a suffix of text, in the order of the names; the others are counted."""
    if base is None:
        base = path
    # Sorted by names relative to the folder and with "/", so that the order is the same everywhere.
    taken = []
    for file in sorted(files, key=lambda file: Path(os.path.relpath(file, base)).as_posix()):
        if _is_text(file):
            taken.append(file)
        else:
            left_out[file.suffix.lower() or "without a suffix"] += 1
    if not taken:
        raise DataError(
            f"read text: directory {str(path)!r} holds no text file: files must have "
            f"no suffix or one of {' '.join(TEXT_SUFFIXES)}; name others one by one"
        )
    return taken


def _is_text(file):
    """True by the suffix; without one (README, LICENSE) if the beginning is UTF-8."""
    if file.exists() and not file.is_file():  # a pipe would wait for ever
        return False
    suffix = file.suffix.lower()
    if suffix == ".gz":  # unpacked when it is read
        return file.with_suffix("").suffix.lower() in TEXT_SUFFIXES
    if suffix:
        return suffix in TEXT_SUFFIXES
    try:
        with open(file, "rb") as opened:
            beginning = opened.read(SNIFFED)
    except OSError:  # such as a link onto itself: named where it is read, as one with a suffix
        return True
    # The last character may be cut.
    text = beginning.decode("utf-8", "replace").rstrip("�")
    return "\0" not in text and "�" not in text


def unreadable(path: str | Path, error: FileNotFoundError | PermissionError) -> DataError:
    """The DataError of a file that the system cannot open or read."""
    return DataError(
        f"read text: {str(error.filename or path)!r} cannot be read "
        f"({error.strerror or error}): "
        "check that it exists and that you may read it (ls -l)"
    )


def _raise(error):
    raise error
