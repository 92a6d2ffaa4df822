"""`tinylm book`: any idea of the book in one step: its formula, code, check and script.

Search by a term or an abbreviation (GQA, kv cache, "chain of thought"), a section (2.3.5),
"eq 2.6", "Table 2.1" or an id (C2b-55). One result is shown in full, several as a list; --row N or
an id shows one of them, --code with its code. Without words the table of contents is printed.

`tinylm book --path` lists the files that lead from an array to a trained GPT, with their lines.
`tinylm book --html DIR` writes the book as pages for a browser. `tinylm book --check` checks that
the symbols, tests and scripts of the index exist; `tinylm book --mutate C2a-C06` makes small errors
in the code of a row and lists those that the row's own tests do not notice. `tinylm book --numbers`
lists the measured figures of README.md, DESIGN.md and the pages of packages and scripts that name
no command or, if they are times, no processor.
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm import book
from tinylm.book import audit, check, numbers, path, search
from tinylm.cli import VERBS
from tinylm.cli.look import book_output
from tinylm.cli.options import parse
from tinylm.errors import DataError
from tinylm.settings import at_least, setting


@dataclass
class BookConfig:
    """Settings of `tinylm book`."""

    code: bool = setting(False, "show the code of a row too; of several rows the first")
    row: int = setting(0, "show this row of the list in full", at_least(0))
    all: bool = setting(
        False, "all that was found, not only the first ten; with --path what runs beside it"
    )
    path: bool = setting(False, "show which files lead from an array to a trained GPT, in order")
    html: str = setting("", "write the book, or what was found, as pages into this folder")
    results: tuple[str, ...] = setting(
        (),
        "with --html: files of recorded results, of `pytest --junitxml FILE` and of "
        "`tinylm gradcheck --json`",
        several=True,
    )
    check: bool = setting(
        False,
        "check that every symbol imports and every test and script exists; exit 1 if one does not",
    )
    numbers: bool = setting(
        False,
        "list measured figures in README, DESIGN and the pages of packages and scripts that name "
        "no command or, if they are times, no processor; exit 1 if there is one",
    )
    mutate: bool = setting(
        False,
        "make one small error at a time and run the row's own tests; exit 1 if one goes unnoticed",
    )
    per_row: int = setting(6, "with --mutate: errors tried for each row", at_least(1))
    seed: int = setting(0, "with --mutate: seed of the choice of errors", at_least(0))
    jobs: int = setting(1, "with --mutate: copies of the program tested in parallel", at_least(1))


def main(argv: Sequence) -> int | None:
    """Look something up in the index of the book, or check the index."""
    config, words = parse(
        argv,
        BookConfig,
        positionals=("[SECTION|WORD|ID...]",),
        verb="book",
        about=__doc__,
        examples=(
            "tinylm book 2.1.1",
            "tinylm book rope",
            'tinylm book "eq 2.6" --code',
            "tinylm book --html site",
        ),
    )
    if config.results and not config.html:
        raise DataError("--results are shown on pages: give --html DIR too")
    if words and (config.path or config.numbers):
        option = "--path" if config.path else "--numbers"
        raise DataError(f"{option} is about everything: leave out {' '.join(words)!r}")
    if config.path:
        print(path.page(config.all))
        return 0
    table, query = book.rows(), " ".join(words)
    found = search.Found(table)
    if config.html and len(words) > 1 and all(re.fullmatch(r"\d[\d.]*", word) for word in words):
        # Several sections: a page of each, not the rows that all have in common.
        found = search.Found(list(_each(table, words)))
    elif query.strip():
        found = search.search(table, query)
    elif words:
        raise DataError("an empty search: name a section, a word or an id")
    if config.numbers:
        return _numbers()
    # Before --check and --mutate too: an audit of no row would pass.
    working = config.check or config.mutate or config.html
    if not found.rows and (working or not (found.mentions or found.files)):
        note = found.note or "it is none of its own"
        raise DataError(f"nothing in the index for {query!r}: {note}")
    if config.check:
        return _check(found.rows)
    if config.mutate:
        return _mutate(found.rows, config)
    if config.html:
        return _html(found.rows, config)
    if words:
        book_output.write(
            book_output.answer(table, found, query, config.row, config.all, config.code)
        )
    elif config.row or config.all or config.code:
        raise DataError("--row, --all and --code need words to search for")
    else:
        print(book_output.overview(table))
    return 0


def _each(table, words):
    """The rows of each of several sections, in the order of the index."""
    chosen = set()
    for word in words:
        found = search.search(table, word)
        if not found.rows:
            raise DataError(f"nothing in the index for {word!r}: {found.note}")
        chosen.update(row.id for row in found.rows)
    return [row for row in table if row.id in chosen]


def _html(rows, config):
    from tinylm.book.site import build

    done = build.build(rows, config.html, config.results)
    print(
        f"{done.pages} pages of {book_output.counted(done.rows, 'concept')}, "
        f"{done.bytes / 1e6:.1f} MB: "
        f"open {os.path.join(config.html, 'index.html')}"
    )
    for remark in done.remarks:
        print(remark)
    return 0


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
    if wrong:
        print(f"{len(wrong)} to mend")
        return 1
    print("every measured figure names its command, and every time its processor")
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
        if verdict.skipped:
            outcome += f", without {', '.join(verdict.skipped)}, skipped here"
        elapsed = time.time() - started
        print(f"{verdict.row.id}: {outcome}   ({done}/{len(table)} rows, {elapsed:.0f} s)")
        # What survives is printed with its change, so that a test for it can be written.
        for mutant in verdict.survivors:
            print(f"  survives  {book_output.near(mutant.path)}:{mutant.line}")
            print(f"            {mutant.before[:90]}  ->  {mutant.after[:90]}", flush=True)

    verdicts = audit.audit(table, root, config.per_row, config.seed, config.jobs, report=show)
    print(audit.summary(verdicts))
    if any(verdict.survivors for verdict in verdicts):
        return 1
    return 0
