"""Files of labeled sentences and of columns, the forms of small public data sets; and stratified
parts of them.

Labeled: one sentence a line, a tab, a whole number ("From Group to Individual Labels using Deep
Features", Kotzias et al. 2015, has 3,000 reviews in this form); or texts with the name of their
class. Columns: separated by tabs, where quotes are ordinary characters (IANA,
text/tab-separated-values), or in a .csv by commas, where quotes protect commas and line ends (RFC
4180). Read next: synthetic/reviews.py, made-up reviews.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import regex

from tinylm.errors import ConfigError, DataError
from tinylm.reading import BadLines, numbered_lines, read_text_file, refuse

_LONGEST_LABEL = 18  # digits: more may not fit an int64
# A cell, quoted ("" is a quote inside) or plain, and its end: a comma, a line end or the file's.
_CSV = regex.compile(r'(?:"((?:[^"]++|"")*+)"|([^",\n]*+))(,|\n|\Z)')


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 file, gzipped or not, without their ends and without empty lines."""
    return [line for _, line in numbered_lines(path) if line.strip()]


def read_labeled(path: str | Path, bad: BadLines | None = None) -> list[tuple[str, int]]:
    """Sentences with their labels: list of (str, int). Empty lines are skipped.

    bad     reading.BadLines that takes lines that cannot be read; by default they raise
    raises  DataError naming the first line that is not a sentence, a tab and a whole number
    """
    examples = []
    for number, line in numbered_lines(path, bad):
        if not line.strip():
            continue
        text, _, label = line.rpartition("\t")  # the last tab: a sentence may contain others
        text, label = text.strip(), label.strip()
        if text and label.isascii() and label.isdecimal() and len(label) <= _LONGEST_LABEL:
            examples.append((text, int(label)))
        else:
            refuse(
                f"{path}, line {number}: needs a sentence, a tab and a whole number, not "
                f"{line[:60]!r}",
                bad,
            )
    return examples


def read_columns(
    path: str | Path, *columns: int, bad: BadLines | None = None
) -> list[tuple[str, ...]]:
    """Some columns of a file with tabs, or with commas if its name has .csv: list of tuples of str.

    columns  their numbers from 0, as (0, 1) for pairs
    bad      as read_labeled, for rows with a wrong number of columns; the quotes of a .csv must be
             correct, as the ends of its rows depend on them
    raises   DataError naming the first line with too few columns, or not as many as the first
    """
    rows = _even_rows(path, bad, max(columns) + 1)
    return [tuple(cells[c].strip() for c in columns) for _, cells in rows]


def _even_rows(path, bad, least):
    """(number of the line, cells) of rows with as many columns as the first, `least` or more."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]  # .csv or .csv.gz
    width = None
    for number, cells in _csv_rows(path) if ".csv" in suffixes else _tab_rows(path, bad):
        if len(cells) < least:
            refuse(f"{path}, line {number}: has {len(cells)} columns, needs {least}", bad)
            continue
        if width is None:
            width = len(cells)
        if len(cells) != width:
            refuse(
                f"{path}, line {number}: has {len(cells)} columns, the lines before have {width}",
                bad,
            )
            continue
        yield number, cells


# What the last column is called where the first line has names.
NAMES_OF_CLASSES = ("label", "labels", "class", "category", "target")


def read_classes(path: str | Path, bad: BadLines | None = None) -> list[tuple]:
    """Texts with the name of their class: list of (text, class), of pairs ((text, text), class).

    Two columns are a text and its class, three a pair of texts and its class: with tabs, or with
    commas in a .csv. A first line that calls the last column one of NAMES_OF_CLASSES is skipped.

    bad     as in read_columns
    raises  DataError naming the first line without a text or a class, or with more columns
    """
    found = []
    for number, cells in _even_rows(path, bad, 2):
        *texts, label = (cell.strip() for cell in cells)
        if number == 1 and label.lower() in NAMES_OF_CLASSES:
            continue
        if len(texts) > 2:
            refuse(
                f"{path}, line {number}: has {len(cells)} columns: needs a text and its class, or "
                "two texts and theirs, divided by tabs (in a .csv by commas)",
                bad,
            )
        elif not all((*texts, label)):
            refuse(f"{path}, line {number}: an empty text or class", bad)
        else:
            found.append((texts[0] if len(texts) == 1 else tuple(texts), label))
    return found


def _tab_rows(path, bad):
    """(number of the line, cells) of every line that is not empty."""
    for number, line in numbered_lines(path, bad):
        if line.strip():
            yield number, line.split("\t")


def _csv_rows(path):
    """(number of its first line, cells) of every record of comma-separated values   (RFC 4180).

    Empty lines between records are skipped, as by csv.reader.
    """
    text, at = read_text_file(path), 0
    line = first = 1  # the line at hand, and that of the record's beginning
    cells = []
    while at < len(text):
        match = _CSV.match(text, at)
        if match is None:
            raise DataError(
                f"{path}, line {line}: a quote stands inside a field, or is not closed: a field "
                'with quotes, commas or ends of lines is "quoted", its quotes doubled ("")'
            )
        quoted, plain, end = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        line += match[0].count("\n")
        at = match.end()
        if end != ",":  # the record ends here; one empty plain cell is an empty line
            if cells != [""] or quoted is not None:
                yield first, cells
            first, cells = line, []


def share_of(
    examples: Sequence[tuple[int, int]], share: float, seed: int = 0
) -> tuple[list[tuple], list[tuple]]:
    """A stratified part of labeled examples: every label keeps its share.

    examples  list of (x, label)
    share     in (0, 1]; of every label the nearest whole number is taken, and at least one
    returns   (part, rest): lists in their old order. With the same seed, the part of a smaller
              share is contained in that of a larger one, so amounts of data can be compared.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share_of: share {share} is not in (0, 1]")
    labels = [label for _, label in examples]
    order, taken = np.random.default_rng(seed).permutation(len(examples)), set()
    for label in sorted(set(labels)):
        mine = [i for i in order if labels[i] == label]  # the order does not depend on `share`
        taken.update(mine[: max(1, round(share * len(mine)))])
    part = [example for i, example in enumerate(examples) if i in taken]
    rest = [example for i, example in enumerate(examples) if i not in taken]
    return part, rest
