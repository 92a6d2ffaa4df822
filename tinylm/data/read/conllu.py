"""Files of the Universal Dependencies: CoNLL-U, ten columns between tabs   (Nivre et al. 2016).

    # text = Don't stop.                                comments come before the first word
    1-2   Don't   _      _      _   _   _  _       _  _     a token made of words 1 and 2
    1     Do      do     AUX    VB  _   3  aux     _  _     ID, FORM, LEMMA, UPOS, XPOS, FEATS,
    2     n't     not    PART   RB  _   3  advmod  _  _     HEAD, DEPREL, DEPS, MISC
    3     stop    stop   VERB   VB  _   0  root    _  _
    3.1   now     ...                                   an empty node: a word that was elided

Files that fail level 1 of the format's own validator raise DataError, and so do heads that are not
a tree. Read next: finetune/tasks/tagging.py.
"""

import re
from pathlib import Path

from tinylm.errors import DataError
from tinylm.reading import numbered_lines

_NUMBER = "[1-9][0-9]{0,8}"
# Of a word "3", a token of several words "1-2", or an empty node "3.1".
_ID = re.compile(
    rf"(?P<word>{_NUMBER})|(?P<first>{_NUMBER})-(?P<last>{_NUMBER})"
    rf"|(?P<after>0|{_NUMBER})\.(?P<empty>{_NUMBER})"
)
_HEAD = re.compile(rf"_|0|{_NUMBER}")
_NAMES = "ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC".split()
UPOS = frozenset(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X _".split()
)
_MAY_HAVE_SPACES = ("FORM", "LEMMA", "MISC")
_FEATURE = re.compile(r"[^=|\s]+=[^=|\s]+")


def read_conllu(path: str | Path, tag: int = 3) -> list[tuple[list[str], list[str]]]:
    """Sentences of a CoNLL-U file: its syntactic words and their tags.

    Tokens of several words ("2-3 don't") and empty nodes ("8.1") are checked and skipped.

    tag      column of the tag: 3 universal part of speech, 4 the treebank's own
    returns  list of (words, tags)
    raises   DataError naming the line that is not CoNLL-U, or the file if it cannot be read
    """
    sentences = []
    for block in _blocks(path):
        words = _Sentence()
        for number, line in block:
            try:
                words.add(line, number)
            except DataError as error:
                raise DataError(f"{path}, line {number}: {line!r:.80} {error}") from None
        if fault := words.end():
            line, reason = fault
            raise DataError(f"{path}, line {line}: {reason}")
        sentences.append(([row[1] for row in words.rows], [row[tag] for row in words.rows]))
    return sentences


def _blocks(path):
    """[(number, line)] of every sentence, comments included. Empty lines end one."""
    block = []
    for number, line in numbered_lines(path):
        if line:
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


