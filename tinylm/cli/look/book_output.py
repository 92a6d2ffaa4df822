"""What `tinylm book` prints: the table of contents, a list of rows, one row in full.

File names are links on a terminal that knows them (OSC 8), which opens the file; elsewhere they are
plain `path:line`, which editors and terminals find too. Read first: book/facts.py, what there is to
a row.
"""

import os
import shutil
import socket
import sys
import textwrap
from pathlib import Path

from tinylm import book
from tinylm.book import check, contents, facts, latex, search, source
from tinylm.book.facts import Facts
from tinylm.cli.terminal import visible
from tinylm.errors import DataError

LINES, TESTS = 10, 5  # of a list, and of a row, without --all
WHOLE = 40  # a section with at most so many rows is listed whole
INDENT = 11


def answer(
    table: list, found: search.Found, query: str, number: int, everything: bool, code: bool
) -> str:
    """The text for a query: one row in full, or a list.

    table       all rows, for the neighbors of one
    found       what the query found
    number      the row of the list to show in full, from 1; 0: a list, or the only row
    everything  list all rows instead of the first ten
    code        show the code too, of several rows that of the first
    raises      DataError if there is no such number
    """
    rows = found.rows
    if number > len(rows):
        raise DataError(f"--row {number}: {len(rows)} rows were found for {query!r}")
    parts = [found.note] if found.note else []
    asked = query.upper().split()
    named = len(asked) == len(rows) and {row.id.upper() for row in rows} == set(asked)
    if number:
        rows = rows[number - 1 : number]
    if len(rows) == 1 or named:
        parts += [describe(row, table, code, everything) for row in rows]
    elif rows and code:
        parts.append(describe(rows[0], table, code, everything))
        parts.append(f"{counted(len(rows) - 1, 'more row')}: tinylm book {query}")
    elif found.section:
        parts.append(section(table, found.section, everything))
    elif rows:
        parts.append(listing(found, everything))
    if not number and not found.section:
        parts += _beside(found)
    return "\n\n".join(parts)


def _beside(found):
    """Code that no row is about, and what the book only names."""
    parts = []
    if found.files:
        wide = max(len(path) for path, _ in found.files)
        lines = [_cut(f"  {path:<{wide}}  {sentence}", _width()) for path, sentence in found.files]
        parts.append("\n".join(["In the code, beside the book's rows:", *lines]))
    if found.mentions:
        lines = [_cut(f"  {m.section:<10} {m.concept}", _width()) for m in found.mentions]
        parts.append("\n".join(["Only named in the book, and not built here:", *lines]))
    return parts


def overview(table: list) -> str:
    """The table of contents: chapters and sections with how many of their concepts are built."""
    known = contents.sections(table)
    passing = sum(len(part.mentions) for part in known)
    lines = [
        f"{len(table)} concepts of the book are built, each with its code and its checks;",
        f"{passing} that it only names in passing (surveys, systems) are not.",
    ]
    for part in known:
        if part.depth == 0 or part.number == "D2L 11":
            lines.append("")
        if part.depth <= 2:
            lines.append(_contents_line(part, known))
    lines += ["", 'tinylm book 2.3.5 | GQA | "eq 2.6" | C2b-55 | --html DIR | --help']
    return "\n".join(lines)


def _contents_line(part, known):
    inside = [s for s in known if contents.within(s.number, part.number)]
    built = sum(len(s.rows) for s in inside)
    total = built + sum(len(s.mentions) for s in inside)
    count = f"{built} of {total}"
    indent = "  " * min(part.depth, 1)
    width = min(_width(), 88)
    left = f"{indent}{part.number:<{13 - len(indent)}}{part.title}"
    return f"{_cut(left, width - 12):<{width - 12}} {count:>11}"


def section(table: list, number: str, everything: bool) -> str:
    """A section: its rows in the order of the book, or, if they are many, its subsections."""
    known = contents.sections(table)
    inside = [s for s in known if contents.within(s.number, number)]
    lines = [" > ".join(f"{n} {contents.titles()[n]}" for n in contents.path(number)), ""]
    if sum(len(s.rows) for s in inside) > WHOLE and not everything:
        lines += [_contents_line(part, known) for part in inside]
        lines += ["", f"tinylm book {inside[1].number} shows a section; --all lists every row here"]
        return "\n".join(lines)
    for part in inside:
        if part.number != number and (part.rows or part.mentions):
            lines += ["", f"{part.number}  {part.title}"]
        lines += [_cut(f"  {row.id:<9}{row.concept}", _width()) for row in part.rows]
        lines += [_cut(f"  {'-':<9}only named: {m.concept}", _width()) for m in part.mentions]
    return "\n".join([*lines, "", "tinylm book ID shows one in full, with --code its code"])


def listing(found: search.Found, everything: bool) -> str:
    """The rows found, a line each, the one to read first in front."""
    shown = found.rows if everything else found.rows[:LINES]
    sections = max(len(book.section_number(row)) for row in shown)
    lines = []
    for i, row in enumerate(shown, 1):
        mark = "*" if row is found.first else " "
        line = f"{i:>3} {mark}{row.id:<8}  {book.section_number(row):<{sections}}  {row.concept}"
        lines.append(_cut(line, _width()))
    more = len(found.rows) - len(shown)
    foot = "--row N, or an id, shows one in full; --code with its code"
    if found.first:
        foot = f"* read this first; {foot}"
    if more:
        foot = f"{more} more with --all; {foot}"
    return "\n".join([*lines, "", *textwrap.wrap(foot, max(40, _width()))])


