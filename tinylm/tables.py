"""Tables of samples, .csv and .tsv, as records {column: text}: what spreadsheets write.

The first row names the columns. A cell in quotes may hold commas, quotes and lines. Read first:
reading.py; read next: data/read/records.py, which reads tables and JSON alike.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from tinylm.errors import DataError
from tinylm.reading import BadLines, numbered_lines, refuse

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = ",;\t"  # spreadsheets of many countries write ; because their numbers have commas


def is_table(path: str | Path) -> bool:
    """True for a name that ends in .csv or .tsv, perhaps with .gz behind it."""
    return str(path).lower().removesuffix(".gz").endswith(SUFFIXES)


def table_records(
    path: str | Path, bad: BadLines | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table.

    bad      BadLines that takes rows that cannot be read; by default they raise
    yields   (place such as "line 3", {column: text}); an empty row is skipped, and so is an empty
             cell
    raises   DataError naming the file and line: no first row, a column named twice or not at all, a
             row with another number of cells, or a quote that does not end
    """
    numbered = numbered_lines(path, bad)
    head = next((line for _, line in numbered if line.strip()), None)
    if head is None:
        raise DataError(f"{path} is empty: its first line names the columns")
    delimiter = "\t"
    if not str(path).lower().removesuffix(".gz").endswith(".tsv"):
        delimiter = max(_DELIMITERS, key=head.count)
    # A cell may hold a whole text: by default csv refuses those of 131,072 characters.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield from _rows(path, head, numbered, delimiter, bad)
    finally:
        csv.field_size_limit(limit)


def _rows(path, head, numbered, delimiter, bad):
    (names,) = csv.reader([head], delimiter=delimiter)
    names = [name.strip() for name in names]
    if not all(names) or len(set(names)) < len(names):
        raise DataError(
            f"{path}: its first line must name the columns, each once, but is {head[:60]!r}"
        )
    last = 1  # number of the line read last

    def lines():
        nonlocal last
        for number, line in numbered:
            last = number
            yield line + "\n"

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        first = last + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            refuse(f'{path}, line {first}: {error}: quote a cell as a whole, ".."', bad)
            continue
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            refuse(
                f"{path}, line {first}: {len(row)} cells for {len(names)} columns "
                f"({', '.join(names)}): put cells with {delimiter!r} in them into quotes",
                bad,
            )
            continue
        yield f"line {first}", {name: cell for name, cell in zip(names, row) if cell}
