"""What holds for every task: answers are exact, items follow from the seed, files keep them."""

import dataclasses
import inspect
import json

import pytest

from tinylm.data.read.items import read_items
from tinylm.data.synthetic.prompted import TASKS
from tinylm.errors import DataError


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_is_what_the_solver_finds_in_the_question(task):
    make, solve = TASKS[task]
    for item in make(60, seed=3):
        assert solve(dataclasses.replace(item, answer=None, rationale="")) == item.answer
        assert item.task == task and item.rationale


@pytest.mark.parametrize("task", TASKS)
def test_items_follow_from_the_seed(task):
    make, _ = TASKS[task]
    assert make(8, seed=1) == make(8, seed=1) == make(12, seed=1)[:8] != make(8, seed=2)
    assert make(0) == [] and len(make(7)) == 7
    # Every task can be made with default settings, and seed 0 is one of them.
    assert inspect.signature(make).parameters["seed"].default == 0


@pytest.mark.parametrize("task", TASKS)
def test_the_solver_reads_no_question_of_another_kind(task):
    if task == "polarity":
        return  # any text has a polarity
    make, solve = TASKS[task]
    item = make(1)[0]
    with pytest.raises(DataError):
        solve(dataclasses.replace(item, question="What is this?", answer=None, options=()))


@pytest.mark.parametrize("task", TASKS)
def test_a_file_of_items_is_read_back(task, tmp_path):
    items = TASKS[task][0](5)
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(dataclasses.asdict(item)) + "\n" for item in items))
    assert read_items(path) == items
