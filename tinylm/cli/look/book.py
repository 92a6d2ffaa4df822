"""`tinylm book`: from a section, a word or an id of the book to the code, the test and the script.

`tinylm book` counts the concepts of every section; `tinylm book --check` checks that the symbols,
tests and scripts of the index exist; `tinylm book --mutate C2a-C06` makes small errors in the code
of a row and lists those that the row's own tests do not notice. `tinylm book --numbers` lists the
measured figures of README.md, DESIGN.md and the pages of scripts that name no command or, if they
are times, no processor.
"""

import os
import shutil
import textwrap
import time
from collections import Counter
from dataclasses import dataclass

from tinylm import book
from tinylm.book import audit, check, numbers
from tinylm.cli import VERBS
from tinylm.cli.options import parse
from tinylm.errors import DataError
from tinylm.settings import at_least, setting


@dataclass
class BookConfig:
    """Settings of `tinylm book`."""

    check: bool = setting(
        False,
        "check that every symbol imports and every test and script exists; exit 1 if one does not",
    )
    numbers: bool = setting(
        False,
        "list measured figures in README, DESIGN and the pages of scripts that name no command or, "
        "if they are times, no processor; exit 1 if there is one",
    )
    mutate: bool = setting(
        False,
        "make one small error at a time and run the row's own tests; exit 1 if one goes unnoticed",
    )
    per_row: int = setting(6, "with --mutate: errors tried for each row", at_least(1))
    seed: int = setting(0, "with --mutate: seed of the choice of errors", at_least(0))
    jobs: int = setting(1, "with --mutate: copies of the program tested in parallel", at_least(1))


def main(argv):
    """Look something up in the index of the book, or check the index."""
    config, words = parse(
        argv,
        BookConfig,
        positionals=("[SECTION|WORD|ID...]",),
        verb="book",
        about=__doc__,
        examples=("tinylm book 2.1.1", "tinylm book rope", "tinylm book C2a-C06"),
    )
    table = book.rows()
    found = table
    if words:
        found = book.find(table, " ".join(words))
    # Before --check and --mutate too: an audit of no row would pass.
    if not found:
        raise DataError(
            f"nothing in the index for {' '.join(words)!r}: `tinylm book` lists the sections"
        )
    if config.numbers:
        return _numbers()
    if config.check:
        return _check(found)
    if config.mutate:
        return _mutate(found, config)
    if words:
        print("\n\n".join(describe(row) for row in found))
    else:
        print(overview(table))
    return 0


def overview(table):
    """Sections with how many concepts each."""
    # A concept of several sections counts in the first.
    counts = Counter(book.section_number(row) for row in table)
    head = f"{len(table)} concepts; `tinylm book 2.1`, `tinylm book WORD` and `tinylm book ID` show them"
    return "\n".join(
        [head, ""]
        + [f"  {section:<8} {counts[section]:4}" for section in sorted(counts, key=_in_order)]
    )


def _in_order(section):
    """A key that puts 2.9 before 2.10: numbers as numbers, before words."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in section.split(".")]


def describe(row):
    """One concept in a few lines: the idea, its code, its tests and its script."""
    lines = [f"{row.id}  {row.concept}  (section {row.section})"]
    width = shutil.get_terminal_size().columns
    for symbol in check.names(row.symbol):
        try:
            # Where the symbol is defined now: the index holds names, no line numbers.
            path, line = check.location(symbol)
            lines += textwrap.wrap(
                check.idea(symbol), width, initial_indent="  idea    ", subsequent_indent=" " * 10
            )
            lines.append(f"  code    {_short(path)}:{line}  {symbol}")
        except LookupError as error:
            lines.append(f"  code    {symbol}: {error}")
    lines += [f"  proof   {test}" for test in check.names(row.test)]
    # Some concepts are shown by a command, others by scripts of the repository.
    if row.script != "-":
        lines += [f"  show    {command}" for command in check.commands(row.script)]
    return "\n".join(lines)


def _short(path):
    near = os.path.relpath(path)
    # A path that climbs out of the folder is longer than the whole one.
    if near.startswith(".."):
        return str(path)
    return near


def _check(table):
    root = check.repository()
    # In an installed package there are no tests: symbols alone can be checked.
    wrong = check.complaints(table, root, VERBS)
    for complaint in wrong:
        print(complaint)
    note = ""
    if root is None:
        note = "; tests and scripts were not looked up: run this in a checkout of the repository"
    print(f"{len(table)} rows, {len(wrong)} wrong{note}")
    if wrong:
        return 1
    return 0


def _numbers():
    root = check.repository()
    if root is None:
        raise DataError("--numbers reads the pages: run this in a checkout of the repository")
    wrong = numbers.all_complaints(root)
    for complaint in wrong:
        print(complaint)
    print(f"{len(wrong)} to mend")
    if wrong:
        return 1
    return 0


def _mutate(table, config):
    """Audit rows, one line for each and one for each survivor."""
    root = check.repository()
    if root is None:
        raise DataError("--mutate runs the tests: run this in a checkout of the repository")
    started = time.time()
    done = 0

    def show(verdict):
        nonlocal done
        done += 1
        # Nothing was tried: no source, no tests, or tests that fail without any error.
        if verdict.trouble:
            outcome = verdict.trouble
        else:
            tried = verdict.killed + len(verdict.survivors)
            outcome = f"{verdict.killed} of {tried} noticed"
        elapsed = time.time() - started
        print(f"{verdict.row.id}: {outcome}   ({done}/{len(table)} rows, {elapsed:.0f} s)")
        # What survives is printed with its change, so that a test for it can be written.
        for mutant in verdict.survivors:
            print(f"  survives  {_short(mutant.path)}:{mutant.line}")
            print(f"            {mutant.before[:90]}  ->  {mutant.after[:90]}", flush=True)

    verdicts = audit.audit(table, root, config.per_row, config.seed, config.jobs, report=show)
    print(audit.summary(verdicts))
    if any(verdict.survivors for verdict in verdicts):
        return 1
    return 0
