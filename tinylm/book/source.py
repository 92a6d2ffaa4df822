"""What the source says of a symbol: where it is written, its code, its idea, the shapes it names.

Functions, classes, properties and modules have docstrings. A table or a number has none of its own
(its type's would say what a dict is): its idea is the comment above or beside it, else the first
sentence of its module. Read first: check.py, which resolves names.
"""

import ast
import importlib
import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinylm.book.check import module_of, resolve


@dataclass(frozen=True)
class Code:
    """The lines of a symbol in its file."""

    path: Path
    line: int  # of the first one, from 1
    text: str


def location(symbol: str) -> tuple[Path, int]:
    """(path, line) where a symbol is written.

    raises   LookupError if it does not resolve
    """
    found = code(symbol)
    return found.path, found.line


def code(symbol: str) -> Code:
    """The source of a symbol: a function or class, an assignment with its comment, or a whole
    module.

    raises   LookupError if it does not resolve
    """
    found = unwrapped(resolve(symbol))
    if inspect.ismodule(found):
        path = Path(inspect.getsourcefile(found))
        return Code(path, 1, path.read_text(encoding="utf-8"))
    if not is_constant(found):
        lines, first = inspect.getsourcelines(found)
        text = textwrap.dedent("".join(lines)).rstrip()
        return Code(Path(inspect.getsourcefile(found)), first, text)
    path, node = _assignment(symbol)
    lines = path.read_text(encoding="utf-8").splitlines()
    return Code(path, node.lineno, "\n".join(lines[node.lineno - 1 : node.end_lineno]))


def is_constant(found: object) -> bool:
    """Whether an object is a value: a table or number without a docstring of its own."""
    has_own = inspect.ismodule(found) or inspect.isclass(found) or inspect.isroutine(found)
    return not has_own and "__doc__" not in getattr(found, "__dict__", {})


def unwrapped(found: Any) -> Any:
    """The function that a property or a decorated function was written as."""
    if isinstance(found, property):
        found = found.fget
    return inspect.unwrap(found)


def docstring(symbol: str) -> str:
    """The docstring that a symbol was written with, indentation taken off; "" if it has none."""
    found = unwrapped(resolve(symbol))
    if is_constant(found):
        return ""
    if symbol.endswith(".__init__") and not found.__doc__:
        return docstring(symbol.removesuffix(".__init__"))  # else that of `object` is found
    return inspect.getdoc(found) or ""


def idea(symbol: str) -> str:
    """What a symbol is, on one line: the first paragraph of its docstring; for a constant the
    comment above or beside it, else the first sentence of its module.
    """
    if not is_constant(unwrapped(resolve(symbol))):
        return " ".join(docstring(symbol).split("\n\n")[0].split())
    path, node = _assignment(symbol)
    text = path.read_text(encoding="utf-8")
    return comment_of(text.splitlines(), node) or first_sentence(
        ast.get_docstring(_tree(path)) or ""
    )


def comment_of(lines: list[str], node: ast.stmt) -> str:
    """The comment of an assignment: on the lines above it, else on its first line; or ""."""
    above, i = [], node.lineno - 2
    while i >= 0 and lines[i].startswith("#"):
        above.insert(0, lines[i].lstrip("# ").strip())
        i -= 1
    above = [line for line in above if not line.startswith(("fmt:", "noqa", "ruff:"))]
    beside = re.search(r"\s#\s(?!noqa|fmt)(.*)$", lines[node.lineno - 1])
    if not above and beside:
        # It may go on in lines of its own, inside the brackets.
        above, i = [beside[1]], node.lineno
        while i < node.end_lineno and lines[i].lstrip().startswith("# "):
            above.append(lines[i].lstrip("# "))
            i += 1
    if re.search(r"\S {3,}\S+ {3,}\S", " ".join(above)):  # the head of columns, no sentence
        return ""
    return " ".join(" ".join(above).split())


def first_sentence(text: str) -> str:
    """The first sentence of a docstring on one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph, maxsplit=1)[0]


@cache
def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _assignment(symbol):
    """(path, statement) of a constant, in the module that assigns it; others import it."""
    module_name, name = module_of(symbol)
    name = name.split(".")[-1]
    while True:
        path = Path(inspect.getsourcefile(importlib.import_module(module_name)))
        origin = None
        for node in ast.walk(_tree(path)):
            targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and any(
                isinstance(t, ast.Name) and t.id == name for t in targets
            ):
                return path, node
            if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
                origin = node.module
        if origin is None:  # made by a call, such as a loop that fills globals
            return path, _tree(path).body[0]
        module_name = origin


_ARGUMENT = re.compile(r"(?P<name>[*\w][\w*, =.\[\]]{0,60}?)\s{2,}(?P<text>\S.*)")


def shapes(symbol: str) -> list[tuple[str, str]]:
    """The arguments of a docstring, with shapes and units as it gives them: (name, text)."""
    found = []
    for line in docstring(symbol).split("\n")[1:]:
        if match := _ARGUMENT.fullmatch(line):
            found.append((match["name"].strip(), match["text"].strip()))
        elif found and line.startswith("   ") and line.strip():
            name, text = found[-1]
            found[-1] = (name, f"{text} {line.strip()}")
        elif line.strip() and found and not line.startswith(" "):
            break
    return found
