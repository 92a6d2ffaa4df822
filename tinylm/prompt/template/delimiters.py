"""Delimiters: marks that show where the input text begins and ends   (book section 3.1.3).

    The input text is delimited by double quotes.        "It rained all \\"summer\\"."
    The input text is delimited by the tag <text>.       <text>1 &lt; 2</text>
    The input text is the value of "text" in JSON.       {"text": "It rained all \\"summer\\"."}

An input that holds the delimiter could end itself and go on as an instruction. What would end it is
escaped, or, for a fence, the delimiter grows; so `unwrap(wrap(t)) == t` for every text t. Read
next: json_reply.py, which reads objects of replies; code_style.py.
"""

import json
import re
from xml.sax.saxutils import escape, unescape

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.template.fields import parse_fields, render_fields
from tinylm.reading import strict_json

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_NAME = re.compile(r"[A-Za-z_][\w.-]*")


def quote(text: str) -> str:
    """The text in double quotes; quotes and backslashes in it get a backslash."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def unquote(text: str) -> str:
    """The text that was quoted. DataError if it is not in quotes, or has a quote inside."""
    found = _QUOTED.fullmatch(text)
    if found is None:
        raise DataError(f"unquote: {text!r:.60} is not one text in double quotes")
    return re.sub(r"\\(.)", r"\1", found[1])


def tag(text: str, name: str = "text") -> str:
    """<name>text</name>, with &, < and > as in XML.

    raises  ConfigError for a name that is none in XML
    """
    _check_tag(name)
    return f"<{name}>{escape(text)}</{name}>"


def untag(text: str, name: str = "text") -> str:
    """The text between the tags. DataError if there are others, or a tag inside."""
    _check_tag(name)
    # In what tag() wrote, no < is left between the tags.
    inside = text.removeprefix(f"<{name}>").removesuffix(f"</{name}>")
    if text != f"<{name}>{inside}</{name}>" or "<" in inside:
        raise DataError(f"untag: {text!r:.60} is not one text in <{name}> and </{name}>")
    return unescape(inside)


def _check_tag(name):
    if not _NAME.fullmatch(name):
        raise ConfigError(f"tag: {name!r} is no name of a tag: letters, digits, _, . and -")


def field(text: str, name: str = "Text") -> str:
    """name: text, in which a line that begins with the name is indented (fields.py)."""
    return render_fields([(name, text)])


def unfield(text: str, name: str = "Text") -> str:
    """The content of the field. DataError if it is not the only one."""
    fields = parse_fields(text, (name,))
    if len(fields) != 1 or fields[0][0] != name:
        raise DataError(f"unfield: {text!r:.60} is not one field {name!r}")
    return fields[0][1] or ""


def json_object(text: str, name: str = "text") -> str:
    """The text as the value of a JSON object: {"text": "..."}, with JSON's own escapes."""
    return json.dumps({name: text}, ensure_ascii=False)


def unjson(text: str, name: str = "text") -> str:
    """The value in the object. DataError for no JSON, or another object."""
    try:
        found = strict_json(text)
    except ValueError as error:
        raise DataError(f"unjson: {text!r:.60} is no JSON: {error}") from None
    if not isinstance(found, dict) or set(found) != {name} or not isinstance(found[name], str):
        raise DataError(f"unjson: {text!r:.60} is not one text under the name {name!r}")
    return found[name]


def fence(text: str, language: str = "") -> str:
    """The text between lines of backticks, one more than it has in a row: a block of code.

    language  what is written after the first fence
    """
    # CommonMark: a block ends with at least as many backticks as it began with.
    longest = max(map(len, re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def unfence(text: str) -> str:
    """The text of one block of code. DataError if it is not fenced."""
    # (backticks)(language) line break (text, its line break) (the same backticks)
    found = re.fullmatch(r"(`{3,})[^\n`]*\n((?:.*\n)?)\1", text, re.DOTALL)
    if found is None or found[1] in found[2]:
        raise DataError(f"unfence: {text!r:.60} is not one block between lines of backticks")
    return found[2].removesuffix("\n")


def code_blocks(reply: str) -> list[tuple[str, str]]:
    """The blocks of code of a reply, in order: list of (language, text).

    A block that is not closed goes to the end of the reply, as when tokens ran out.
    """
    # (backticks)(language) line break (text), then the same backticks alone, or the end
    found = re.findall(
        r"^[ \t]*(`{3,})([^\n`]*)\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", reply, re.DOTALL | re.MULTILINE
    )
    return [(language.strip(), text.removesuffix("\n")) for _, language, text in found]


# {style: (wrap, unwrap, what the prompt states)}
STYLES = {
    "quotes": (quote, unquote, "The input text is delimited by double quotes."),
    "xml": (tag, untag, "The input text is delimited by the tags <text> and </text>."),
    "fields": (field, unfield, 'The input text is the content of the field "Text".'),
    "json": (json_object, unjson, 'The input text is the value of "text" in the JSON object.'),
    "fence": (fence, unfence, "The input text is delimited by lines of backticks."),
}


def _style(name):
    if name not in STYLES:
        raise ConfigError(f"no style of delimiters {name!r}; there are {', '.join(STYLES)}")
    return STYLES[name]


def wrap(text: str, style: str = "quotes") -> str:
    """The text in delimiters; `style` is "quotes", "xml", "fields", "json" or "fence"."""
    return _style(style)[0](text)


def unwrap(text: str, style: str = "quotes") -> str:
    """The text that was wrapped. DataError if it was not, or not in this style."""
    return _style(style)[1](text)


def delimited(instruction: str, text: str, style: str = "quotes") -> str:
    """A prompt: the instruction, what delimits the input, and the input."""
    return f"{instruction} {_style(style)[2]}\n{wrap(text, style)}"
