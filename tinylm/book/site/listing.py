"""Python code as HTML with line numbers and color, by the standard library's tokenizer.

Line numbers come from the style (a counter), so that copied code is code. Read next: section.py.
"""

import builtins
import io
import keyword
import tokenize
from html import escape

_STRINGS = {tokenize.STRING} | {
    getattr(tokenize, name)
    for letter in "FT"  # from Python 3.12 and 3.14 on
    for name in (f"{letter}STRING_START", f"{letter}STRING_MIDDLE", f"{letter}STRING_END")
    if hasattr(tokenize, name)
}
_CONSTANTS = {"None", "True", "False", "self", "cls"} | set(vars(builtins))


def spans(code: str) -> list[tuple[int, int, int, int, str]]:
    """The colored parts of a code: (row, column, end row, end column, class), rows from 1.

    Classes: k keyword, s string, c comment, n number, f name that is defined, b builtin. Code that
    is no complete program has the parts up to its error.
    """
    found, before = [], ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            kind = ""
            if token.type in _STRINGS:
                kind = "s"
            elif token.type == tokenize.COMMENT:
                kind = "c"
            elif token.type == tokenize.NUMBER:
                kind = "n"
            elif token.type == tokenize.NAME:
                kind = _kind_of_name(token.string, before)
            if kind:
                found.append((*token.start, *token.end, kind))
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                before = token.string
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    return found


def _kind_of_name(name, before):
    if before in ("def", "class"):
        return "f"
    if before == ".":  # x.sum is no builtin
        return ""
    if keyword.iskeyword(name) and name not in _CONSTANTS:
        return "k"
    if name in _CONSTANTS:
        return "b"
    return ""


def lines(code: str) -> list[str]:
    """A code as lines of HTML, each complete in itself."""
    # As the tokenizer counts lines: str.splitlines() would also end one at a form feed.
    text = code.removesuffix("\n").split("\n")
    marks = [[] for _ in text]  # of each line: (column, end column, class)
    for row, column, end_row, end_column, kind in spans(code):
        for at in range(row, min(end_row, len(text)) + 1):
            start = column if at == row else 0
            stop = end_column if at == end_row else len(text[at - 1])
            marks[at - 1].append((start, stop, kind))
    return [_line(line, parts) for line, parts in zip(text, marks)]


def _line(line, parts):
    html, at = "", 0
    for start, stop, kind in parts:
        start = max(start, at)  # doubled braces of an f-string: parts may meet in Python 3.12
        if stop <= start:
            continue
        html += escape(line[at:start], quote=False)
        html += f"<span class={kind}>{escape(line[start:stop], quote=False)}</span>"
        at = stop
    return html + escape(line[at:], quote=False)


def block(code: str, first: int, label: str) -> str:
    """A listing that begins with line `first`; `label` is its name for screen readers."""
    numbered = "\n".join(f"<span class=l>{line}</span>" for line in lines(code))
    return (
        f'<pre tabindex=0 role=region aria-label="{escape(label)}" '
        f'style="counter-reset:line {first - 1}"><code>{numbered}</code></pre>'
    )
