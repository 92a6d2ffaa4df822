"""Solutions of models are read with their marks, and the marks are those of their answers."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tinylm.data.measure.numbers import same_number
from tinylm.data.read.items import Item
from tinylm.data.read.solutions import Solution, read_solutions
from tinylm.errors import DataError
from tinylm.reading import BadLines

SHARED = Path(__file__).parents[4] / "shared" / "data"
RECORD = {
    "question": " How many? ",
    "ground_truth": "1+1=<<1+1=2>>2\nA: 1,002",
    "small": {"is_correct": False, "solution": "1+2=<<1+2=3>>3\nA: 3\n"},
    "large": {"is_correct": True, "solution": "A: none\nSo it is 2\nA: 1002"},
}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_every_model_has_a_solution(tmp_path):
    item = Item("How many?", "1002", rationale="1+1=<<1+1=2>>2", task="gsm8k")
    assert read_solutions(write(tmp_path / "a.jsonl", RECORD)) == [
        Solution(item, "small", "1+2=<<1+2=3>>3", "3", False),
        Solution(item, "large", "A: none\nSo it is 2", "1002", True),
    ]


@pytest.mark.parametrize("text", ["It is 2", "It is 2\nA: two", "It is 2\nA:", "It is 2 A: 2"])
def test_a_solution_without_a_number_at_its_end_has_no_answer(tmp_path, text):
    record = {**RECORD, "small": {"is_correct": False, "solution": text}}
    found = read_solutions(write(tmp_path / "a.jsonl", record))[0]
    assert found.answer is None and found.text == text


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"question": 3}, "'question' must be text"),
        ({"ground_truth": "1+1=2"}, "must end with"),
        ({"small": "1+2=3"}, "'small' must have 'is_correct' and 'solution'"),
        ({"small": {"solution": "A: 3"}}, "'small' must have"),
        ({"small": {"solution": "A: 3", "is_correct": 0}}, "must be true or false"),
        ({"small": {"solution": 3, "is_correct": True}}, "'solution' must be text"),
    ],
)
def test_a_record_that_is_wrong_is_refused_with_its_line(tmp_path, change, reason):
    path = write(tmp_path / "a.jsonl", RECORD, {**RECORD, **change})
    with pytest.raises(DataError, match=f"a.jsonl, line 2: .*{reason}"):
        read_solutions(path)
    bad = BadLines(skip=True)
    assert len(read_solutions(path, bad)) == 2 and bad.count == 1


def test_other_files_are_refused(tmp_path):
    for record in ([1], {"question": "Q", "answer": "A"}):
        with pytest.raises(DataError, match="line 1: solutions are an object"):
            read_solutions(write(tmp_path / "a.jsonl", record))
    with pytest.raises(DataError, match="holds no solution"):
        read_solutions(write(tmp_path / "a.jsonl"))


def test_in_the_published_file_the_marks_are_those_of_the_answers():
    path = SHARED / "reasoning" / "gsm8k_example_model_solutions.jsonl.gz"
    if not path.exists():
        pytest.skip(f"needs {path.name}")
    solutions = read_solutions(path)
    right = Counter(one.model for one in solutions if one.correct)
    # 1,319 questions; the shares are those of the file's description.
    assert {model: round(count / 13.19, 1) for model, count in right.items()} == {
        "6b_finetuning": 21.7,
        "6b_verification": 39.0,
        "175b_finetuning": 34.7,
        "175b_verification": 56.3,
    }
    assert all(same_number(one.answer or "", one.item.answer) == one.correct for one in solutions)
