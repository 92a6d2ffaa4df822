"""`tinylm book --html DIR`: writes every page, the style, the search and the figures into a folder.

Names that do not resolve stop nothing: the page says so. Read next: frame.py, section.py.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tinylm import book
from tinylm.book import check, contents, facts, verdicts
from tinylm.book.results import Results
from tinylm.book.site import frame, lookup, mathml, section
from tinylm.errors import DataError
from tinylm.files import WholeFile

HERE = Path(__file__).parent
ASSETS = ("book.css", "book.js")


@dataclass
class Built:
    """What a build has written."""

    pages: int
    rows: int
    bytes: int
    remarks: list  # sentences for the reader


def build(rows: list, folder: str | Path, results: tuple = ()) -> Built:
    """Write the site.

    rows     list of book.Row: those that get pages
    folder   is made, or holds an older site, whose pages are replaced
    results  paths of recorded results, see results.py
    returns  Built
    raises   DataError if the folder holds something else; MissingExtra without latex2mathml
    """
    folder, recorded, root = Path(folder), Results(results), check.repository()
    maker = section.Maker(root, recorded, mathml.converter())
    # Everything that can fail has been tried; now the folder.
    _prepare(folder)
    known = {row.id: facts.facts(row, root) for row in rows}
    places, parts = _places(rows)
    written = _Writer(folder)
    for i, place in enumerate(places):
        around = (places[i - 1] if i else None, places[i + 1] if i + 1 < len(places) else None)
        text = section.section_page(maker, parts[place.number], known)
        title = f"{place.number} {place.title}"
        written.page(place.file, frame.page(title, text, places, place.file, around))
    _scripts(maker, written, places, known)
    remarks = _remarks(rows, known, recorded, root)
    home = frame.contents_page(rows, places, _lead(known), remarks)
    written.page("index.html", frame.page(_title(rows, places), home, places))
    files = {contents.page_of(place.number): place.file for place in places}
    written.text("index.js", lookup.script(rows, files))
    for name in ASSETS:
        written.text(name, (HERE / name).read_text(encoding="utf-8"))
    for path, name in maker.figures.items():
        shutil.copyfile(path, folder / name)
        written.bytes += path.stat().st_size
    return Built(written.pages, len(rows), written.bytes, remarks)


def _title(rows, places):
    """What a browser's tab and its history show for the page of contents."""
    if len(rows) == len(book.rows()):
        return "Foundations of Large Language Models as code"
    numbers = [place.number for place in places]
    more = f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
    return f"Contents: {', '.join(numbers[:4])}{more}"


class _Writer:
    def __init__(self, folder):
        self.folder, self.pages, self.bytes = folder, 0, 0

    def text(self, name, text):
        data = text.encode("utf-8", "backslashreplace")
        with WholeFile(self.folder / name) as out:
            out.write(data)
        self.bytes += len(data)

    def page(self, name, text):
        self.text(name, text)
        self.pages += 1


def _prepare(folder):
    """Make the folder, or take the pages of an older site out of it."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--html {folder} is a file: name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    old = list(folder.iterdir())
    home = folder / "index.html"
    ours = home.is_file() and 'name="generator" content="tinylm' in _start(home)
    if old and not ours:
        raise DataError(f"--html {folder} is not empty and holds no older site: name a new folder")
    for path in old:
        if re.fullmatch(r"([\d.]+|d2l-[\d.]+|script-.*)\.html|figure-.*", path.name):
            path.unlink()


def _start(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(2000)


def _places(rows):
    """The pages in the order of the book, and the sections on each by its number."""
    sections = contents.sections(rows)
    places, parts = [], {}
    for part in sections:
        number = contents.page_of(part.number)
        parts.setdefault(number, []).append(part)
    for number, inside in parts.items():
        count = sum(len(part.rows) for part in inside)
        if count:
            title = contents.titles()[number]
            places.append(frame.Place(frame.file_of(number), number, title, count))
    return places, parts


def _scripts(maker, written, places, known):
    """A page for each script that a page has named."""
    files = {place.number: place.file for place in places}
    for script, ids in maker.scripts.items():
        inside = [
            (files[contents.page_of(book.section_number(known[id].row))], known[id]) for id in ids
        ]
        show = next(s for s in inside[0][1].shows if s.script == script)
        header = verdicts.header(script, maker.root)
        text = section.script_page(maker, script, header, show, inside)
        written.page(section.script_file(script), frame.page(script, text, places))


def _lead(known):
    """What the pages hold, counted."""
    every = known.values()
    whole = len(book.rows())
    count = f"{whole} ideas"
    if len(known) < whole:
        count = f"A part of the pages, {len(known)} of the {whole} ideas"
    return (
        f"{count} of the book by Xiao and Zhu, each with the code that computes it, on "
        "one small autograd engine in NumPy: "
        f"{sum(bool(f.formulas) for f in every)} with their formulas, "
        f"{sum(bool(f.tests) for f in every)} with tests that prove them, "
        f"{sum(bool(f.shows) for f in every)} with a script or a command that shows them at work."
    )


def _remarks(rows, known, recorded, root):
    """What a reader should know of the whole site."""
    remarks = []
    tests = {test.partition("[")[0] for row in rows for test in check.names(row.test)}
    gradients = {name for f in known.values() for name in f.gradients}
    seen = [recorded.tests[t] for t in tests if t in recorded.tests]
    seen += [recorded.gradients[g] for g in gradients if g in recorded.gradients]
    if seen:
        passed = sum(result.outcome == "passed" for result in seen)
        dates = sorted({result.date for result in seen})
        when = dates[-1] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        remarks.append(
            f"Results of {len(seen)} of {len(tests) + len(gradients)} tests and gradient checks "
            f"are recorded here ({when}): {passed} passed."
        )
    else:
        remarks.append(
            "No results of tests are shown: the pages were made without records of a run "
            "(tinylm book --html DIR --results tests.xml checks.json, of pytest --junitxml "
            "tests.xml and tinylm gradcheck --json > checks.json)."
        )
    if root is None:
        remarks.append(
            "Tests and scripts are in the repository: these pages were made from the installed "
            "package, so verdicts and headers of scripts are left out."
        )
    return remarks