class _Sentence:
    """The lines of one sentence, checked one after the other."""

    def __init__(self):
        self.rows, self.lines = [], []  # columns of each word, and the number of its line
        self.line = 0  # number of the line at hand
        self.token_end = 0  # last word of the last token of several words
        self.empty = 0  # empty nodes since the last word
        self.started = False  # after the comments

    def add(self, line, number):
        """Check and store one line; raises DataError with the reason if it is wrong."""
        self.line = number
        if line.startswith("#"):
            if self.started:
                raise DataError(
                    "is a comment inside a sentence: comments stand before its "
                    "first word, and an empty line ends a sentence"
                )
            return
        self.started = True
        row = line.split("\t")
        if len(row) != 10:
            raise DataError(f"has {len(row)} columns between tabs, CoNLL-U has 10")
        for name, cell in zip(_NAMES, row):
            if not cell or cell != cell.strip():
                raise DataError(f'has an empty {name}, or spaces around it: "_" stands for nothing')
            if name not in _MAY_HAVE_SPACES and len(cell.split()) > 1:
                raise DataError(f"has white space inside {name}")
        found = _ID.fullmatch(row[0])
        if found is None:
            raise DataError(f"has the ID {row[0]!r:.40}: 1, 2-3 and 3.1 are IDs")
        if found["word"]:
            self._word(int(found["word"]), row)
        elif found["first"]:
            self._token(int(found["first"]), int(found["last"]), row)
        else:
            self._empty(int(found["after"]), int(found["empty"]), row)
        _check_features(row[5])

    def _word(self, number, row):
        if number != len(self.rows) + 1:
            raise DataError(f"has the ID {number} where {len(self.rows) + 1} is next")
        if row[3] not in UPOS:
            raise DataError(
                f"has the UPOS {row[3]!r:.40}, which is none of {' '.join(sorted(UPOS))}"
            )
        if not _HEAD.fullmatch(row[6]):
            raise DataError(f"has the HEAD {row[6]!r:.40}: a head is the ID of a word, or 0")
        if row[6] == str(number):
            raise DataError("has itself as HEAD")
        self.rows.append(row)
        self.lines.append(self.line)
        self.empty = 0

    def _token(self, first, last, row):
        if first != len(self.rows) + 1 or last <= first or first <= self.token_end:
            raise DataError(
                f"has the ID {first}-{last}: a range stands before its first word, "
                "has two words or more, and none of another range"
            )
        # Columns 1 and 9 are FORM and MISC; all else is annotated on the words.
        if any(row[i] != "_" for i in (2, 3, 4, 6, 7, 8)) or row[5] not in ("_", "Typo=Yes"):
            raise DataError("is a range: only FORM and MISC, and Typo=Yes, may stand in it")
        self.token_end = last

    def _empty(self, after, empty, row):
        if after != len(self.rows) or empty != self.empty + 1:
            raise DataError(
                f"has the ID {after}.{empty}: {len(self.rows)}.{self.empty + 1} would be next"
            )
        if row[6] != "_" or row[7] != "_":
            raise DataError("is an empty node, which has no HEAD and no DEPREL")
        self.empty = empty

    def end(self):
        """(line, reason) if words are missing or their heads are not a tree, or None."""
        count = len(self.rows)
        if not count:
            return self.line, "it has no word: an empty line stands only after a sentence"
        if self.token_end > count:
            return self.line, f"a range goes up to {self.token_end}, the words up to {count}"
        # heads[w] of word w, None where it is not annotated; place 0 is the root's own.
        heads = [0] + [None if row[6] == "_" else int(row[6]) for row in self.rows]
        for word, (line, row, head) in enumerate(zip(self.lines, self.rows, heads[1:]), 1):
            relation = row[7].split(":")[0]  # without the subtype of "nsubj:pass"
            if head is not None and head > count:
                return line, f"word {word} has the HEAD {head}, which is no word of the sentence"
            known = head is not None and relation != "_"
            if known and (head == 0) != (relation == "root"):
                what = f"word {word} has HEAD {head} and DEPREL {row[7]!r:.40}"
                return line, f"{what}: root is the relation to 0"
        roots = [word for word, head in enumerate(heads) if word and head == 0]
        if len(roots) > 1:
            line = self.lines[roots[1] - 1]
            return line, f"word {roots[1]} is a second root, after word {roots[0]}: a tree has one"
        return self._circle(heads)

    def _circle(self, heads):
        """(line, reason) of a word whose chain of heads never reaches 0, or None."""
        # From every word towards 0, until a word that an earlier walk has passed: linear time.
        passed = [True] + [False] * len(self.rows)
        for start in range(1, len(heads)):
            path, at = set(), start
            while at is not None and not passed[at]:
                if at in path:
                    return self.lines[at - 1], f"the heads of word {at} go round in a circle"
                path.add(at)
                at = heads[at]
            for word in path:
                passed[word] = True
        return None


def _check_features(cell):
    """Raise DataError for FEATS that are not Name=Value|Name=Value, each name once."""
    if cell == "_":
        return
    features = cell.split("|")
    names = [feature.partition("=")[0] for feature in features]
    if not all(map(_FEATURE.fullmatch, features)) or len(set(names)) < len(names):
        raise DataError(
            f"has the FEATS {cell!r:.80}: Name=Value|Name=Value is the form, each name once"
        )
