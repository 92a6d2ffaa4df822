"""One word of the command line as a value of a field's type: int, float, str, bool, Optional,
tuple, Literal, Path.

The other way round, `show_type` names a type in a help page. Read next: options.py, which calls
both.
"""

import types
import typing
from pathlib import Path
from typing import Any

from tinylm.errors import ConfigError

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read_value(text: str, kind: Any, name: str) -> Any:
    """`text` as a value of type `kind`.

    kind     int (also 1e3 and 12_000), float (also inf and nan: a field's check refuses them where
             they are nonsense), str, bool, Path, Optional[kind] ("none" is None), Literal[...],
             tuple[kind, ...] and tuple[kind, kind] (commas between), except tuple[str, ...], which
             is one text
    raises   ConfigError naming `name`, the type and the text
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(text, parts, name)
    if origin is typing.Literal:
        found = [choice for choice in parts if str(choice) == text]
        if not found:
            raise ConfigError(f"{name} must be one of {', '.join(map(str, parts))}, not {text!r}")
        return found[0]
    if kind is tuple or origin is tuple:
        return _read_tuple(text, parts or (str, ...), name)
    if kind is bool:
        if text.lower() not in TRUE + FALSE:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return text.lower() in TRUE
    if kind not in (int, float, str, Path, typing.Any):
        raise TypeError(f"a setting of type {kind} cannot be read from the command line: {name}")
    try:
        if kind is int:
            return _read_int(text)
        if kind is typing.Any:
            return text
        return kind(text)
    except (ValueError, OverflowError):
        wanted = {int: "an integer"}.get(kind, "a number")
        raise ConfigError(f"{name} must be {wanted}, not {text!r}") from None


def _read_int(text):
    try:
        return int(text)
    except ValueError:
        value = float(text)  # 1e3 is an integer too
        if value != int(value):
            raise
        return int(value)


def _read_union(text, parts, name):
    if type(None) in parts and text.lower() in ("none", "null"):
        return None
    kinds = [part for part in parts if part is not type(None)]
    for kind in kinds[:-1]:  # int | str: the first type that fits
        try:
            return read_value(text, kind, name)
        except ConfigError:
            continue
    return read_value(text, kinds[-1], name)


def _read_tuple(text, parts, name):
    if parts == (str, ...):
        return (text,)
    words = [word.strip() for word in text.strip("()[] ").split(",") if word.strip()]
    kinds = parts
    if parts[-1] is ...:  # tuple[int, ...]: as many as there are
        kinds = [parts[0]] * len(words)
    if len(words) != len(kinds):
        raise ConfigError(f"{name} must be {len(kinds)} values with commas between, not {text!r}")
    return tuple(read_value(word, kind, name) for word, kind in zip(words, kinds))


def show_type(kind: Any) -> str:
    """A type as a help page names it: INT, NUMBER, TEXT, a|b, INT,INT."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return "|".join(show_type(part) for part in parts if part is not type(None))
    if origin is typing.Literal:
        return "|".join(map(str, parts))
    if kind is tuple or origin is tuple:
        parts = parts or (str, ...)
        if parts[-1] is ...:
            return show_type(parts[0]) + "..."
        return ",".join(map(show_type, parts))
    return {int: "INT", float: "NUMBER", bool: "true|false", Path: "PATH"}.get(kind, "TEXT")
