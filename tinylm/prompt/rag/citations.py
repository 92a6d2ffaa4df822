"""Which texts an answer cites, and whether they say it   (book section 3.2.5, answers that are
faithful to the texts).

    The Games will be held in Los Angeles [1], as in 1984 [2][3].

A model may cite a text that it was not given, or one that has nothing to do with the statement.
The first is found with certainty. For the second the share of the statement's words that occur in
the text is measured: a low share shows an unsupported statement, a high one proves nothing, since
"A beat B" and "B beat A" have the same words. Gao et al. 2023 measure the same with a model of
entailment, and the precision and recall of citations. Read next: answer.py.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from tinylm.data.measure.answers import answer_words
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer

LEAST_SUPPORT = 0.5  # below it, most of a statement's words are not in the text that it cites
_NUMBERS = r"\d+(?:\s*[-–]\s*\d+)?"
_MARK = regex.compile(rf"[^\S\n]*\[({_NUMBERS}(?:\s*[,;]\s*{_NUMBERS})*)\]")


@dataclass(frozen=True)
class Citation:
    """One statement and one text that it cites, or a number in brackets that is no text.

    number     of the text, from 1, as written
    statement  the words before the mark, back to the last mark or the end of the last sentence
    support    share of the words of the statement that are in the text, 0 .. 1; None if there is no
               text with this number
    """

    number: int
    statement: str
    support: float | None

    @property
    def known(self) -> bool:
        """True if there is a text with this number."""
        return self.support is not None

    @property
    def supported(self) -> bool:
        """True if the text has at least LEAST_SUPPORT of the statement's words; False also for a
        text that was not given.
        """
        return self.known and self.support >= LEAST_SUPPORT


def find_citations(answer: str, texts: Sequence[str]) -> list[Citation]:
    """The citations of an answer, checked against the texts that its prompt had.

    answer   str with marks such as [1], [1, 3], [2-4]
    texts    list of str; the first is number 1
    returns  list of Citation in the order of the answer. Marks that follow each other, [1][2],
             belong to one statement. Numbers in brackets are a mark if there is a text for each of
             them; of others, such as [1914-1918], those that are written are reported as unknown
    """
    words = [set(answer_words(text)) for text in texts]
    found, statement, last = [], "", 0
    for match in _MARK.finditer(answer):
        # In [1][2] nothing stands between the marks: the second has the statement of the first.
        before = _statement(answer[last : match.start()])
        if before:
            statement = before
        last = match.end()
        cited = _cited(match[1], len(texts))
        if cited is None:
            written = map(int, regex.findall(r"\d+", match[1]))
            found += [Citation(number, statement, None) for number in written]
            continue
        for number in cited:
            support = _share(answer_words(statement), words[number - 1])
            found.append(Citation(number, statement, support))
    return found


def citation_scores(answers: Sequence[Answer], sources: Sequence[set[int]]) -> dict[str, float]:
    """How often the texts that are cited are those that hold the answer.

    answers  list of Answer, as of answer_from
    sources  for each, the numbers of the texts in its prompt that hold the answer, from 1
    returns  dict: "precision" of the cited texts that are sources; "recall" of the answers that
             have a source and cite one, refusals left out; "cited" of the answers, refusals left
             out, with any citation. nan for a share of nothing
    raises   DataError for another number of sources than of answers
    """
    if len(answers) != len(sources):
        raise DataError(f"citation_scores: {len(sources)} sources of {len(answers)} answers")
    cited, right, written, answerable, found = 0, 0, [], 0, 0
    for answer, numbers in zip(answers, sources):
        # A text cited twice in an answer counts once.
        own = {one.number for one in answer.details["citations"]}
        cited += len(own)
        right += len(own & set(numbers))
        if answer.details["refused"] is not None:
            continue
        written.append(bool(own))
        if numbers:
            answerable += 1
            found += bool(own & set(numbers))
    return {
        "precision": share_of(right, cited),
        "recall": share_of(found, answerable),
        "cited": share_of(sum(written), len(written)),
    }


def without_citations(answer: str, count: int) -> str:
    """An answer without its marks and the spaces before them.

    count  of texts. Other numbers in brackets, as in "x[0]" or "[1914-1918]", stay
    """

    def kept(match):
        if _cited(match[1], count) is None:
            return match[0]
        return ""

    return _MARK.sub(kept, answer).strip()


def _cited(mark, count):
    """The numbers in a mark, "1, 3-5" -> [1, 3, 4, 5]; None unless each is one of 1 .. count."""
    numbers = []
    for part in regex.split(r"[,;]", mark):
        ends = [int(number) for number in regex.findall(r"\d+", part)]
        if not 1 <= ends[0] <= ends[-1] <= count:
            return None
        numbers += range(ends[0], ends[-1] + 1)
    return numbers


def _statement(text):
    """The end of a text from its last sentence on; "" if there are no words."""
    text = text.strip(" \t\n.,;:!?")
    return regex.split(r"(?<=[.!?])\s+", text)[-1]


def _share(statement, words):
    """The share of the words of a statement that are in a set of words; 0 without any."""
    if not statement:
        return 0.0
    # support = sum over words w of n(w) [w in text] / sum of n(w)
    counts = Counter(statement)
    return sum(count for word, count in counts.items() if word in words) / counts.total()


def share_of(count: int, total: int) -> float:
    """count / total; nan for a share of nothing."""
    if total == 0:
        return float("nan")
    return float(count / total)
