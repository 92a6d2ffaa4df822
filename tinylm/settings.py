"""A setting: a dataclass field with its own help text and its own check.

Every configuration of tinylm is a plain dataclass whose fields are made with `setting`. The command
line reads the help and the check from the field (tinylm/cli/options.py), and `validate` applies the
same checks to a configuration made in Python. Read next: fields.py.
"""

import dataclasses
import math
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

from tinylm.errors import ConfigError

Config = TypeVar("Config", bound=Any)  # a dataclass whose fields are settings


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    check: Callable[[Any], str | None] | None = None,
    several: bool = False,
) -> Any:
    """A dataclass field with a help text and a check.

    default  the value when none is given; a list, dict or set is copied for every instance
    help     one line, shown by --help and --show-config; values that one_of() allows are added
             unless the line names them itself
    check    value -> None if it is valid, else what it must be ("must be above 0"); it is not
             called for None
    several  for a tuple of texts: the option takes all words up to the next option, as --data *.txt
    returns  a dataclasses.field with these three in its metadata
    """
    metadata = {"help": _with_choices(help, check), "check": check, "several": several}
    # A mutable default would be shared by all instances.
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _with_choices(help, check):
    """A help text with the values that its check allows, if one_of() made it."""
    choices = [str(choice) for choice in getattr(check, "choices", ())]
    if all(re.search(rf"\b{re.escape(choice)}\b", help) for choice in choices):
        return help
    named = ", ".join(choices[:-1]) + f" or {choices[-1]}"
    return f"{help}: {named}"


def paths(value: Any) -> tuple[str, ...]:
    """A setting of one path or several as a tuple of str; "" and None give an empty tuple."""
    if value is None or isinstance(value, (str, os.PathLike)):
        value = (value or "",)
    if not isinstance(value, (tuple, list)):
        raise ConfigError(f"a path or several are needed, not {value!r}")
    wrong = [path for path in value if not isinstance(path, (str, os.PathLike))]
    if wrong:
        raise ConfigError(f"a path is text, not {wrong[0]!r}")
    return tuple(str(path) for path in value if str(path))


def validate(config: Config) -> Config:
    """Apply the check of every field of a dataclass instance. Returns the instance.

    raises   ConfigError naming the field, what it must be, and what it is
    """
    for field in dataclasses.fields(config):
        check = field.metadata.get("check")
        value = getattr(config, field.name)
        if check is None or value is None:  # None: not set
            continue
        complaint = check(value)
        if complaint:
            raise ConfigError(f"{field.name} {complaint}, not {value!r}")
    return config


def _is_number(value):
    if isinstance(value, bool):  # bool is a subclass of int
        return False
    return isinstance(value, (int, float)) and math.isfinite(value)


# A check is a function of the value that returns None, or what the value must be. These make one.


def finite(value: Any) -> str | None:
    """A check: the number is neither infinite nor NaN."""
    if _is_number(value):
        return None
    return "must be a finite number"


def above(low: float) -> Callable[[Any], str | None]:
    """A check: a finite number greater than `low`."""

    def check(value):
        if _is_number(value) and value > low:
            return None
        return f"must be a finite number above {low}"

    return check


def at_least(low: float) -> Callable[[Any], str | None]:
    """A check: a finite number, `low` or greater."""

    def check(value):
        if _is_number(value) and value >= low:
            return None
        if isinstance(value, int):  # a number of steps is not told of infinity
            return f"must be at least {low}"
        return f"must be a finite number, at least {low}"

    return check


def between(low: float, high: float) -> Callable[[Any], str | None]:
    """A check: a number from `low` to `high`, both included."""

    def check(value):
        if _is_number(value) and low <= value <= high:
            return None
        return f"must be between {low} and {high}"

    return check


def one_of(*choices: Any) -> Callable[[Any], str | None]:
    """A check: one of the values named."""

    def check(value):
        if value in choices:
            return None
        return f"must be one of {', '.join(map(str, choices))}"

    check.choices = choices
    return check


def named_in_utf8(value: Any) -> str | None:
    """A check: names of files that UTF-8 can write, since a run records them."""
    names = value
    if isinstance(value, str):
        names = (value,)
    try:
        "".join(map(str, names)).encode("utf-8")
    except UnicodeEncodeError:  # bytes of a name that are not UTF-8 are halves of characters here
        return "must be a name in UTF-8, as the run records it (rename it with mv)"
    return None


positive = above(0)
