"""Benchmark questions that were written as instructions, and are taken apart again.

The collection of LLM-Adapters (Hu et al. 2023) keeps ARC, PIQA, BoolQ, SVAMP and MultiArith as
lists of {"instruction", "input", "output", "answer"}; options are part of the instruction's text:

    Please choose the correct solution to the question: How do I dry a dresser?

    Solution1: with a towel  Solution2: with a stone

    Answer format: solution1/solution2

A record of another form raises DataError with the reason. "output" is not read: in the arithmetic
lists it is the solution of a model, and the answer in it is often wrong. Read next: items.py.
"""

import re
from typing import Any

from tinylm.errors import DataError
from tinylm.reading import json_text

_FIELDS = ("instruction", "input", "output", "answer")
_FORMAT = re.compile(r"(.*\S)\s+Answer format: (\S+)\s*", re.DOTALL)
_CHOICE = re.compile(r"Please choose the correct \w+ to the question: (.*\S)", re.DOTALL)
_TRUTH = re.compile(
    r"Please answer the following question with true or false, question: (.*\S)", re.DOTALL
)
_NUMBER = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?")


def benchmark_fields(record: dict[str, str]) -> dict[str, Any]:
    """The fields of an Item from a record {"instruction", "input", "output", "answer"}.

    returns  {"question", "answer", "options", "context": the input}; a number is written without
             the zeros after its point: "8.0" is "8"
    raises   DataError for a field that is not known, an instruction that cannot be taken apart, or
             an answer of another form
    """
    if not isinstance(record, dict):
        raise DataError(f"a benchmark question is an object with fields, not {record!r:.60}")
    unread = [name for name in record if name not in _FIELDS]
    if unread:
        raise DataError(f"the field {unread[0]!r} is not read; the fields are {', '.join(_FIELDS)}")
    text, answer = json_text(record, "instruction").strip(), json_text(record, "answer").strip()
    found = {"context": json_text(record, "input", "").strip()}
    parts = _FORMAT.fullmatch(text)
    if parts is None:
        return found | {"question": text, "answer": _number(answer)}
    body, labels = parts[1], tuple(parts[2].split("/"))
    if answer not in labels:
        raise DataError(f"the answer {answer!r:.40} is none of the answer format's {labels}")
    if labels == ("true", "false"):
        return found | {"question": _inside(_TRUTH, body), "answer": answer, "options": labels}
    question, options = _options(_inside(_CHOICE, body), labels)
    gold = options[labels.index(answer)]
    return found | {"question": question, "answer": gold, "options": options}


def _inside(form, text):
    """What is left of a text without the words around it."""
    match = form.fullmatch(text)
    if match is None:
        raise DataError(f"the instruction {text!r:.80} is of no form that is known")
    return match[1]


def _options(text, labels):
    """(question, options) of "question Answer1: first Answer2: second", labels answer1, answer2.

    A mark stands alone, with white space before and after it. One that is there twice, or not in
    the order of the labels, raises: where an option begins would be a guess.
    """
    ends, begins = [], [0]
    for label in labels:
        mark = f"{label.capitalize()}:"
        found = list(re.finditer(rf"(?<!\S){re.escape(mark)}(?=\s|\Z)", text))
        if len(found) != 1 or found[0].start() < begins[-1]:
            raise DataError(
                f"the mark {mark!r} must be there once, after those before it; it is there "
                f"{len(found)} times in {text!r:.80}"
            )
        ends.append(found[0].start())
        begins.append(found[0].end())
    question, *options = (text[begin:end].strip() for begin, end in zip(begins, [*ends, len(text)]))
    return question, tuple(options)


def _number(text):
    """A number in its shortest form: "8.0" -> "8", "0.50" -> "0.5"."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise DataError(f"the answer {text!r:.40} is no number, and the question has no options")
    whole, decimals = match[1], (match[2] or "").rstrip("0")
    return ".".join(part for part in (whole, decimals) if part)
