"""All that there is to a row of the index: idea, formulas, code, checks, scripts and verdicts.

`tinylm book ID` prints it and the pages of `tinylm book --html` show it. Read first: source.py,
latex.py, verdicts.py. Read next: site/section.py.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinylm import book
from tinylm.autograd import registry
from tinylm.book import check, latex, source, verdicts


@dataclass(frozen=True)
class Piece:
    """One symbol of a row; `error` says why it cannot be shown."""

    symbol: str
    path: Path | None = None
    line: int = 0
    idea: str = ""
    shapes: tuple = ()  # (argument, shape and meaning)
    error: str = ""

    @property
    def name(self) -> str:
        """The name without its module; of a module its last part."""
        return check.module_of(self.symbol)[1] or self.symbol.rpartition(".")[2]


@dataclass(frozen=True)
class Show:
    """One command of a row, with what its table says if it is a script."""

    command: str
    verdict: verdicts.Verdict | None = None
    pictures: tuple = ()  # paths
    draws: bool = False  # takes --plot FILE

    @property
    def script(self) -> str:
        """scripts/... of `python scripts/... --quick`; "" for a tinylm command."""
        if self.command.startswith("python "):
            return self.command.split()[1]
        return ""


@dataclass(frozen=True)
class Facts:
    """A row, looked up."""

    row: book.Row
    head: str  # what the concept is called
    rest: str  # what is said of it
    formulas: tuple  # LaTeX lines
    pieces: tuple  # of Piece
    gradients: tuple  # names for `tinylm gradcheck`
    tests: tuple  # ids of pytest
    shows: tuple  # of Show


def facts(row: book.Row, root: Path | None) -> Facts:
    """Look up a row.

    root     the repository; None where only the package is installed: scripts then have no verdict
    returns  Facts
    """
    head, rest = halves(row.concept)
    symbols = check.names(row.symbol)
    return Facts(
        row,
        head,
        rest,
        latex.formulas().get(row.id, ()),
        tuple(map(piece, symbols)),
        tuple(dict.fromkeys(name for symbol in symbols for name in gradients(symbol))),
        tuple(check.names(row.test)),
        shows(row, root),
    )


def halves(concept: str) -> tuple[str, str]:
    """A concept as its name and what is said of it.

    The cut is the first colon of the first sentence, if the name is short then; else the first
    colon, semicolon or full stop that leaves a name for a heading; never inside brackets. A concept
    without one is named by its first words and said whole.
    """
    cuts = list(_cuts(concept, "[:;.]"))
    colons = [cut for cut in cuts if cut[0][0] == ":" and cut.start() <= 60]
    if colons and ". " in concept[: colons[0].start()]:
        colons = []
    for cut in (colons + cuts)[:1]:
        if cut.start() <= 110:
            return concept[: cut.start()], _capital(concept[cut.end() :])
    for cut in _cuts(concept, ","):
        if len(concept) > 110 and 10 < cut.start() <= 80:
            return concept[: cut.start()], concept
    return concept.rstrip("."), ""


def _cuts(text, signs):
    """Where a text may be cut: matches of one of the signs outside of brackets."""
    for cut in re.finditer(rf"{signs}\s+(?=\S)", text):
        if text.count("(", 0, cut.start()) == text.count(")", 0, cut.start()):
            yield cut


def _capital(text):
    """A sentence with a capital, unless it begins with a formula."""
    word = re.match(r"(a|[a-z]{2,})(?=[ ,-][^=(])", text)
    if not word or word[1] in ("log", "exp", "min", "max", "pi", "tanh", "cos", "sin"):
        return text
    return text[0].upper() + text[1:]


@cache
def piece(symbol: str) -> Piece:
    """A symbol looked up; one that does not resolve has an error instead."""
    try:
        path, line = source.location(symbol)
        return Piece(symbol, path, line, source.idea(symbol), tuple(source.shapes(symbol)))
    except LookupError as error:
        return Piece(symbol, error=str(error))


def shows(row: book.Row, root: Path | None) -> tuple[Show, ...]:
    """The commands of a row with what is recorded of them."""
    if row.script == "-":
        return ()
    found = []
    for command in check.commands(row.script):
        show = Show(command)
        if root and show.script:
            show = Show(
                command,
                verdicts.verdicts(root).get(show.script),
                tuple(verdicts.pictures(show.script, root)),
                verdicts.draws(show.script, root),
            )
        found.append(show)
    return tuple(found)


@cache
def _checked():
    """Objects that registered checks call, by identity, and names of checks by their last part."""
    by_object, by_name = {}, {}
    for name, entry in registry.load_all().items():
        by_object.setdefault(id(entry.function), []).append(name)
        last = re.split(r"[(\[]", name)[0].rpartition(".")[2]
        by_name.setdefault(last, []).append((name, _room(entry.draw.__module__)))
    return by_object, by_name


def _room(module):
    """autograd of tinylm.autograd.kernels.losses."""
    return (module or "").split(".")[1:2]


def gradients(symbol: str) -> list[str]:
    """The names under which `tinylm gradcheck` checks a symbol: those that its docstring names,
    that call it, or that have its name in its own room.
    """
    try:
        found = check.resolve(symbol)
        text = source.docstring(symbol)
    except LookupError:
        return []
    by_object, by_name = _checked()
    named = re.findall(r"Check:\s+tinylm\s+gradcheck\s+([\w.*()-]+)", text)
    names = [name.rstrip(".") for name in named] + by_object.get(id(found), [])
    last = check.module_of(symbol)[1].split(".")[0]
    names += [n for n, room in by_name.get(last, []) if room == _room(symbol.replace(":", "."))]
    return list(dict.fromkeys(name for name in names if name in registry.ENTRIES))
