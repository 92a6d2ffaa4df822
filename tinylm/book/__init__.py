"""The index of the book: one row for each concept, with the symbol, the test and the script that
carry it.

The rows are the .tsv tables beside this file, one for each chapter: id, section, concept, symbol,
test, script, with tabs between and "-" for none. Read next: check.py, which resolves every row.
"""

import csv
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


def rows(folder=None):
    """Every row of every table, in the order of the chapters.

    folder   where the .tsv tables are; None: beside this file
    raises   DataError, with file and line, for a wrong heading, a row with too many or too few
             columns, an empty column, or an id that came before
    """
    found, seen = [], {}
    for table in sorted(Path(folder or Path(__file__).parent).glob("*.tsv")):
        lines = table.read_text(encoding="utf-8").splitlines()
        for line, values in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            columns = [field.name for field in fields(Row)]
            if line == 1:
                if values != columns:
                    raise DataError(
                        f"{table.name}: the first line must be {', '.join(columns)}, with tabs between"
                    )
                continue
            if len(values) != len(columns) or not all(value.strip() for value in values):
                raise DataError(
                    f"{table.name}, line {line}: a row has {len(columns)} columns, "
                    "'-' where there is nothing"
                )
            row = Row(*(value.strip() for value in values))
            if row.id in seen:
                raise DataError(
                    f"{table.name}, line {line}: {row.id} was already in {seen[row.id]}"
                )
            seen[row.id] = f"{table.name}, line {line}"
            found.append(row)
    return found


def section_number(row):
    """The section without the equation: '2.1.1' of '2.1.1, eq (2.6)'."""
    return row.section.replace(",", " ").split()[0]


def find(table, query):
    """The rows that a reader means: by ids, by section (2.1 holds 2.1.1), else by words.

    table    list of Row
    query    "C2a-C06", "C2a-C06 C1-009", "2.1.1", or words that all occur in id, section, concept, symbol, test or
             script
    returns  list of Row, rows whose concept has the words before rows that have them elsewhere
    """
    query = query.strip().lower()
    words = query.split()
    ids = {row.id.lower() for row in table}
    if words and ids.issuperset(words):
        return [row for row in table if row.id.lower() in words]
    if query and query[0].isdigit():
        section = query.rstrip(".") + "."
        return [row for row in table if f"{section_number(row)}.".startswith(section)]
    hits = [
        row for row in table if all(word in " ".join(vars(row).values()).lower() for word in words)
    ]
    return sorted(hits, key=lambda row: not all(word in row.concept.lower() for word in words))
