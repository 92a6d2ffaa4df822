"""Prompts whose lines are "Name: content", the last one open   (book section 3.1.1).

    John: Good morning.                    Q: What is the boiling point of water?
    David: Good morning. How are you?      A:
    John:

The model continues after the last name. It knows no end, and may write the other speaker's next
line too, so the names at the start of a line are stop strings. A line of a content that would read
as a name is indented by one space, so every text can stand in a field and is read back as it was.
Read next: ../protocol/text_lm.py, which completes prompts.
"""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.protocol.text_lm import TextLM

if TYPE_CHECKING:
    from tinylm.data.read.items import Item


def render_fields(fields: Sequence[tuple[str, str | None]]) -> str:
    """The text of fields: render_fields([("Q", "Why?"), ("A", None)]) == "Q: Why?\\nA:".

    fields   list of (name, content): str each. The content None leaves the last field open. The
             name "" is for text before the first field, such as an instruction
    returns  str, without a space after an open field, as it belongs to the reply
    raises   DataError for an open field before the last, or text without a name after the first;
             ConfigError for a name that could not be read back (check_names)
    """
    fields = list(fields)
    names = field_names(fields)
    lines = []
    for number, (name, content) in enumerate(fields):
        if content is None:
            if number < len(fields) - 1 or not name:
                raise DataError(
                    f"render_fields: the field {name!r} is open, and only the last, with a name, "
                    "can be: the model continues after it"
                )
            # No space after the colon: it belongs to the reply.
            lines.append(f"{name}:")
        elif name:
            # The first line stands behind the name, so only the others could read as a field.
            first, *rest = content.split("\n")
            lines.append("\n".join([f"{name}: {first}", *_indented(rest, names)]))
        elif number == 0 and content:
            # Before all fields every line stands at the start.
            lines.append("\n".join(_indented(content.split("\n"), names)))
        else:
            raise DataError(
                f"render_fields: text without a name, {content!r:.60}, must come first and not be "
                "empty"
            )
    return "\n".join(lines)


def parse_fields(text: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """The fields of a text, as render_fields takes them: parse_fields(render_fields(x), names) == x

    text     str
    names    the names that begin a field where they stand at the start of a line before ":"
    returns  list of (name, content): the content of an open field at the end is None; text before
             the first field has the name ""
    raises   ConfigError as check_names
    """
    check_names(names)
    if not text:
        return []
    if not names:
        return [("", text)]
    fields = []
    start = re.compile(rf"^{_any(names)}:", re.MULTILINE)
    starts = list(start.finditer(text))
    # The line break before a name belongs to the form, not to the content.
    before = text
    if starts:
        before = text[: starts[0].start()]
    if starts:
        before = before.removesuffix("\n")
    if before:
        fields.append(("", _dedented(before, names)))
    for found, following in zip(starts, [*starts[1:], None]):
        if following is not None:
            content = text[found.end() : following.start()].removesuffix("\n")
        else:
            # Nothing after the last colon: an open field. A space after it: an empty content.
            content = text[found.end() :] or None
        if content is not None:
            content = _dedented(content.removeprefix(" "), names, first=False)
        fields.append((found[1], content))
    return fields


def stop_strings(names: Sequence[str]) -> tuple[str, ...]:
    """What a reply must not go on with: a line break, one of the names, and ":"."""
    check_names(names)
    return tuple(f"\n{name}:" for name in names)


def reply_stops(
    lm: Any, stop: str | Sequence[str] | None, demonstrations: "Sequence[Item]" = ()
) -> tuple[str, ...]:
    """The stop strings of a model's reply, given those of the form of its prompt: tuple of str.

    A text that is continued goes on with another block after a blank line. A turn of a chat ends by
    itself and may have paragraphs: the blank line ends it only where demonstrations show that.

    lm              TextLM
    stop            stop strings of the form
    demonstrations  those in the prompt
    """
    if demonstrations or not getattr(lm, "chat", False):
        return tuple(stop)
    return tuple(string for string in stop if string != "\n\n")


def field_names(fields: Sequence[tuple[str, str | None]]) -> tuple[str, ...]:
    """The different names of fields, in order: tuple of str. Raises ConfigError as check_names."""
    names = tuple(dict.fromkeys(name for name, _ in fields if name))
    check_names(names)
    return names


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that could not be found in a text: empty, with ":" or a line
    break in it, or with white space at an end.
    """
    for name in names:
        if not name or ":" in name or "\n" in name or name != name.strip():
            raise ConfigError(
                f"the field name {name!r} cannot be read back: it must not be empty, hold a colon "
                "or a line break, or begin or end with white space"
            )


def read_reply(reply: str, name: str, names: tuple[str, ...]) -> str:
    """The content of the open field `name` in the reply of a model.

    It ends before the next line that begins a field. A chat model often repeats the name that the
    prompt ended with; it is no part of the content.

    returns  str without white space at its ends, lines un-indented
    """
    # A second line of the same name is a new turn, too.
    names = (name, *names)
    check_names(names)
    reply = reply.lstrip().removeprefix(f"{name}:")
    found = re.search(rf"^{_any(names)}:", reply, re.MULTILINE)
    if found:
        reply = reply[: found.start()]
    return _dedented(reply, names).strip()


def complete_fields(
    lm: TextLM,
    fields: Sequence[tuple[str, str | None]],
    stop: str | Sequence[str] | None = (),
    before: str = "",
    **options: Any,
) -> list[tuple[str, str]]:
    """Let a model fill in the open field: the next turn of a dialogue, the answer to a question.

    lm       TextLM
    fields   list of (name, content); the last content is None
    before   text in front of the fields, such as other dialogues
    stop     more strings that end the reply, besides the names at the start of a line
    options  of TextLM.complete: max_tokens, seed, temperature, ..
    returns  list of (name, content), all closed
    raises   DataError if the last field is not open
    """
    fields = list(fields)
    if not fields or fields[-1][1] is not None:
        raise DataError("complete_fields: the last field must be open: (name, None)")
    name, names = fields[-1][0], field_names(fields)
    # The reply is stopped at another name, and cut there again if the model was not stopped.
    prompt = before + render_fields(fields)
    reply = lm.complete(prompt, stop=(*stop_strings(names), *stop), **options)
    content = lm.parsed(name, read_reply(reply.text, name, names))
    return [*fields[:-1], (name, content)]


def dialogue(
    turns: Sequence[str], speakers: tuple[str, ...] = ("John", "David")
) -> list[tuple[str, str | None]]:
    """Turns as fields, the speakers by turns, and the next turn open   (book section 3.1.1)

    turns    list of str
    returns  list of (name, content) with len(turns) + 1 entries
    """
    return list(zip(itertools.cycle(speakers), [*turns, None]))


# In a content, a line that begins with spaces and a name is written with one space more. The rule
# is invertible, as every such line has at least one space afterwards, and no other line changes.


def _indented(lines, names):
    if not names:
        return lines
    pattern = re.compile(rf" *{_any(names)}:")
    return [f" {line}" if pattern.match(line) else line for line in lines]


def _dedented(text, names, first=True):
    """The text as it was before _indented; `first`: its first line was indented too."""
    pattern = re.compile(rf"^ ( *{_any(names)}:)", re.MULTILINE)
    if first:
        return pattern.sub(r"\1", text)
    line, newline, rest = text.partition("\n")
    return line + newline + pattern.sub(r"\1", rest)


def _any(names):
    return "(" + "|".join(map(re.escape, names)) + ")"
