"""Files of tagged words, one word a line, sentences apart: CoNLL's column formats   (Tjong Kim Sang 2002; Nivre et al. 2016).

    London  B-location          two or more columns between white space (WNUT, CoNLL-2003)
    2 Bush Bush PROPN NNP ...   ten columns between tabs (CoNLL-U): number, word, lemma, part of speech, ...

Read next: finetune/tasks/tagging.py, which learns the tags.
"""
import gzip
import re
from pathlib import Path

from tinylm.errors import DataError
from tinylm.files import write_text

_WORD_NUMBER = re.compile(r"\d+")


def _blocks(path):
    """(number of its first line, lines) of every sentence: what blank lines separate, comments (#) of CoNLL-U included."""
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise DataError(f"cannot read {path} as tagged words: {error}") from error
    block, first = [], 1
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield first, block
            block = []


def read_conll(path, word=0, tag=-1):
    """Sentences of a file with a word and its tags a line.

    path       file, gzip if it ends in .gz
    word, tag  numbers of the columns
    returns    list of (words, tags), two lists of str each; "-DOCSTART-" lines are left out
    raises     DataError naming the line if it has too few columns, or the file if it cannot be read
    """
    sentences = []
    for first, lines in _blocks(path):
        rows = [line.split() for line in lines]
        need = max(2, *(i + 1 if i >= 0 else -i for i in (word, tag)))
        for i, row in enumerate(rows):
            if len(row) < need and row[0] != "-DOCSTART-":
                raise DataError(f"{path}, line {first + i}: {lines[i]!r} has {len(row)} column(s), a word and a tag need {need}")
        rows = [row for row in rows if row[0] != "-DOCSTART-"]
        if rows:
            sentences.append(([row[word] for row in rows], [row[tag] for row in rows]))
    return sentences


def read_conllu(path, tag=3):
    """Sentences of a CoNLL-U file; words that a token contains ("2-3 don't") and empty nodes ("8.1") follow its rules: the
    syntactic words are read, not the spelling above them.

    tag      column of the tag: 3 universal part of speech, 4 the treebank's own
    returns  list of (words, tags)
    raises   DataError as read_conll
    """
    sentences = []
    for first, lines in _blocks(path):
        words, tags = [], []
        for i, line in enumerate(lines):
            if line.startswith("#"):
                continue
            row = line.split("\t")
            if len(row) != 10:
                raise DataError(f"{path}, line {first + i}: {line!r} has {len(row)} columns between tabs, CoNLL-U has 10")
            if _WORD_NUMBER.fullmatch(row[0]):
                words.append(row[1])
                tags.append(row[tag])
        if words:
            sentences.append((words, tags))
    return sentences


def write_conll(path, sentences):
    """Write (words, tags) sentences, a word, a tab and its tag a line. DataError for a word that is empty or has white space."""
    text = []
    for words, tags in sentences:
        if len(words) != len(tags) or any(len(x.split()) != 1 or x.split()[0] != x for x in (*words, *tags)):
            raise DataError(f"write_conll: {len(words)} words and {len(tags)} tags must be as many, without white space: {words}")
        text += [f"{w}\t{t}\n" for w, t in zip(words, tags)] + ["\n"]
    write_text(path, "".join(text))
