"""Files of tagged words, one word a line, an empty line between sentences: CoNLL's column formats
(Tjong Kim Sang 2002; Nivre et al. 2016).

    London  B-location          two or more columns between tabs or spaces (WNUT, CoNLL-2003)
    2 Bush Bush PROPN NNP ...   ten columns between tabs (CoNLL-U): see conllu.py

As in conlleval, the shared tasks' own script, every line of a file must have as many columns as the
first. Read next: conllu.py; finetune/tasks/tagging.py, which learns the tags.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tinylm.data.read.conllu import read_conllu as read_conllu
from tinylm.errors import ConfigError, DataError
from tinylm.files import write_text
from tinylm.reading import numbered_lines

DOCUMENT = "-DOCSTART-"
_BEGUN = re.compile(r"[BI]-.")
# IOB1 writes B only between two chunks of one type, IOB2 at the beginning of each (Tjong Kim Sang
# & Veenstra 1999); IOBES and BILOU also mark ends and chunks of one word.
_MARKS = {"iob1": "BI", "iob2": "BI", "iobes": "BIES", "bilou": "BILU"}
SCHEMES = tuple(_MARKS)


def read_conll(
    path: str | Path, word: int = 0, tag: int = -1, scheme: str = ""
) -> list[tuple[list[str], list[str]]]:
    """Sentences of a file with a word and its tags a line.

    Empty lines end a sentence, and so do "-DOCSTART-" lines, which begin a document.

    path       file, gzip or not
    word, tag  numbers of the columns
    scheme     of the tags: "iob1", "iob2", "iobes", "bilou"; "": any of these if the tags mark
               chunks (B-, I-); "any": not checked
    returns    list of (words, tags), two lists of str each
    raises     ConfigError for another scheme; DataError naming the line if it has too few columns,
               more or fewer than the lines before, an empty one, or a tag that is not allowed after
               the one before; or the file if it cannot be read
    """
    if scheme not in ("", "any", *SCHEMES):
        raise ConfigError(f"read_conll: scheme {scheme!r} is none of any, {', '.join(SCHEMES)}")
    # Column i needs i + 1 columns, column -i from the end needs i.
    need, width = max(2, *(i + 1 if i >= 0 else -i for i in (word, tag))), None
    sentences, numbers = [], []
    for block in _blocks(path):
        words, tags = [], []
        for number, line in block:
            row = _columns(path, number, line)
            if width is None:
                width = len(row)
            if len(row) < need:
                raise DataError(
                    f"{path}, line {number}: {line!r:.80} has {len(row)} column(s), "
                    f"a word and a tag need {need}"
                )
            if len(row) != width:
                raise DataError(
                    f"{path}, line {number}: {line!r:.80} has {len(row)} columns, "
                    f"the lines before have {width}"
                )
            words.append(row[word])
            tags.append(row[tag])
        numbers.append([number for number, _ in block])
        sentences.append((words, tags))
    if scheme != "any":
        _check_scheme(path, numbers, [tags for _, tags in sentences], scheme)
    return sentences


def _blocks(path):
    """[(number, line)] of every sentence."""
    block = []
    for number, line in numbered_lines(path):
        if line.strip() and not re.match(rf"{DOCUMENT}(?:\s|$)", line):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _columns(path, number, line):
    """The columns of a line: between tabs if it has one, else between spaces.

    Other white space, such as a no-break space, belongs to a word.
    """
    if "\t" not in line:
        return [cell for cell in line.split(" ") if cell]
    row = [cell.strip(" ") for cell in line.split("\t")]
    if "" in row:
        raise DataError(
            f"{path}, line {number}: column {row.index('') + 1} of {line!r:.80} is empty"
        )
    return row


def _check_scheme(path, numbers, tags, scheme):
    """Raise DataError with the line of the first tag that `scheme` does not allow.

    Without a scheme, tags that mark chunks must fit one of SCHEMES.
    """
    if scheme:
        candidates, mend = [scheme], ""
    elif any(_BEGUN.match(tag) for sentence in tags for tag in sentence):
        candidates, mend = SCHEMES, '; scheme="any" reads tags unchecked'
    else:
        return
    faults = [_fault(numbers, tags, one) for one in candidates]
    if None in faults:
        return
    number, what = max(faults)  # of the scheme that fits the longest part of the file
    raise DataError(f"{path}, line {number}: {what}{mend}")


def _fault(numbers, tags, scheme):
    """(line, reason) of the first tag that cannot follow the one before, or None."""
    for lines, sentence in zip(numbers, tags):
        before, written = ("O", ""), "O"
        # An "O" is added at the end, so that a chunk without its end (E, L) is found.
        for number, tag in zip([*lines, lines[-1]], [*sentence, "O"]):
            now = _mark(tag, scheme)
            if now is None or not _follows(before, now, scheme):
                name = scheme.upper()
                return number, f"the tag {tag!r} after {written!r} is nothing that {name} writes"
            before, written = now, tag
    return None


def _mark(tag, scheme):
    """(mark, type) of a tag, ("O", "") outside chunks, None if it is no tag of the scheme."""
    if tag == "O":
        return ("O", "")
    mark, _, kind = tag.partition("-")
    if kind and len(mark) == 1 and mark in _MARKS[scheme]:
        return (mark, kind)
    return None


def _follows(before, now, scheme):
    """True if a tag may follow another."""
    (mark_before, kind_before), (mark, kind) = before, now
    same = kind == kind_before
    if scheme == "iob1":  # B only right after a chunk of the same type
        return mark != "B" or same
    if scheme == "iob2":  # I only inside a chunk of its type
        return mark != "I" or same
    # IOBES, BILOU: B and I must be continued by I or the end (E, L) of the same type.
    inside = mark_before in ("B", "I")
    continues = mark in ("I", "E", "L")
    return inside == continues and (same or not inside)


def write_conll(path: str | Path, sentences: Sequence[tuple[list[str], list[str]]]) -> None:
    """Write (words, tags) sentences, a word, a tab and its tag a line.

    raises  DataError for a word that is empty or has white space
    """
    text = []
    for words, tags in sentences:
        odd = [x for x in (*words, *tags) if x.split() != [x]]
        if len(words) != len(tags) or odd:
            raise DataError(
                f"write_conll: {len(words)} words and {len(tags)} tags must be as many, "
                f"without white space: {words}"
            )
        text += [f"{w}\t{t}\n" for w, t in zip(words, tags)] + ["\n"]
    write_text(path, "".join(text))
