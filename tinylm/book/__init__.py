"""The index of the book: one row for each concept, with the symbol, the test and the script that
carry it.

The rows are the .tsv tables beside this file, one for each chapter: id, section, concept, symbol,
test, script, with tabs between and "-" for none. Titles, formulas and synonyms are in tables/ and
formulas/. Read next: search.py, which finds rows; source.py and facts.py, which say what there is
to a row; check.py, which resolves every row; site/, the same as pages.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from tinylm.errors import DataError


@dataclass(frozen=True)
class Row:
    """One concept. `symbol` and `test` may name several things with spaces between."""

    id: str  # C2a-C06
    section: str  # "2.1.1, eq (2.6)"
    concept: str  # a few words
    symbol: str  # tinylm.nn.attention.multi_head:causal_attention, or a dotted name
    test: str  # tests/nn/attention/test_multi_head.py::test_causal_mask_hides_the_future
    script: str  # scripts/engine_tour.py, or a command: tinylm train


def rows(folder: Path | str | None = None) -> list[Row]:
    """Every row of every table, in the order of the chapters.

    folder   where the .tsv tables are; None: beside this file
    raises   DataError, with file and line, for a wrong heading, a row with too many or too few
             columns, an empty column, or an id that came before
    """
    found, seen = [], {}
    for path in sorted(Path(folder or Path(__file__).parent).glob("*.tsv")):
        for line, values in table(path, [field.name for field in fields(Row)]):
            row = Row(*values)
            if row.id in seen:
                raise DataError(f"{path.name}, line {line}: {row.id} was already in {seen[row.id]}")
            seen[row.id] = f"{path.name}, line {line}"
            found.append(row)
    return found


def table(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines of a .tsv table as (line number, values), checked against its heading.

    path     of the table, UTF-8 with tabs between columns
    columns  the names that its first line must have
    raises   DataError, with file and line, for a wrong heading, too many or too few columns, or an
             empty one
    """
    columns = list(columns)
    lines = path.read_text(encoding="utf-8").splitlines()
    for line, values in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
        if line == 1:
            if values != columns:
                raise DataError(
                    f"{path.name}: the first line must be {', '.join(columns)}, with tabs between"
                )
            continue
        if len(values) != len(columns) or not all(value.strip() for value in values):
            raise DataError(
                f"{path.name}, line {line}: a row has {len(columns)} columns, "
                "'-' where there is nothing"
            )
        yield line, [value.strip() for value in values]


def section_number(row: Row) -> str:
    """The section without the equation: '2.1.1' of '2.1.1, eq (2.6)'; 'D2L 11.9' as it is."""
    return row.section.partition(",")[0].strip()


def section_key(section: str) -> tuple:
    """A key that sorts sections as the book has them: 2.9 before 2.10, the other book last."""
    book, _, number = section.rpartition(" ")
    return book, [int(part) for part in number.split(".")]
