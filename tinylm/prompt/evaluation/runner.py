"""A method on a list of questions, one after the other; a long run can be interrupted and resumed.

Every answered question is a line of a file, written at once. Started again with the same model,
method and questions, the run goes on behind the last line; with others it is refused, because one
file would hold two experiments. Read next: compare.py.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.evaluation.judge import is_right
from tinylm.reading import numbered_lines, strict_json


@dataclass(frozen=True)
class Record:
    """What a method made of one question.

    item     its number in the list
    value    the answer that was read, or None
    right    bool; None without a gold answer
    text     the reply
    calls, prompt_tokens, read_tokens, generated_tokens, scored_tokens, seconds   as in Account
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

    @property
    def tokens(self):
        """Prompt, generated and scored tokens."""
        return self.prompt_tokens + self.generated_tokens + self.scored_tokens


def answer_items(lm, method, items, demonstrations=(), *, seed=0, file=None, about=None, **options):
    """Answer each item by a method.

    lm              TextLM
    method          function method(lm, item, demonstrations, seed=, **options) -> Answer
    items           list of Item
    seed            item i gets seed + 1000 i, so that no two share a stream of random numbers
    file            path of a file of records, begun or continued; None: none is kept
    about           dict that describes model, method and options in `file`
    yields          Record of each item, those of the file first
    raises          ConfigError if the file is of another run; DataError if it cannot be read
    """
    records = []
    if file is not None:
        head = {**(about or {}), "questions": fingerprint(items), "seed": seed}
        records = _opened(Path(file), head)
    yield from records
    for number in range(len(records), len(items)):
        item = items[number]
        before = lm.account.copy()
        answer = method(lm, item, demonstrations, seed=seed + 1000 * number, **options)
        spent = asdict(lm.account.since(before))
        record = Record(number, answer.value, is_right(answer.value, item), answer.text, **spent)
        if file is not None:
            with open(file, "a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
        yield record


def fingerprint(items):
    """A short hash of questions, options and answers: str."""
    whole = json.dumps([asdict(item) for item in items], ensure_ascii=False)
    return hashlib.sha256(whole.encode("utf-8")).hexdigest()[:16]


def _opened(path, head):
    """The records of a file, which is begun with `head` if it is not there."""
    if not path.exists() or not path.stat().st_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(head, ensure_ascii=False) + "\n", encoding="utf-8")
        return []
    _without_half_line(path)
    lines = list(numbered_lines(path))
    found = strict_json(lines[0][1])
    if found != head:
        names = [name for name in {**head, **found} if head.get(name) != found.get(name)]
        shown = ", ".join(f"{n} was {found.get(n)!r} and is {head.get(n)!r}" for n in names)
        raise ConfigError(
            f"{path} holds the answers of another run: {shown}; give another file, or delete this"
        )
    records = []
    for number, line in lines[1:]:
        try:
            records.append(Record(**strict_json(line)))
        except TypeError as error:
            raise DataError(f"{path}, line {number}: no record of an answer: {error}") from None
        if records[-1].item != len(records) - 1:
            raise DataError(
                f"{path}, line {number}: item {records[-1].item}, where {len(records) - 1} was "
                "expected: lines are missing or in another order"
            )
    return records


def _without_half_line(path):
    """Cut a last line that a crash left unfinished, and answer its question again."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            raise DataError(f"{path} has no whole line: it is no file of answers")
        path.write_bytes(whole)
