"""Is an answer right? One rule for all methods, so that none is favored by how it is read.

A model that answers "Tom has 7 apples." is as right as one whose method has read "7" from it:

- an option must be the gold option;
- where the gold answer is a number, the last number of the answer must have the same value, in any
  notation: 0.375, 3/8 and 37.5 % are one answer. If only one of the two has a percent sign, the
  other may count percent too: 60 % is right where the answer is 60, or 0.6;
- where the gold answer is brackets, as in Dyck languages, the last brackets of the answer must be
  the same, with any spaces between them;
- where it is a sequence of SCAN's actions, the last sequence of the answer must be the same;
- otherwise the words of the gold answer must stand in the answer, one after the other (Rajpurkar et
  al. 2016: case, punctuation and articles do not count). An answer that names two candidates is
  then right too, if one of them is.

Read next: methods.py.
"""

import re
from fractions import Fraction
from typing import Any

from tinylm.data.measure.answers import answer_words
from tinylm.data.measure.numbers import canonical_number, numbers_in
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.scan import ACTIONS, TURNS

# Marks that make another word, which letters alone would not show: C++ and C#, 2-3 and 23, 1.5 and
# 15, -5 and 5.
_MARKS = re.compile(r"(?<=\w)[+#]+(?!\w)|(?<=\d)[./:–-](?=\d)|(?<!\w)-(?=\.?\d)")
_BRACKETS = re.compile(r"[][(){}<>](?:\s*[][(){}<>])*")
# I_TURN_LEFT and I_JUMP are the names of the actions in the published files.
_ACTION = rf"(?:{'|'.join([*ACTIONS.values(), *TURNS.values()])}|I_[A-Z_]+)"
_SEQUENCE = rf"(?<!\w){_ACTION}(?:[\s,]+{_ACTION})*(?!\w)"


def answer_key(value: str) -> tuple[str] | Fraction:
    """What two equal answers have in common: a Fraction for a number, a tuple of words for a text.

    value    str, or None
    returns  hashable; None for None
    """
    if value is None:
        return None
    number = canonical_number(value)
    if number is not None:
        return number
    return tuple(_words(value))


def _words(text):
    # A mark of these becomes letters, by its number: answer_words would delete it.
    marked = _MARKS.sub(
        lambda found: "".join(f"m{ord(mark)}" for mark in found[0]),
        text.replace("\N{MINUS SIGN}", "-"),
    )
    # An answer of brackets alone has no words; it is compared as it stands.
    return answer_words(marked) or text.split()


def last_number(text: str) -> str | None:
    """The last number of a text as it is written, or None: "7" of "He has 3 + 4 = 7 apples."."""
    if canonical_number(text) is not None:
        return text
    found = numbers_in(text)
    if found:
        return found[-1]
    return None


def last_brackets(text: str) -> str | None:
    """The last run of brackets of a text without spaces, or None: "}]" of "It ends with } ]."."""
    found = _BRACKETS.findall(text)
    if found:
        return "".join(found[-1].split())
    return None


def last_actions(text: str) -> tuple[str, ...] | None:
    """The last sequence of SCAN's actions in a text, or None: ("RUN", "JUMP") of "So RUN JUMP."."""
    # Small letters are actions only where there are no others: "jump twice" is a command.
    found = re.findall(_SEQUENCE, text) or re.findall(_SEQUENCE, text.upper())
    if found:
        return tuple(re.split(r"[\s,]+", found[-1]))
    return None


def _is_brackets(text):
    return _BRACKETS.fullmatch(text.strip()) is not None


def _is_actions(text):
    return re.fullmatch(_SEQUENCE, text.strip()) is not None


def contains_answer(text: str, gold: str) -> bool:
    """True if a text gives the gold answer: its words stand there, one after the other, or the last
    brackets or actions of the text are those of the answer.
    """
    # Words have no brackets (answer_words), and a longer run is another answer.
    for is_run, last_run in ((_is_brackets, last_brackets), (_is_actions, last_actions)):
        if is_run(gold):
            return last_run(text or "") == last_run(gold)
    words, wanted = _words(text or ""), _words(gold)
    if not wanted:
        return False
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))


def task_key(value: str, item: Item) -> Any:
    """What two equal answers to an item have in common: as answer_key, but of the last number or
    the last brackets or actions where the item's answer is of this kind. Every vote on an item
    compares by it.

    item     Item. Of its gold answer the kind alone is used; without one, answer_key decides
    returns  hashable; None if there is no answer, or none of the kind that is wanted
    """
    if value is None or item.answer is None:
        return answer_key(value)
    if canonical_number(item.answer) is not None:
        return answer_key(last_number(value))
    if _is_brackets(item.answer):
        return last_brackets(value)
    if _is_actions(item.answer):
        return last_actions(value)
    return answer_key(value)


def _same_value(number, gold):
    """True if two texts are one number; a percent sign that only one of them has may be its unit,
    which the question names: "How many percent?"."""
    if number is None:
        return False
    if answer_key(number) == answer_key(gold):
        return True
    # With a percent sign on both sides, or on none, this is the comparison above once more.
    return answer_key(number.replace("%", "")) == answer_key(gold.replace("%", ""))


def is_right(value: str, item: Item) -> bool | None:
    """True if an answer is the gold answer of an item.

    value    str, or None: not right
    item     Item
    returns  bool; None for an item without a gold answer
    """
    if item.answer is None:
        return None
    if value is None:
        return False
    if item.options:
        return value == item.answer
    if canonical_number(item.answer) is not None:
        return _same_value(last_number(value), item.answer)
    return contains_answer(value, item.answer)
