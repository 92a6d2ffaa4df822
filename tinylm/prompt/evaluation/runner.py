"""A method on a list of questions, one after the other; a long run can be interrupted and resumed.

Every answered question is a line of a file, written at once (answer_file.py). Started again with
the same model, method and settings, the run goes on behind the last line; more questions than
before extend it. A question that cannot be answered, such as one that is longer than the model's
context, does not end the run: its record has the reason. A method that needs all questions for the
answer to each, or that first learns something from the demonstrations, is called once; its answers
are kept when all of them are there. Read next: compare.py.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.evaluation.answer_file import AnswerFile, file_head, fingerprint
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.protocol.account import Account
from tinylm.prompt.protocol.text_lm import TextLM

COUNTS = [one.name for one in fields(Account) if one.type is int]


@dataclass(frozen=True)
class Record:
    """What a method made of one question.

    item     its number in the list
    value    the answer that was read, or None
    right    bool; None without a gold answer
    text     the reply
    calls, prompt_tokens, read_tokens, generated_tokens, scored_tokens, seconds   as in Account
    error    why the question could not be answered; "" if it was. It counts as wrong
    dropped  demonstrations, or retrieved texts, that had no room in the prompt
    report   {name: number or text} that the method reports beside its answer: the prompt that it
             found, tokens of a passage before and after. What concerns all questions is in the
             first record alone
    """

    item: int
    value: str | None
    right: bool | None
    text: str
    calls: int
    prompt_tokens: int
    read_tokens: int
    generated_tokens: int
    scored_tokens: int
    seconds: float
    error: str = ""
    dropped: int = 0
    report: dict = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Prompt, generated and scored tokens."""
        return self.prompt_tokens + self.generated_tokens + self.scored_tokens


def answer_items(
    lm: TextLM,
    method: Callable,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    file: Any = None,
    about: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator:
    """Answer each item by a method.

    lm              TextLM
    method          function method(lm, item, demonstrations, seed=, **options) -> Answer; or with
                    `items` in the place of `item`, which returns a list of Answer or DataError
    items           list of Item
    seed            item i gets seed + 1000 i, so that no two share a stream of random numbers; a
                    method of all items gets `seed`
    file            path of a file of records, begun or continued; None: none is kept
    about           dict that describes model and method in `file`, beside the options, the
                    demonstrations and the seed
    yields          Record of each item, those of the file first; a DataError of the method is the
                    `error` of its item
    raises          ConfigError of the method, which concerns the setting and so all items; if the
                    file is of another run, or in use. DataError if it is no file of answers, or
                    damaged
    """
    if file is None:
        yield from _answers(lm, method, items, demonstrations, seed, options)
        return
    about = dict(about or {})
    if takes_all(method):
        # Each answer depends on all questions, so other ones are another run.
        about["all_questions"] = fingerprint(items)
    head = file_head(about, options, demonstrations, seed)
    with AnswerFile(file, head, items, read_record) as kept:
        yield from kept.records
        done = len(kept.records)
        for record in _answers(lm, method, items, demonstrations, seed, options, done):
            kept.append(record)
            yield record


def _answers(lm, method, items, demonstrations, seed, options, first=0):
    """The Record of each item from number `first` on."""
    if takes_all(method):
        if first < len(items):
            yield from records_of_all(lm, method, items, demonstrations, seed, options)[first:]
        return
    for number in range(first, len(items)):
        item = items[number]
        before = lm.account.copy()
        answer, error = Answer(None), ""
        try:
            answer = method(lm, item, demonstrations, seed=seed + 1000 * number, **options)
        except DataError as found:  # a ConfigError, of a setting, is that of every item
            error = str(found)
        yield record_of(number, item, answer, error, lm.account.since(before))


def takes_all(method: Callable) -> bool:
    """True for a method that is given all items at once."""
    return "items" in inspect.signature(method).parameters


def records_of_all(
    lm: TextLM,
    method: Callable,
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    seed: int,
    options: Any,
) -> list:
    """The Records of a method that is given all items at once: list, one for each.

    What the call has cost is divided among them, so that it adds up to what was spent.
    """
    before = lm.account.copy()
    try:
        answers = method(lm, items, demonstrations, seed=seed, **options)
    except DataError as found:
        answers = [found] * len(items)
    spent, count = lm.account.since(before), len(items)
    records = []
    for number, (item, answer) in enumerate(zip(items, answers)):
        error = ""
        if isinstance(answer, DataError):
            answer, error = Answer(None), str(answer)
        share = Account(seconds=spent.seconds / count)
        for name in COUNTS:
            total = getattr(spent, name)
            share.add(**{name: total * (number + 1) // count - total * number // count})
        records.append(record_of(number, item, answer, error, share))
    return records


def record_of(number: int, item: Item, answer: Answer, error: str, spent: Account) -> Record:
    """The Record of an item.

    answer  Answer;  error  why there is none, or "";  spent  Account of the item
    """
    value, dropped = answer.value, 0
    for name in ("dropped", "left_out"):
        dropped += len(answer.details.get(name, ()))
    noted = {"error": error, "dropped": dropped, "report": answer.details.get("report", {})}
    return Record(number, value, is_right(value, item), answer.text, **asdict(spent), **noted)


KINDS = {"item": (int,), "value": (str, type(None)), "right": (bool, type(None)), "text": (str,)}
KINDS |= {"seconds": (int, float), "error": (str,), "report": (dict,)}


def read_record(values: dict[str, Any]) -> Record:
    """The Record of a line of a file.

    values  dict
    raises  ValueError for fields that are missing, unknown or of a wrong type
    """
    names = [one.name for one in fields(Record)]
    if set(values) != set(names):
        odd = ", ".join(sorted(set(values) ^ set(names)))
        raise ValueError(f"it needs the fields {', '.join(names)}; missing or unknown: {odd}")
    for name, value in values.items():
        kinds = KINDS.get(name, (int,))  # all others count
        if type(value) not in kinds or value == math.inf:
            shown = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name} must be {shown}, not {value!r:.60}")
    return Record(**values)
