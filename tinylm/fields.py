"""The fields of a JSON object that came from outside, each taken with what it must be.

    state = Fields(read_json(path), path, CheckpointError)
    step = state.integer("step")    # CheckpointError: PATH: step is 'a'; it must be a whole number

Whatever was edited, in whatever way, is one error that names the file and the field, before
anything is made of the value. Read next: files.py, which reads the JSON.
"""

import math
import types
import typing

from tinylm.errors import CheckpointError

LARGEST = 2**63 - 1  # of whole numbers: what an array of int64 holds


class Fields:
    """A JSON object.

    value   what the JSON gave
    where   the file, named in errors
    error   class of the errors
    name    of the object itself within the file, dotted; "": it is the whole file
    """

    def __init__(self, value, where, error=CheckpointError, name=""):
        self.where, self.error, self.name = where, error, name
        if not isinstance(value, dict):
            raise self.wrong("", value, "an object {...}")
        self.values = value

    def __contains__(self, name):
        return name in self.values

    def wrong(self, name, value, what):
        """The error for a field that is not what it must be."""
        path = ".".join(part for part in (self.name, name) if part) or "its content"
        return self.error(f"{self.where}: {path} is {show(value)}; it must be {what}")

    def take(self, name, fits, what):
        """The value of a field for which `fits(value)` is true.

        raises   error, saying `what` it must be
        """
        if name not in self.values:
            path = ".".join(part for part in (self.name, name) if part)
            raise self.error(f"{self.where}: {path} is missing; it must be {what}")
        value = self.values[name]
        if not fits(value):
            raise self.wrong(name, value, what)
        return value

    def integer(self, name, low=0, high=LARGEST):
        """A whole number from `low` to `high`."""
        return self.take(
            name,
            lambda value: type(value) is int and low <= value <= high,
            f"a whole number from {low} to {high}",
        )

    def number(self, name):
        """A finite number."""
        return self.take(name, lambda value: of_type(value, float), "a finite number")

    def text(self, name):
        """A text, of characters that have a UTF-8."""
        return self.take(name, lambda value: of_type(value, str), "a text")

    def one_of(self, name, values):
        """One of some values."""
        return self.take(
            name,
            lambda value: any(type(value) is type(one) and value == one for one in values),
            f"one of {', '.join(map(str, values))}",
        )

    def list(self, name):
        """A list."""
        return self.take(name, lambda value: isinstance(value, list), "a list [...]")

    def object(self, name):
        """An object, as Fields."""
        value = self.take(name, lambda value: isinstance(value, dict), "an object {...}")
        return self._inner(value, name)

    def objects(self, name):
        """A list of objects, each as Fields."""
        return [self._inner(value, f"{name}[{i}]") for i, value in enumerate(self.list(name))]

    def _inner(self, value, name):
        return Fields(value, self.where, self.error, f"{self.name}.{name}" if self.name else name)

    def arguments(self, cls):
        """The fields as arguments of a dataclass: each is there, and of its type.

        returns  {name: value}, lists as tuples
        raises   error for a field that is missing, unknown, or of another type
        """
        hints = typing.get_type_hints(cls)
        unknown = [name for name in self.values if name not in hints]
        if unknown:
            raise self.error(
                f"{self.where}: {self.name or 'it'} has a field {show(unknown[0])} that this "
                "version of tinylm does not know"
            )
        found = {}
        for name, kind in hints.items():
            value = self.take(name, lambda value, kind=kind: of_type(value, kind), _words(kind))
            found[name] = tuple(value) if isinstance(value, list) else value
        return found


def of_type(value, kind):
    """Whether a JSON value is of a type: int, float, bool, str, dict, None, a tuple, or a union."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(of_type(value, one) for one in typing.get_args(kind))
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    if kind is float:
        return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
    if kind is str:
        return isinstance(value, str) and _is_text(value)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if kinds[-1] is ...:
            return isinstance(value, list) and all(of_type(one, kinds[0]) for one in value)
        return _is_list(value, len(kinds)) and all(map(of_type, value, kinds))
    if kind is tuple:  # of words
        return isinstance(value, list) and all(of_type(one, str) for one in value)
    return type(value) is kind


def _is_list(value, length):
    return isinstance(value, list) and len(value) == length


def _is_text(value):
    """No half of a surrogate pair, which cannot be written; no zero byte, which ends a path."""
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


def show(value):
    """A value for an error, cut short."""
    text = repr(value)
    if len(text) <= 60:
        return text
    return text[:57] + "..."