def describe(row: book.Row, table: list, code: bool = False, everything: bool = False) -> str:
    """One row in full: the idea, its formulas, code, scripts and checks, of which `everything`
    shows more than TESTS.
    """
    root = check.repository()
    known = facts.facts(row, root)
    title = contents.titles().get(book.section_number(row), "")
    lines = textwrap.wrap(f"{row.id}  {known.head}", _width(), subsequent_indent=" " * INDENT)
    lines += _labelled("book", f"{row.section}, {title}" if title else row.section)
    lines += _labelled("idea", known.rest)
    for formula in known.formulas:
        lines += _labelled("formula", latex.plain(formula, ascii=not _has("Σθ≤√·")))
    for piece in known.pieces:
        lines += _code_lines(piece, code)
    lines += _show_lines(known)
    lines += _check_lines(known, root, everything)
    return "\n".join(lines + _neighbors(row, table))


def _labelled(label, text, further=False):
    """A paragraph with its label in front; nothing for an empty text."""
    first = f"  {label:<{INDENT - 2}}"
    if further:
        first = " " * INDENT
    return textwrap.wrap(
        text, max(40, _width()), initial_indent=first, subsequent_indent=" " * INDENT
    )


def _code_lines(piece, code):
    if piece.error:
        return ["", f"  code     {piece.symbol}: {piece.error}"]
    place = link(piece.path, piece.line, f"{near(piece.path)}:{piece.line}")
    lines = ["", f"  code     {piece.name}  {place}"]
    lines += _labelled("", piece.idea, further=True)
    wide = max((len(name) for name, _ in piece.shapes), default=0)
    for name, text in piece.shapes:
        lines += textwrap.wrap(
            text,
            max(40, _width()),
            initial_indent=" " * INDENT + f"  {name:<{wide}}  ",
            subsequent_indent=" " * (INDENT + wide + 4),
        )
    if code:
        text = source.code(piece.symbol)
        last = len(str(text.line + text.text.count("\n")))
        lines += [""]
        lines += [
            f"  {number:>{last}}  {line}".rstrip()
            for number, line in enumerate(text.text.split("\n"), text.line)
        ]
    return lines


def _check_lines(known: Facts, root, everything):
    lines = [""]
    if known.gradients:
        lines += _labelled("check", f"tinylm gradcheck {' '.join(known.gradients)}")
    shown = known.tests
    if not everything and len(shown) > TESTS + 1:  # one more takes no more room than saying so
        shown = shown[:TESTS]
    for i, test in enumerate(shown):
        label = "" if i or known.gradients else "check"
        lines.append(f"  {label:<{INDENT - 2}}pytest {test}")
    if more := len(known.tests) - len(shown):
        lines += _labelled("", f"{more} more tests with --all", further=True)
    if root is None and (known.tests or any(show.script for show in known.shows)):
        where = (
            "tests/ and scripts/ are in the repository, not in the installed package: run these "
            "in a checkout of it"
        )
        lines += _labelled("", where, further=True)
    return lines if len(lines) > 1 else []


def _show_lines(known: Facts):
    lines = []
    for show in known.shows:
        lines.append(f"  script   {show.command}")
        if show.verdict:
            claim = f"claim: {show.verdict.claim} ({show.verdict.minutes} min)"
            lines += _labelled("", claim, further=True)
            lines += _labelled("", f"verdict: {show.verdict.verdict}", further=True)
        for picture in show.pictures:
            lines.append(f"  picture  {link(picture, 0, near(picture))}")
        if show.draws:
            lines.append(f"  picture  {show.command} --plot {Path(show.script).stem}.png")
    return ["", *lines] if lines else []


def _neighbors(row, table):
    """The rows before and after, to read on."""
    ids = [other.id for other in table]
    if row.id not in ids:
        return []
    at, lines = ids.index(row.id), [""]
    if at + 1 < len(table):
        head = facts.halves(table[at + 1].concept)[0]
        lines.append(_cut(f"  next     {table[at + 1].id}  {head}", _width()))
    if at:
        head = facts.halves(table[at - 1].concept)[0]
        lines.append(_cut(f"  before   {table[at - 1].id}  {head}", _width()))
    return lines


def counted(count: int, thing: str) -> str:
    """A number of things: 1 concept, 2 concepts."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def near(path: Path) -> str:
    """A path as short as it can be written from here."""
    try:
        short = os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)
    # A path that climbs out of the folder is longer than the whole one.
    if short.startswith(".."):
        return str(path)
    return short


def link(path: Path, line: int, text: str) -> str:
    """`text` as a link to a file, on a terminal; elsewhere the text alone."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return text
    # Terminals compare the host name with their own, so that a link from far away is not opened.
    url = Path(path).resolve().as_uri().replace("file://", f"file://{socket.gethostname()}", 1)
    if line:
        url += f"#L{line}"
    return f"\033]8;;{url}\033\\{visible(text)}\033]8;;\033\\"


def write(text: str) -> None:
    """Print a text; its links reach the terminal, where a guarded stream would show their codes."""
    stream = sys.stdout
    if "\033]8;" in text:
        stream = getattr(stream, "bare", stream)
    stream.write(text + "\n")


def _cut(text, width):
    """A text on one line of at most `width` columns."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 3)].rstrip(" ,;:") + "..."


def _has(signs):
    """Whether the output can hold these characters."""
    try:
        signs.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width():
    return shutil.get_terminal_size((100, 24)).columns
