"""`--config FILE`: settings out of a JSON or TOML file, with the names, types and checks that they
have on the command line, which has the last word.

A run writes the settings that it was made with, so `tinylm train --config RUN` makes it again. Read
first: options.py, which calls this. Read next: values.py, the same for one word of a command line.
"""

import json
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinylm.cli.values import read_value
from tinylm.errors import CheckpointError, ConfigError
from tinylm.fields import show
from tinylm.files import open_regular, read_object, write_text

SETTINGS = "settings.json"  # of a run that was tuned; one of `tinylm train` has
TRAINED = "config.json"
_PLACE = "out", "resume"  # where a run is, and no part of what it is


def read_settings(path: str, fields: dict, unknown: Callable) -> dict:
    """The settings in a file, checked by type.

    path     .json or .toml; a run: the file in it that has its settings
    fields   {name: (field, type)} of the verb
    unknown  (key) -> ConfigError for a name that no field has
    returns  {name: value}; without what only says where a run is, if the file is that run's own
    raises   ConfigError naming the file and the key: a file that cannot be read, a key that is no
             setting or stands twice, a value of another type
    """
    path, found = _in_a_run(Path(path)), {}
    for key, value in _read(path).items():
        name = key.replace("-", "_")
        if name not in fields and isinstance(value, dict):
            raise ConfigError(
                f"{path}: {key!r} holds settings of its own: write them all at the top, as "
                f"{_one_of(value, fields)}"
            )
        if name not in fields:
            raise ConfigError(f"{path}: {unknown(key)}")
        if name in found:
            raise ConfigError(f"{path}: {name} stands twice, as {key!r} too: leave one out")
        found[name] = value
    for name in _PLACE:
        if name in found and _is_folder_of(found[name], path):
            del found[name]
    try:
        return {name: typed(value, fields[name][1], name) for name, value in found.items()}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def keep_settings(directory: Path, *configs: Any) -> None:
    """Write the settings of a run that was tuned, for --config.

    configs  dataclasses, with different fields
    raises   OSError
    """
    from tinylm.train.run.config import as_json

    values = {name: value for one in configs for name, value in as_json(one).items()}
    values = {name: value for name, value in values.items() if name not in _PLACE}
    write_text(Path(directory) / SETTINGS, json.dumps(values, indent=2) + "\n")


def _one_of(table, fields):
    """A setting of a table as a line, or an example of one."""
    for key, value in table.items():
        if key.replace("-", "_") in fields:
            return f"{key} = {json.dumps(value, default=str)}"
    return "steps = 200"


def _in_a_run(path):
    """The file of settings in a directory, or the path itself."""
    if not path.is_dir():
        return path
    for name in (SETTINGS, TRAINED):
        if (path / name).is_file():
            return path / name
    raise ConfigError(
        f"--config {path}: a directory without {SETTINGS} and {TRAINED}, so no run: "
        "give a file of settings, or a run"
    )


def _is_folder_of(value, path):
    """True for a setting that is empty, or names the folder in which the file lies."""
    if not isinstance(value, str) or not value:
        return not value
    return Path(value).resolve() == path.resolve().parent


def _read(path):
    """The object in a file, by the ending of its name."""
    if path.suffix.lower() == ".toml":
        return _read_toml(path)
    if path.suffix.lower() in (".yaml", ".yml", ".ini", ".cfg"):
        raise ConfigError(
            f"--config {path}: settings are read from JSON or TOML: write one of them"
        )
    try:
        return read_object(path)
    except CheckpointError as error:
        raise ConfigError(f"--config: {error}") from None


def _read_toml(path):
    try:
        import tomllib
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(
            f"--config {path}: TOML needs Python 3.11 or later and this is {version}: "
            "write the settings as JSON"
        ) from None
    try:
        with open_regular(path) as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:  # not UTF-8, no TOML, a key twice
        raise ConfigError(f"--config: cannot read {path}: {error}") from None


def typed(value: float | str | Sequence, kind: Any, name: str) -> Any:
    """A value of JSON or TOML as one of type `kind`.

    kind     as in read_value; a list is a tuple, and a whole number such as 1e3 an integer. TOML
             has no null, so the text "none" stands for it where None is allowed
    raises   ConfigError naming `name`, the type and the value
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _typed_union(value, parts, name)
    if origin is typing.Literal:
        if value in parts and not isinstance(value, bool):
            return value
        return read_value(show(value), kind, name)  # raises, with the list
    if kind is tuple or origin is tuple:
        return _typed_tuple(value, parts or (str, ...), name)
    if kind is typing.Any:
        return value
    return _typed_plain(value, kind, name)


def _typed_plain(value, kind, name):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and number and value == value // 1:  # neither inf nor nan
        return int(value)
    if kind is float and number:
        return float(value)
    if kind in (str, Path) and isinstance(value, str):
        return kind(value)
    wanted = {int: "an integer", float: "a number", bool: "true or false"}.get(kind, "a text")
    raise ConfigError(f"{name} must be {wanted}, not {show(value)}")


def _typed_union(value, parts, name):
    none = value is None or isinstance(value, str) and value.lower() in ("none", "null")
    if type(None) in parts and none:
        return None
    kinds = [part for part in parts if part is not type(None)]
    for kind in kinds[:-1]:  # int | str: the first type that fits
        try:
            return typed(value, kind, name)
        except ConfigError:
            continue
    return typed(value, kinds[-1], name)


def _typed_tuple(value, parts, name):
    if parts == (str, ...) and isinstance(value, str):  # one text alone
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{name} must be a list, not {show(value)}")
    kinds = parts
    if parts[-1] is ...:
        kinds = [parts[0]] * len(value)
    if len(value) != len(kinds):
        raise ConfigError(f"{name} must be a list of {len(kinds)} values, not {show(value)}")
    return tuple(typed(one, kind, name) for one, kind in zip(value, kinds))
