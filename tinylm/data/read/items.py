"""Questions with known answers, the data on which prompts are tried and compared   (book sections
3.1.2 and 3.1.4).

An item has a question, perhaps a passage that it is about, options and a worked solution; the
demonstrations and the queries of the book are of this form. `read_items` recognizes the file by its
first record: own items (JSON lines with the fields of Item), GSM8K (gsm8k.py), and lists of
benchmark questions as instructions (benchmarks.py). Read next: gsm8k.py.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from tinylm.data.read.benchmarks import benchmark_fields
from tinylm.data.read.gsm8k import MARK, gsm8k_fields
from tinylm.data.read.records import records_of
from tinylm.errors import DataError
from tinylm.reading import BadLines, json_text, refuse


@dataclass(frozen=True)
class Item:
    """A question with its answer.

    answer     the gold answer as text, one of the options if there are any; None if it is unknown
    options    the options of a multiple-choice question, in order, as a tuple of str
    context    a passage or table that the question is about
    rationale  a worked solution, for demonstrations
    task       the task that the item belongs to
    raises     DataError for an empty question or answer, a single option, two equal ones, or an
               answer that is no option
    """

    question: str
    answer: str | None = None
    options: tuple[str, ...] = ()
    context: str = ""
    rationale: str = ""
    task: str = ""

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise DataError("an item needs a question; this one is empty")
        if self.answer is not None and not self.answer.strip():
            raise DataError(f"the answer to {self.question!r:.60} is empty: leave it out (None)")
        if not isinstance(self.options, tuple):
            raise DataError(f"options must be a tuple of text, not {self.options!r:.60}")
        if not self.options:
            return
        if len(self.options) < 2 or not all(option.strip() for option in self.options):
            raise DataError(
                f"options must be two or more, none of them empty, not {self.options!r:.80}"
            )
        # A space at an end does not tell one option from another in a prompt or a reply.
        if len({option.strip() for option in self.options}) < len(self.options):
            raise DataError(f"two options are the same: {self.options!r:.80}")
        if self.answer is not None and self.answer not in self.options:
            raise DataError(f"the answer {self.answer!r:.40} is none of {self.options!r:.80}")

    @property
    def gold(self) -> int:
        """The index of the answer among the options. DataError without an answer or options."""
        if not self.options or self.answer is None:
            raise DataError(
                f"the item {self.question!r:.60} has no gold option: it needs options and an answer"
            )
        return self.options.index(self.answer)


def read_items(path: str | Path, bad: BadLines | None = None) -> list[Item]:
    """The items of a file.

    path     JSON lines, or a JSON file with one list; may be .gz. The first record decides which
             kind of file it is, and all others must be of this kind
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    returns  list of Item in the order of the file; the name of the file without its endings is the
             task of items that have none
    raises   DataError with the line or number of the first record that cannot be read, or if the
             file has none
    """
    items, to_fields = [], None
    for place, record in records_of(path, bad):
        try:
            if to_fields is None:
                to_fields = _kind(record)
            values = to_fields(record)
            values["task"] = values.get("task") or Path(path).name.partition(".")[0]
            items.append(Item(**values))
        except DataError as error:
            refuse(f"{path}, {place}: {error}", bad)
    if not items:
        raise DataError(f"{path} holds no item" + " that can be read" * bool(bad and bad.count))
    return items


def _kind(record):
    """The function that reads the records of a file, by the fields of its first one."""
    if not isinstance(record, dict):
        raise DataError(f"an item is an object with fields, not {record!r:.60}")
    if "instruction" in record:
        return benchmark_fields
    if "question" not in record:
        names = ", ".join(map(repr, record)) or "(none)"
        raise DataError(
            f"the fields {names} are of no form that is known: question, answer, ...; or "
            "instruction, input, output, answer"
        )
    # GSM8K's answer is a whole solution, with the number after its mark.
    if set(record) == {"question", "answer"} and MARK in str(record["answer"]):
        return gsm8k_fields
    return _own_fields


def _own_fields(record):
    """The fields of an Item, under their own names."""
    if not isinstance(record, dict):
        raise DataError(f"an item is an object with fields, not {record!r:.60}")
    known = [field.name for field in fields(Item)]
    unread = [name for name in record if name not in known]
    if unread:
        raise DataError(f"the field {unread[0]!r} is not read; an item has {', '.join(known)}")
    found = {"question": json_text(record, "question"), "answer": json_text(record, "answer", None)}
    for name in ("context", "rationale", "task"):
        found[name] = json_text(record, name, "")
    options = record.get("options") or []
    if not isinstance(options, list):
        raise DataError(f"the field 'options' must be a list of texts, not {options!r:.60}")
    # json_text checks every option as it checks a field.
    found["options"] = tuple(
        json_text({f"options[{i}]": option}, f"options[{i}]") for i, option in enumerate(options)
    )
    return found
