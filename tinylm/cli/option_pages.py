"""The pages that --help and --show-config print: settings with their texts, fitted to the terminal.

Read first: options.py, which parses the words that the pages describe.
"""

import dataclasses
import shutil
import textwrap
from collections.abc import Container, Sequence
from typing import Any

from tinylm.cli.values import show_type


def default_of(field: dataclasses.Field) -> Any:
    """The default of a setting, made anew by its factory; dataclasses.MISSING if it has none."""
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


def help_text(
    fields: dict[str, tuple],
    verb: str,
    about: str,
    positionals: tuple[str, ...] = (),
    examples: Any = (),
) -> str:
    """The page that --help prints: usage, purpose, examples, and every setting with its default."""
    usage = f"usage: tinylm {verb} {' '.join(positionals)}".rstrip()
    if fields:
        usage += " [--setting value ...]"
    lines = _fitted(usage)
    if about:
        lines += ["", *_fitted(about.strip())]
    if examples:
        lines += ["", *(f"  {example}" for example in examples)]
    if fields:
        lines += ["", *_fitted(SETTINGS)]
    for name, (field, kind) in fields.items():
        default = default_of(field)
        option = name.replace("_", "-")
        left = f"  --{option} {show_type(kind)}"
        if kind is bool:
            left = f"  --[no-]{option}"
        remark = "required"
        if default is not dataclasses.MISSING:
            remark = f"default {_show(default)}"
        lines += _two_columns(left, f"{field.metadata.get('help', '')} ({remark})".strip())
    return "\n".join(lines)


SETTINGS = (
    "settings (also --set key=value; --config FILE or RUN reads them; --show-config prints the "
    "values in use):"
)


def _fitted(text):
    """A text as lines that fit the terminal.

    Where it is wide enough they stay as they are. Else paragraphs are filled anew, and lines that
    are indented, such as those of a table, are broken with their indent.
    """
    width = shutil.get_terminal_size().columns
    lines = text.split("\n")
    if max(map(len, lines)) <= width:
        return lines
    fitted, paragraph = [], []
    for line in [*lines, ""]:
        if line and not line[0].isspace():
            paragraph.append(line)
            continue
        if paragraph:
            fitted += textwrap.wrap(" ".join(paragraph), max(20, width))
            paragraph = []
        indent = " " * (len(line) - len(line.lstrip()))
        # The rest of a row stands further in than its beginning.
        fitted += textwrap.wrap(line, max(20, width), subsequent_indent=indent + "  ") or [""]
    return fitted[:-1]  # without the empty line that ended the last paragraph


def config_text(instances: Sequence, given: Container[str] = ()) -> str:
    """What --show-config prints: `name = value` of every setting, by where the value is from.

    instances  the dataclasses that hold the settings;  given  the names that the user has set
    returns    first those, then the ones whose default is to be chosen by the program, both with
               their help texts; then the defaults, whose help texts --help has
    """
    parts: dict[str, list] = {
        "settings that were given:": [],
        "settings that follow:": [],
        "defaults:": [],
    }
    was_set, chosen, plain = parts.values()
    for instance in instances:
        for field in dataclasses.fields(instance):
            value, default = getattr(instance, field.name), default_of(field)
            row, note = f"  {field.name} = {_show(value)}", field.metadata.get("help", "")
            if field.name in given:
                if default is not dataclasses.MISSING and _show(default) != "none":
                    note = f"{note} (default {_show(default)})".strip()
                was_set += _two_columns(row, note)
            elif value != default:
                chosen += _two_columns(row, note)
            else:
                plain.append(row)
    return "\n".join(line for title, rows in parts.items() if rows for line in (title, *rows))


def _show(value):
    if value is None or value == "":
        return "none"
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _two_columns(left, right, at=34):
    """`left`, and `right` wrapped in a column that begins at `at`; as lines.

    On a terminal too narrow for two columns `right` stands below `left`.
    """
    columns = min(shutil.get_terminal_size().columns, 120)
    if columns < at + 40:
        wrapped = textwrap.wrap(right, max(20, columns - 6))
        return [left, *(" " * 6 + line for line in wrapped)]
    wrapped = textwrap.wrap(right, columns - at) or [""]
    if len(left) < at:
        left = f"{left:<{at}}{wrapped.pop(0)}".rstrip()
    return [left] + [" " * at + line for line in wrapped]
