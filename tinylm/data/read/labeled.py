"""Files of labeled sentences and of columns, as small public data sets come; and how to take a fair
part of one.

Labeled: one sentence a line, a tab, a whole number ("From Group to Individual Labels using Deep
Features", Kotzias et al. 2015, has 3,000 reviews in this form). Columns: between tabs, where quotes
are letters like others (IANA, text/tab-separated-values), or in a .csv between commas, where quotes
hide commas and ends of lines (RFC 4180). Read next: synthetic/reviews.py, made-up ones.
"""

from pathlib import Path

import numpy as np
import regex

from tinylm.errors import ConfigError, DataError
from tinylm.reading import numbered_lines, read_text_file, refuse

_LONGEST_LABEL = 18  # digits: an int64
_CSV = regex.compile(r'(?:"((?:[^"]++|"")*+)"|([^",\n]*+))(,|\n|\Z)')


def read_lines(path):
    """The lines of a UTF-8 file, gzipped or not, without their ends. Empty ones are left out."""
    return [line for _, line in numbered_lines(path) if line.strip()]


def read_labeled(path, bad=None):
    """Sentences with their labels: list of (str, int). Empty lines are passed over.

    bad     reading.BadLines that takes lines that cannot be read; by default they raise
    raises  DataError naming the first line that is not a sentence, a tab and a whole number
    """
    examples = []
    for number, line in numbered_lines(path, bad):
        if not line.strip():
            continue
        text, _, label = line.rpartition("\t")
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


def read_columns(path, *columns, bad=None):
    """Some columns of a file with tabs, or with commas if its name has .csv: list of tuples of str.

    columns  their numbers from 0, as (0, 1) for pairs
    bad      as read_labeled. Of a .csv no line can be left out: a quote may hide where it ends
    raises   DataError naming the first line that is too short, or has not the columns of the first
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    found, rows, width = _csv_rows(path) if ".csv" in suffixes else _tab_rows(path, bad), [], None
    for number, cells in found:
        if len(cells) <= max(columns):
            refuse(
                f"{path}, line {number}: has {len(cells)} columns, needs {max(columns) + 1}", bad
            )
            continue
        if width is None:
            width = len(cells)
        if len(cells) != width:
            refuse(
                f"{path}, line {number}: has {len(cells)} columns, the lines before have {width}",
                bad,
            )
            continue
        rows.append(tuple(cells[c].strip() for c in columns))
    return rows


def _tab_rows(path, bad):
    """(number of the line, cells) of every line that holds something."""
    return (
        (number, line.split("\t")) for number, line in numbered_lines(path, bad) if line.strip()
    )


def _csv_rows(path):
    """(number of its first line, cells) of every record of comma-separated values   (RFC 4180).

    Empty lines between records are passed over, as csv.reader passes over them.
    """
    text, at, line, first, cells = read_text_file(path), 0, 1, 1, []
    while at < len(text):
        match = _CSV.match(text, at)
        if match is None:
            raise DataError(
                f"{path}, line {line}: a quote stands inside a field, or is not "
                "closed: a field "
                'with quotes, commas or ends of lines is "quoted", its quotes doubled '
                '("")'
            )
        quoted, plain, end = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        line += match[0].count("\n")
        at = match.end()
        if end != ",":
            if cells != [""] or quoted is not None:
                yield first, cells
            first, cells = line, []


def share_of(examples, share, seed=0):
    """A part of labeled examples in which every label keeps its share.

    examples  list of (x, label)
    share     in (0, 1]; of every label the nearest whole number is taken, and at least one
    returns   (part, rest): lists in their old order. The part of a smaller share with the same
              seed lies inside that of a larger one, so amounts of data can be compared.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share_of: share {share} is not in (0, 1]")
    labels = [label for _, label in examples]
    order, taken = np.random.default_rng(seed).permutation(len(examples)), set()
    for label in sorted(set(labels)):
        mine = [i for i in order if labels[i] == label]
        taken.update(mine[: max(1, round(share * len(mine)))])
    return [e for i, e in enumerate(examples) if i in taken], [
        e for i, e in enumerate(examples) if i not in taken
    ]
