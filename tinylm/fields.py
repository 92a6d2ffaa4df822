"""The fields of a JSON object from a file, each checked for its type when it is read.

    state = Fields(read_json(path), path, CheckpointError)
    step = state.integer("step")    # CheckpointError: PATH: step is 'a'; it must be a whole number

A file may have been edited in any way. Every wrong value gives one error that names the file and
the field, before the value is used. Read next: files.py, which reads the JSON.
"""

import math
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tinylm.errors import CheckpointError

LARGEST = 2**63 - 1  # the largest whole number that fits into int64


class Fields:
    """A JSON object.

    value   the parsed JSON value
    where   the file, named in errors
    error   class of the errors
    name    of the object within the file, dotted; "" for the whole file
    """

    def __init__(
        self,
        value: Any,
        where: str | Path,
        error: type[Exception] = CheckpointError,
        name: str = "",
    ) -> None:
        self.where, self.error, self.name = where, error, name
        if not isinstance(value, dict):
            raise self.wrong("", value, "an object {...}")
        self.values = value

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def wrong(self, name: str, value: Any, what: str) -> Exception:
        """The error for a field that must be `what`, and is not."""
        path = self._path(name) or "its content"
        return self.error(f"{self.where}: {path} is {show(value)}; it must be {what}")

    def _path(self, name):
        """The dotted name of a field within the file."""
        return ".".join(part for part in (self.name, name) if part)

    def take(self, name: str, fits: Callable[[Any], bool], what: str) -> Any:
        """The value of a field.

        fits     value -> bool
        what     for the error: the field must be `what`
        raises   error if the field is missing or fits(value) is false
        """
        if name not in self.values:
            raise self.error(f"{self.where}: {self._path(name)} is missing; it must be {what}")
        value = self.values[name]
        if not fits(value):
            raise self.wrong(name, value, what)
        return value

    def integer(self, name: str, low: int = 0, high: int = LARGEST) -> int:
        """A whole number from `low` to `high`."""

        def fits(value):
            return type(value) is int and low <= value <= high  # type(): True is no integer here

        return self.take(name, fits, f"a whole number from {low} to {high}")

    def number(self, name: str) -> float:
        """A finite number."""
        return self.take(name, lambda value: of_type(value, float), "a finite number")

    def text(self, name: str) -> str:
        """A text that can be encoded as UTF-8."""
        return self.take(name, lambda value: of_type(value, str), "a text")

    def one_of(self, name: str, values: Iterable) -> Any:
        """One of some values."""

        def fits(value):
            # Types are compared too: in Python 1 == True == 1.0.
            return any(type(value) is type(one) and value == one for one in values)

        return self.take(name, fits, f"one of {', '.join(map(str, values))}")

    def list(self, name: str) -> Sequence:
        """A list."""
        return self.take(name, lambda value: isinstance(value, list), "a list [...]")

    def object(self, name: str) -> "Fields":
        """An object, as Fields."""
        value = self.take(name, lambda value: isinstance(value, dict), "an object {...}")
        return self._inner(value, name)

    def objects(self, name: str) -> "Sequence[Fields]":
        """A list of objects, each as Fields."""
        return [self._inner(value, f"{name}[{i}]") for i, value in enumerate(self.list(name))]

    def _inner(self, value, name):
        return Fields(value, self.where, self.error, self._path(name))

    def arguments(self, cls: type) -> dict[str, Any]:
        """The fields as arguments of a dataclass, which must have exactly its names and types.

        cls      the dataclass
        returns  {name: value}, lists as tuples
        raises   error for a field that is missing, unknown, or of another type
        """
        hints = typing.get_type_hints(cls)
        for name in self.values:
            if name not in hints:
                owner = self.name or "it"
                raise self.error(
                    f"{self.where}: {owner} has a field {show(name)} that this "
                    "version of tinylm does not have"
                )
        found = {}
        for name, kind in hints.items():
            value = self.take(name, lambda value, kind=kind: of_type(value, kind), _words(kind))
            if isinstance(value, list):
                value = tuple(value)
            found[name] = value
        return found


def of_type(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of a type: int, float, bool, str, dict, None, a tuple, or a union."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(of_type(value, one) for one in typing.get_args(kind))
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    if kind is float:
        # 1.0 may have been written as 1. The size is checked first: isfinite() fails for 10**400.
        return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
    if kind is str:
        return isinstance(value, str) and _is_text(value)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if kinds[-1] is ...:  # tuple[str, ...]: any number of one type
            return isinstance(value, list) and all(of_type(one, kinds[0]) for one in value)
        return _is_list(value, len(kinds)) and all(map(of_type, value, kinds))
    if kind is tuple:  # of words
        return isinstance(value, list) and all(of_type(one, str) for one in value)
    return type(value) is kind


def _is_list(value, length):
    return isinstance(value, list) and len(value) == length


def _is_text(value):
    """Whether a str has no half of a surrogate pair (no UTF-8) and no zero byte (no path)."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _words(kind):
    """A type in words, for an error."""
    names = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}
    names |= {type(None): "null", dict: "an object {...}", tuple: "a list of words"}
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(map(_words, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        kinds = [one for one in typing.get_args(kind) if one is not ...]
        return "a list of " + ", ".join(map(_words, kinds))
    return names.get(kind, kind.__name__)


def show(value: Any) -> str:
    """The repr of a value for an error message, at most 60 characters."""
    text = repr(value)
    if len(text) <= 60:
        return text
    return text[:57] + "..."
