"""A file of answers: a head that describes the run, then a line for each answer, written at once.

    {"kind": "tinylm answers", "about": {..}, "options": {..}, "demonstrations": hash, "seed": 0}
    {"item": 0, "value": "7", "right": true, .., "question": hash}

Continued under another head, a file would hold two experiments, so that is refused. The question
of each line must be the one in its place of the list; a longer list extends a run. Nothing of a
file is changed before all of it has been read and understood. Read next: runner.py.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError, DataError
from tinylm.reading import strict_json

if TYPE_CHECKING:
    from tinylm.data.read.items import Item
    from tinylm.prompt.evaluation.runner import Record


try:
    import fcntl
except ImportError:  # Windows: a file is then written without a lock
    fcntl = None

KIND = "tinylm answers"
HEAD_START = json.dumps({"kind": KIND}).removesuffix("}").encode()


def file_head(
    about: dict[str, Any], options: Any, demonstrations: "Sequence[Item]", seed: int
) -> dict[str, Any]:
    """What two runs must have in common to share a file: dict of plain values.

    about, options  dicts; objects in them as plain()
    demonstrations  list of Item
    """
    return {
        "kind": KIND,
        "about": plain(about),
        "options": plain(options),
        "demonstrations": fingerprint(demonstrations),
        "seed": seed,
    }


def fingerprint(items: "Sequence[Item]") -> str:
    """A short hash of items without their tasks: str.

    A task that is not in a file is the file's name, and a renamed file has the same questions.
    """
    known = [asdict(item) | {"task": ""} for item in items]
    whole = json.dumps(known, ensure_ascii=False)
    return hashlib.sha256(whole.encode("utf-8")).hexdigest()[:16]


def plain(value: Any) -> Any:
    """The value as JSON gives it back, so that it can be compared with what a file holds.

    A tuple becomes a list, a dataclass its fields, a number that is not finite its name; of a
    function or another object only the name of it or its type is kept.
    """
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and value - value != 0:  # nan or infinite
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


class AnswerFile:
    """A file of answers, open and locked.

    path    begun if it is not there or empty, continued otherwise
    head    dict, as file_head
    items   list of Item, the questions of this run
    read    function: dict of a line -> record; raises ValueError for what is none
    raises  ConfigError if the file is of another run, cannot be written, or is being written by
            another process; DataError if it is no file of answers or is damaged

    `records` are those in the file, at most one for each item. `with` closes the file.
    """

    def __init__(
        self, path: str | Path, head: dict[str, Any], items: "Sequence[Item]", read: Callable
    ) -> None:
        self.path, self.items = Path(path), items
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = open(self.path, "a+b")
        except OSError as error:
            raise ConfigError(f"answers cannot be kept in {path}: {error.strerror}") from None
        try:
            self._lock()
            self.records = self._opened(head, read)[: len(items)]
        except BaseException:
            self.handle.close()
            raise

    def __enter__(self) -> "AnswerFile":
        return self

    def __exit__(self, *error: BaseException | None) -> None:
        self.handle.close()  # this gives the lock back

    def append(self, record: "Record") -> None:
        """Write the record of the next item."""
        line = asdict(record) | {"question": fingerprint([self.items[record.item]])}
        self._write(line)

    def _write(self, line):
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        self.handle.write(text.encode("utf-8"))
        self.handle.flush()

    def _lock(self):
        if fcntl is None:
            return
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{self.path} is being written by another process: wait until it has ended, or "
                "give another file"
            ) from None
        except OSError:  # a file system without locks
            return

    def _opened(self, head, read):
        self.handle.seek(0)
        *lines, half = self.handle.read().split(b"\n")
        if not lines:
            # A head is written before any answer: begun again, nothing is lost.
            if not (half.startswith(HEAD_START) or HEAD_START.startswith(half)):
                raise DataError(f"{self.path} is no file of answers: give another file")
            self._cut(len(half))
            self._write(head)
            return []
        _same_run(self.path, self._parsed_head(lines[0]), head)
        records = []
        for number, line in enumerate(lines[1:], 2):
            records.append(self._record(number, line, read, len(records)))
        self._cut(len(half))  # a crash left it unfinished: its question is answered again
        return records

    def _cut(self, count):
        """Drop the last `count` bytes."""
        if count:
            os.truncate(self.handle.fileno(), os.fstat(self.handle.fileno()).st_size - count)

    def _parsed_head(self, line):
        try:
            found = strict_json(line.decode("utf-8"))
        except ValueError:
            found = None
        names = {"kind", "about", "options", "demonstrations", "seed"}
        if not isinstance(found, dict) or set(found) != names or found["kind"] != KIND:
            raise DataError(
                f"{self.path} is no file of answers: its first line does not describe a run; give "
                "another file"
            )
        if not (isinstance(found["about"], dict) and isinstance(found["options"], dict)):
            raise DataError(f"{self.path}, line 1: about and options must be objects")
        return found

    def _record(self, number, line, read, item):
        place = f"{self.path}, line {number}"
        try:
            found = strict_json(line.decode("utf-8"))
            if not isinstance(found, dict):
                raise ValueError(f"an object is needed, not {found!r:.60}")
            question = found.pop("question", None)
            record = read(found)
        except ValueError as error:
            raise DataError(f"{place}: no record of an answer: {error}") from None
        if record.item != item:
            raise DataError(
                f"{place}: item {record.item}, where {item} was expected: lines are missing or in "
                "another order"
            )
        if item < len(self.items) and question != fingerprint([self.items[item]]):
            raise ConfigError(
                f"{self.path} holds the answers of another run: the questions differ, the first at "
                f"line {number}; give another file, or delete this"
            )
        return record


def _same_run(path, found, head):
    """Raise ConfigError that names what differs between two heads."""
    differing = []
    if found["demonstrations"] != head["demonstrations"]:
        differing.append("the demonstrations differ")
    old = {**found["about"], **found["options"], "seed": found["seed"]}
    new = {**head["about"], **head["options"], "seed": head["seed"]}
    for name in {**new, **old}:
        if old.get(name) != new.get(name) and name == "weights":
            differing.append(
                "the weights of the model have changed, as by more training "
                f"({old.get(name)} and now {new.get(name)})"
            )
        elif old.get(name) != new.get(name) and name == "all_questions":
            differing.append("the questions differ, and each answer of this method depends on all")
        elif old.get(name) != new.get(name):
            differing.append(f"{name} was {old.get(name)!r} and is {new.get(name)!r}")
    if differing:
        raise ConfigError(
            f"{path} holds the answers of another run: {', '.join(differing)}; give another file, "
            "or delete this"
        )
