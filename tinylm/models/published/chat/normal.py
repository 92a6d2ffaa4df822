"""When two chat programs are the same program.

The programs of one family travel in many spellings: with line breaks or without, quoted by ' or ",
with "\\n" or a line break inside a literal. A program is cut here as Jinja cuts it, with blocks
trimmed, into what is written and what is computed; what is left differs only where the programs do.
No Jinja is needed for that. Read next: builtin.py, which knows some programs by their fingerprint.
"""

import hashlib
import re

_LONGEST = 10_000  # characters; those known here have 1,000
_OPEN = re.compile(r"\{[{%#]")
_CLOSE = {"{{": "}}", "{%": "%}", "{#": "#}"}
_TOKEN = re.compile(
    r"\s+|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>\d[\d_.eE]*)|(?P<sign>==|!=|>=|<=|//|\*\*|[-+*/%~<>=.:|,;()\[\]{}])",
    re.DOTALL,
)
# A ChatML program that writes a system message of its own holds it as one literal.
_DEFAULT = re.compile(r"<\|im_start\|>system\n([^<>]+)<\|im_end\|>\n")


def fingerprint(program):
    """(sha256 of the program's tokens as hex, the default system message in it or None).

    returns  (None, None) for a text that is not cut here, which is no known program either
    """
    tokens = canonical(program) if len(program) <= _LONGEST else None
    if tokens is None:
        return None, None
    defaults = {token[1]: _DEFAULT.fullmatch(token[1]) for token in tokens if token[0] == "string"}
    defaults = {text: found[1] for text, found in defaults.items() if found}
    if len(defaults) > 1:
        return None, None
    tokens = [("default", "") if token[1] in defaults else token for token in tokens]
    return (hashlib.sha256(repr(tokens).encode()).hexdigest(), next(iter(defaults.values()), None))


def canonical(program):
    """The tokens of a program, list of (kind, text); None where it cannot be cut.

    What stands outside of tags has the kind "data", with the whitespace that Jinja leaves of it
    (trim_blocks and lstrip_blocks are on, the last line break is dropped).
    """
    program = re.sub(r"\r\n|\r", "\n", program)
    if program.endswith("\n"):
        program = program[:-1]
    found, at, starts_line = [], 0, True
    while True:
        opened = _OPEN.search(program, at)
        data = program[at : opened.start() if opened else len(program)]
        if not opened:
            return _joined([*found, ("data", data)])
        kind, start = opened[0], opened.end()
        sign = program[start : start + 1] if program[start : start + 1] in ("-", "+") else ""
        found.append(("data", _stripped(data, kind, sign, starts_line)))
        tokens, end, closing = _tag(program, start + len(sign), kind)
        if tokens is None or ("name", "raw") in tokens[1:2]:
            return None
        found += tokens
        at = end
        if closing == "-":
            at = end + len(program[end:]) - len(program[end:].lstrip())
        elif kind != "{{" and closing != "+" and program[end : end + 1] == "\n":
            at = end + 1
        starts_line = at > end and program[at - 1] == "\n"


def _stripped(data, kind, sign, starts_line):
    """What is before a tag, with the whitespace gone that the tag takes."""
    if sign == "-":
        return data.rstrip()
    line = data.rfind("\n") + 1
    if kind == "{{" or sign == "+" or not (line or starts_line) or data[line:].strip():
        return data
    return data[:line]


def _tag(program, at, kind):
    """(tokens, place after the tag, sign before its end), or (None, 0, "")."""
    close = _CLOSE[kind]
    if kind == "{#":
        found = program.find(close, at)
        closing = program[found - 1] if program[found - 1 : found] in ("-", "+") else ""
        if found >= 0:
            return ([], found + 2, closing)
        return (None, 0, "")
    tokens, depth = [("open", kind)], 0
    while at < len(program):
        ended = re.compile(f"([-+]?){re.escape(close)}").match(program, at)
        if ended and not depth:
            return [*tokens, ("close", close)], ended.end(), ended[1]
        token = _TOKEN.match(program, at)
        if not token:
            return None, 0, ""
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token[0], 0)
        if token.lastgroup == "string":
            tokens.append(("string", _literal(token[0])))
        elif token.lastgroup:
            tokens.append((token.lastgroup, token[0]))
        at = token.end()
    return None, 0, ""


def _literal(text):
    """The value of a quoted text, as Jinja reads its escapes."""
    return text[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape", "replace")


def _joined(tokens):
    """Neighboring data made one, and empty data left out."""
    found = []
    for kind, text in tokens:
        if kind == "data" and found and found[-1][0] == "data":
            found[-1] = kind, found[-1][1] + text
        elif kind != "data" or text:
            found.append((kind, text))
    return found
