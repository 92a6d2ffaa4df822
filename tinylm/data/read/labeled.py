"""Files of labeled sentences and of sentence pairs, as small public data sets come; and how to take a fair part of one.

Labeled: one sentence a line, a tab, a whole number ("From Group to Individual Labels using Deep Features", Kotzias et al.
2015, has 3,000 reviews in this form). Pairs: columns with tabs between them. Read next: synthetic/reviews.py, made-up ones.
"""
import gzip
from pathlib import Path

import numpy as np

from tinylm.errors import ConfigError, DataError


def read_lines(path):
    """The lines of a UTF-8 file, gzipped or not, without their ends. Only a line feed ends one. Empty ones are left out."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [line.rstrip("\r") for line in data.decode("utf-8").split("\n") if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this is no UTF-8 text{' in gzip' * (path.suffix == '.gz')}: {error}") from None


def read_labeled(path):
    """Sentences with their labels: list of (str, int).

    raises  DataError naming the first line that is not a sentence, a tab and a whole number
    """
    examples = []
    for number, line in enumerate(read_lines(path), 1):
        text, tab, label = line.rpartition("\t")
        if not tab or not label.strip().isdecimal():
            raise DataError(f"{path}, line {number}: needs a sentence, a tab and a whole number, not {line[:60]!r}")
        examples.append((text.strip(), int(label)))
    return examples


def read_columns(path, *columns):
    """Some columns of a file with tabs: list of tuples of str.

    columns  their numbers from 0, as (0, 1) for pairs
    raises   DataError naming the first line that is too short
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) <= max(columns):
            raise DataError(f"{path}, line {number}: has {len(cells)} columns, needs {max(columns) + 1}")
        rows.append(tuple(cells[c].strip() for c in columns))
    return rows


def share_of(examples, share, seed=0):
    """A part of labeled examples in which every label keeps its share.

    examples  list of (x, label)
    share     in (0, 1]; of every label the nearest whole number is taken, and at least one
    returns   (part, rest): lists in their old order. The part of a smaller share with the same seed lies inside that of a
              larger one, so amounts of data can be compared.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share_of: share {share} is not in (0, 1]")
    labels = [label for _, label in examples]
    order, taken = np.random.default_rng(seed).permutation(len(examples)), set()
    for label in sorted(set(labels)):
        mine = [i for i in order if labels[i] == label]
        taken.update(mine[:max(1, round(share * len(mine)))])
    return [e for i, e in enumerate(examples) if i in taken], [e for i, e in enumerate(examples) if i not in taken]
