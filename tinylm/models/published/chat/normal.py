"""When two chat programs are the same program.

The programs of one family occur in many spellings: with line breaks or without, quoted by ' or ",
with "\\n" or a line break inside a literal. A program is cut here into tokens as Jinja cuts it,
with blocks trimmed; the tokens of two spellings differ only if the programs do. No Jinja is needed
for that. Read next: builtin.py, which lists the fingerprints of some programs.
"""

import hashlib
import re

_LONGEST = 10_000  # characters; the programs in builtin.py have 1,000
_OPEN = re.compile(r"\{[{%#]")
_CLOSE = {"{{": "}}", "{%": "%}", "{#": "#}"}
_TOKEN = re.compile(
    r"\s+|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>\d[\d_.eE]*)|(?P<sign>==|!=|>=|<=|//|\*\*|[-+*/%~<>=.:|,;()\[\]{}])",
    re.DOTALL,
)
# A ChatML program that writes a system message of its own holds it as one literal.
_DEFAULT = re.compile(r"<\|im_start\|>system\n([^<>]+)<\|im_end\|>\n")


def fingerprint(program: str) -> tuple[str | None, str | None]:
    """(sha256 of the program's tokens as hex, the default system message in it or None).

    returns  (None, None) for a text that cannot be cut, which is no program of builtin.py either
    """
    tokens = None
    if len(program) <= _LONGEST:
        tokens = canonical(program)
    if tokens is None:
        return None, None
    # The system message differs from model to model of one family: it is taken out.
    texts = [text for kind, text in tokens if kind == "string"]
    defaults = {text: found[1] for text in texts if (found := _DEFAULT.fullmatch(text))}
    if len(defaults) > 1:
        return None, None
    for i, (_, text) in enumerate(tokens):
        if text in defaults:
            tokens[i] = "default", ""
    return hashlib.sha256(repr(tokens).encode()).hexdigest(), next(iter(defaults.values()), None)


def canonical(program: str) -> list[tuple[str, str]] | None:
    """The tokens of a program, list of (kind, text); None if it cannot be cut.

    Text outside of tags has the kind "data", with the white space that Jinja leaves of it
    (trim_blocks and lstrip_blocks are on, the last line break is dropped).
    """
    program = re.sub(r"\r\n|\r", "\n", program)
    if program.endswith("\n"):
        program = program[:-1]
    found, at, starts_line = [], 0, True  # starts_line: is `at` the begin of a line?
    while opened := _OPEN.search(program, at):
        data = program[at : opened.start()]
        kind, start = opened[0], opened.end()
        sign = program[start : start + 1]  # {%- and {%+ rule the white space before the tag
        if sign not in ("-", "+"):
            sign = ""
        found.append(("data", _stripped(data, kind, sign, starts_line)))
        tokens, end, closing = _tag(program, start + len(sign), kind)
        if tokens is None or ("name", "raw") in tokens[1:2]:
            return None
        found += tokens
        # Behind the tag: -%} takes all white space, and a block one line break, unless +%}.
        at = end
        if closing == "-":
            at = end + len(program[end:]) - len(program[end:].lstrip())
        elif kind != "{{" and closing != "+" and program[end : end + 1] == "\n":
            at = end + 1
        starts_line = at > end and program[at - 1] == "\n"
    return _joined([*found, ("data", program[at:])])


def _stripped(data, kind, sign, starts_line):
    """The text before a tag, without the white space that the tag takes."""
    if sign == "-":
        return data.rstrip()
    # A block alone at the begin of its line takes the indentation.
    line = data.rfind("\n") + 1
    if kind == "{{" or sign == "+" or not (line or starts_line) or data[line:].strip():
        return data
    return data[:line]


def _tag(program, at, kind):
    """(tokens, place after the tag, sign before its end), or (None, 0, "")."""
    close = _CLOSE[kind]
    if kind == "{#":
        found = program.find(close, at)
        if found < 0:
            return None, 0, ""
        closing = program[found - 1 : found]
        if closing not in ("-", "+"):
            closing = ""
        return [], found + 2, closing
    tokens, depth = [("open", kind)], 0  # depth: of brackets, inside of which "}}" ends nothing
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
        elif token.lastgroup:  # not white space
            tokens.append((token.lastgroup, token[0]))
        at = token.end()
    return None, 0, ""


def _literal(text):
    """The value of a quoted text, as Jinja reads its escapes."""
    return text[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape", "replace")


def _joined(tokens):
    """Tokens with neighboring data joined, and empty data left out."""
    found = []
    for kind, text in tokens:
        if kind == "data" and found and found[-1][0] == "data":
            found[-1] = kind, found[-1][1] + text
        elif kind != "data" or text:
            found.append((kind, text))
    return found
