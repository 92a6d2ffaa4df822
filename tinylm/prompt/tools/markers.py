"""Tool calls inside a text   (book section 3.2.5; Parisi et al. 2022).

    {tool: web-search, query: "2028 Olympics"}
    {tool: calculator, expression: 10 * 4 * 2}

    marker   = "{tool:" name {"," argument} "}"
    argument = name ":" value
    value    = string | text
    string   = '"' {character | '\\"' | '\\\\' | '\\n'} '"'

A text ends at the brace that closes its marker, or at a comma that an argument follows, so
"Paris, France" is one value. Braces inside a string do not count. A text may hold a marker, which
is complete, and is run, before the outer one. A marker does not go past its line: a brace that the
model forgot would otherwise swallow the rest of the text. Read next: registry.py.
"""

import re
from dataclasses import dataclass, field

BEGIN = "{tool:"
_NAME = r"[^\W\d][\w-]*"
# What can change where a marker ends: a string as a value, a marker, braces, the end of the line.
_STEP = re.compile(r'(?P<string>:[ \t]*"(?:[^"\\\n]|\\.)*(?P<closed>")?)|\{tool:|[{}\n]')
_HEAD = re.compile(rf"\s*({_NAME})\s*(?:,|$)")
_ARGUMENT = re.compile(rf"\s*({_NAME})\s*:\s*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_TEXT = re.compile(rf"(.*?)\s*(?:,(?=\s*{_NAME}\s*:)|$)", re.DOTALL)
_SIGNS = r"[0-9.+*/^%()=<>-]+"
_BARE = re.compile(rf"{_SIGNS}(?: {_SIGNS})*")  # a value that is written without quotation marks
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


@dataclass(frozen=True)
class Marker:
    """A call that is complete.

    name        of the tool; "" if it could not be read
    arguments   {name: value}, both str
    start, end  characters of the text
    fault       why it is no call; "" if it is one
    """

    name: str
    arguments: dict = field(default_factory=dict)
    start: int = 0
    end: int = 0
    fault: str = ""


def find_marker(text: str, start: int = 0) -> Marker | None:
    """The first marker that is complete: of markers inside each other the inner one.

    start    where to begin; a marker before it is not seen
    returns  Marker, which may have a fault; None if there is none
    """
    found, _ = _scan(text, start)
    return found


def open_marker(text: str, start: int = 0) -> int | None:
    """Where the first marker begins that is not complete yet; None if all are, or there is none."""
    found, depths = _scan(text, start)
    if found is not None or not depths:
        return None
    return depths[0][0]


def parse_marker(text: str) -> Marker:
    """The call in a text that is one marker from its first to its last character: Marker."""
    end = len(text)
    body = text.removeprefix(BEGIN).removesuffix("}")
    head = _HEAD.match(body)
    if head is None:
        fault = f"after {BEGIN!r} comes the name of a tool, and then a comma or the closing brace"
        return Marker("", {}, 0, end, fault)
    name, at, arguments = head[1], head.end(), {}
    # A comma at the end announces another argument, which is then missing.
    while at < len(body) or body[:at].endswith(","):
        match = _ARGUMENT.match(body, at)
        if match is None:
            fault = f"{body[at:].strip()!r:.60} is no argument of the form name: value"
            return Marker(name, arguments, 0, end, fault)
        value, at, fault = _value(body, match.end())
        if not fault and match[1] in arguments:
            fault = f"the argument {match[1]!r} stands twice"
        if fault:
            return Marker(name, arguments, 0, end, f"{match[1]}: {fault}")
        arguments[match[1]] = value
    return Marker(name, arguments, 0, end)


def format_marker(name: str, arguments: dict[str, str]) -> str:
    """A call as text: find_marker reads it back.

    arguments  {name: value}; numbers and expressions are written as they are, and everything else
               as a string, as in the book
    """
    parts = [f"{BEGIN} {name}"]
    for argument, value in arguments.items():
        value = str(value)
        # In a string all signs are safe but three, which are written as \" \\ and \n.
        if not _BARE.fullmatch(value):
            escaped = re.sub(r'["\\]', r"\\\g<0>", value).replace("\n", "\\n")
            value = f'"{escaped}"'
        parts.append(f"{argument}: {value}")
    return ", ".join(parts) + "}"


def inert(text: str, before: str = "") -> str:
    """A text in which no marker begins: what a tool returns is never run as a call.

    A retrieved page could otherwise call tools ("{tool: send-mail, ..}"), also with a brace that
    stands before the text, or with a colon that comes after it.

    before   what the text is written after
    returns  str; a space separates it from what it could begin a marker with
    """
    text = text.replace(BEGIN, "{tool :")
    # "{to" and "ol: .." make a marker together, wherever it is cut.
    starts = [BEGIN[:n] for n in range(1, len(BEGIN))]
    for start in starts:
        rest = BEGIN[len(start) :]
        if text and before.endswith(start) and (text.startswith(rest) or rest.startswith(text)):
            text = f" {text}"
    if text.endswith(tuple(starts)):
        text += " "
    return text


def is_name(text: str) -> bool:
    """True if a marker can have it as the name of its tool."""
    return re.fullmatch(_NAME, text) is not None


def _scan(text, start):
    """(the first complete marker or None, [(start, open braces)] of the markers open at the end)"""
    depths, at = [], start
    while True:
        if not depths:  # outside of markers nothing else counts, quotation marks neither
            at = max(at, text.find(BEGIN, at))
        step = _STEP.search(text, at)
        if step is None or not (depths or step[0] == BEGIN):
            return None, depths
        at = step.end()
        if step["string"]:
            # A backslash does not take the end of the line into the string.
            if step["closed"] is None and not text.startswith(("\n", "\\\n"), at):
                return None, depths  # the string goes on
        elif step[0] == BEGIN:
            # One inside another is complete first, and so is run first.
            depths.append((step.start(), 0))
        elif step[0] == "\n":
            # The line ends all of them; the outermost one is at fault.
            begin = depths[0][0]
            fault = "it is not closed on its line"
            return Marker("", {}, begin, step.start(), fault), []
        else:
            begin, depth = depths.pop()
            if step[0] == "}" and depth == 0:
                one = parse_marker(text[begin : step.end()])
                return Marker(one.name, one.arguments, begin, step.end(), one.fault), depths
            # Braces of a text value are counted, so {x} inside of it does not close the marker.
            change = 1 if step[0] == "{" else -1
            depths.append((begin, depth + change))


def _value(body, at):
    """(value, where the next argument begins, fault) of the value at `at`."""
    if body[at : at + 1] == '"':
        match = _STRING.match(body, at)
        if match is None:
            return "", at, "after a string comes a comma or the closing brace"
        value = re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), match[1])
        return value, match.end(), ""
    match = _TEXT.match(body, at)
    if not match[1]:
        return "", at, "it has no value"
    return match[1], match.end(), ""
