"""Prompts in the style of code: names and values in brackets   (book section 3.1.3).

    [English] = [I have an apple.]
    [German] = [Ich habe einen Apfel.]
    [English] = [I have an orange.]
    [German] = _____

The model fills in the last value, and its answer ends with the closing bracket. Brackets and
backslashes inside a value get a backslash. Read next: tables.py.
"""

import re
from collections.abc import Sequence
from typing import Any

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.protocol.text_lm import TextLM

_LINE = re.compile(r"\[([^\[\]\n\\]+)\] = \[((?:[^\[\]\\]|\\[\[\]\\])*)\](?:\n|\Z)")
_VALUE = re.compile(r"\s*\[?((?:[^\[\]\\]|\\.)*)\]", re.DOTALL)


def render_code(pairs: Sequence[tuple[str, str | None]]) -> str:
    """[name] = [value], one each.

    pairs    list of (name, value); the value None, of the last, is left open: "[name] ="
    returns  str
    raises   ConfigError for a name that is empty or holds a bracket, a backslash or a line break;
             DataError for an open value before the last
    """
    pairs = list(pairs)
    lines = []
    for number, (name, value) in enumerate(pairs):
        # Names have no escapes: they are a part of the prompt, and values are data.
        if not name or set(name) & set("[]\\\n"):
            raise ConfigError(
                f"render_code: {name!r} is no name: it must not be empty, or hold a bracket, a "
                "backslash or a line break"
            )
        if value is not None:
            lines.append(f"[{name}] = [{_escaped(value)}]")
        elif number == len(pairs) - 1:
            lines.append(f"[{name}] =")
        else:
            raise DataError(f"render_code: the value of {name!r} is open, and only the last can be")
    return "\n".join(lines)


def parse_code(text: str) -> list[tuple[str, str | None]]:
    """The pairs of a text in this style, as render_code takes them: list of (name, value).

    raises   DataError for a line that is not of this form
    """
    pairs, place = [], 0
    while place < len(text):
        found = _LINE.match(text, place)
        if found is None:
            # Only the last line may have no value.
            last = re.fullmatch(r"\[([^\[\]\n\\]+)\] =", text[place:])
            if last is None:
                raise DataError(f"parse_code: {text[place:]!r:.60} is not [name] = [value]")
            return [*pairs, (last[1], None)]
        pairs.append((found[1], _unescaped(found[2])))
        place = found.end()
    return pairs


def read_value(reply: str) -> str:
    """The value at the beginning of a reply to an open name: up to the closing bracket.

    returns  str; None if there is no closing bracket, or another opening one before it
    """
    # The opening bracket is missing if the reply was made to begin with it.
    found = _VALUE.match(reply)
    if found is None:
        return None
    return _unescaped(found[1])


def complete_code(lm: TextLM, pairs: Sequence[tuple[str, str | None]], **options: Any) -> str:
    """Let a model fill in the last value.

    lm       TextLM
    pairs    as in render_code, the last one open
    options  of TextLM.complete
    returns  str, or None as in read_value
    """
    # A value may have several lines, so a stop string is a line that begins with [.
    reply = lm.complete(render_code(pairs), stop=("\n[",), **options)
    return lm.parsed("value", read_value(reply.text))


def _escaped(value):
    return re.sub(r"([\[\]\\])", r"\\\1", value)


def _unescaped(value):
    return re.sub(r"\\([\[\]\\])", r"\1", value)
