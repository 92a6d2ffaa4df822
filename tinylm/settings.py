"""A setting: a dataclass field that carries its own help text and its own check.

Every configuration of tinylm is a plain dataclass whose fields are made with `setting`. The command
line reads the help and the check from the field (tinylm/cli/options.py), `validate` applies the
same checks to a configuration made in Python, and nothing else needs to know about either.
"""

import dataclasses
import math
import os

from tinylm.errors import ConfigError


def setting(default=dataclasses.MISSING, help="", check=None, several=False):
    """A dataclass field with a help text and a check.

    default  the value when none is given; a list, dict or set is copied for every instance
    help     one line, shown by --help and --show-config
    check    value -> None if it is fine, else what it must be ("must be above 0"); skipped for None
    several  of a tuple of texts: the option takes all words up to the next option, as --data *.txt
    returns  a dataclasses.field with these three in its metadata
    """
    metadata = {"help": help, "check": check, "several": several}
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def paths(value):
    """A setting of paths as a tuple of str: one path, or several; "" and None are no path."""
    if value is None or isinstance(value, (str, os.PathLike)):
        value = (value or "",)
    if not isinstance(value, (tuple, list)):
        raise ConfigError(f"a path or several are needed, not {value!r}")
    wrong = [path for path in value if not isinstance(path, (str, os.PathLike))]
    if wrong:
        raise ConfigError(f"a path is text, not {wrong[0]!r}")
    return tuple(str(path) for path in value if str(path))


def validate(config):
    """Apply the check of every field of a dataclass instance. Returns the instance.

    raises   ConfigError naming the field, what it must be, and what it is
    """
    for field in dataclasses.fields(config):
        check, value = field.metadata.get("check"), getattr(config, field.name)
        complaint = check(value) if check and value is not None else None
        if complaint:
            raise ConfigError(f"{field.name} {complaint}, not {value!r}")
    return config


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def finite(value):
    """A check: the number is neither infinite nor NaN."""
    if _is_number(value):
        return None
    return "must be a finite number"


def above(low):
    """A check: a finite number greater than `low`."""
    return lambda value: (
        None if _is_number(value) and value > low else f"must be a finite number above {low}"
    )


def at_least(low):
    """A check: a finite number, `low` or greater."""
    return lambda value: (
        None if _is_number(value) and value >= low else f"must be a finite number, at least {low}"
    )


def between(low, high):
    """A check: a number from `low` to `high`, both included."""
    return lambda value: (
        None if _is_number(value) and low <= value <= high else f"must be between {low} and {high}"
    )


def one_of(*choices):
    """A check: one of the values named."""
    return lambda value: (
        None if value in choices else f"must be one of {', '.join(map(str, choices))}"
    )


positive = above(0)
