"""Solutions that models wrote, each marked right or wrong: the data of verifiers   (book section
3.2.4; Cobbe et al. 2021).

The file of example solutions of GSM8K has for each question the solutions of four models:

    {"question": "...", "ground_truth": "...\\nA: 18",
     "6b_finetuning": {"is_correct": false, "solution": "...\\nA: 26"}, ...}

Read first: gsm8k.py.
"""

from dataclasses import dataclass
from pathlib import Path

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.reading import BadLines, json_lines, json_text, refuse

_LAST = "\nA: "  # before the answer, on the last line


@dataclass(frozen=True)
class Solution:
    """One solution of one question.

    item     the question with its gold answer and worked solution
    model    name of the model that wrote the solution
    text     the solution without its last line
    answer   its answer as text; None if the model gave none
    correct  whether the answer is right
    """

    item: Item
    model: str
    text: str
    answer: str | None
    correct: bool


def read_solutions(path: str | Path, bad: BadLines | None = None) -> list[Solution]:
    """The solutions of a file of JSON lines, in the order of the file.

    bad      reading.BadLines that takes lines that cannot be read; by default they raise
    returns  list of Solution
    raises   DataError with the first line that cannot be read, or if the file has none
    """
    found = []
    for number, record in json_lines(path, bad):
        try:
            found += _solutions(record)
        except DataError as error:
            refuse(f"{path}, line {number}: {error}", bad)
    if not found:
        raise DataError(f"{path} holds no solution")
    return found


def _solutions(record):
    if not isinstance(record, dict) or "ground_truth" not in record:
        raise DataError(
            "solutions are an object with 'question', 'ground_truth' and one field for each "
            f"model, not {record!r:.60}"
        )
    rationale, answer = _split(json_text(record, "ground_truth"))
    if answer is None:
        raise DataError(f"'ground_truth' must end with {_LAST!r} and the answer")
    question = json_text(record, "question").strip()
    item = Item(question, answer, rationale=rationale, task="gsm8k")
    models = [name for name in record if name not in ("question", "ground_truth")]
    return [_solution(item, model, record[model]) for model in models]


def _solution(item, model, value):
    if not isinstance(value, dict) or set(value) != {"is_correct", "solution"}:
        raise DataError(
            f"the field {model!r} must have 'is_correct' and 'solution', not {value!r:.60}"
        )
    if not isinstance(value["is_correct"], bool):
        raise DataError(f"'is_correct' must be true or false, not {value['is_correct']!r:.40}")
    text, answer = _split(json_text(value, "solution"))
    return Solution(item, model, text, answer, value["is_correct"])


def _split(text):
    """(steps, answer) of a solution; the answer is None without its mark or a number after it."""
    steps, mark, last = text.strip().rpartition(_LAST)
    if not mark:
        return text.strip(), None
    answer = last.strip().replace(",", "")
    if canonical_number(answer) is None:
        return text.strip(), None
    return steps.strip(), answer
