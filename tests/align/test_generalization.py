"""The two criteria of generalization."""

import dataclasses

import pytest

from tinylm.align.generalization import across_tasks, leakage, splits, within_task
from tinylm.data.measure.answers import exact_match
from tinylm.data.read.instructions import Instruction
from tinylm.errors import DataError


def sample(instruction, given, output, task=""):
    return Instruction(instruction, output, given, task=task)


# Three samples of one instruction, of which the model has one right, and one of another.
ADD = [sample("Add.", "1 1", "2"), sample("Add.", "2 2", "4"), sample("Add.", "3 3", "6")]
COPY = [sample("Copy.", "x", "x")]


def says_two(samples):
    """A model that answers 2 to sums and copies the rest."""
    return ["2" if one.instruction == "Add." else one.input for one in samples]


def test_micro_and_macro_means_by_hand():
    found = across_tasks(says_two, ADD + COPY, exact_match, 0.5)
    assert found.micro == 2 / 4
    assert found.macro == pytest.approx((1 / 3 + 1) / 2)
    assert found.each == pytest.approx({"Add.": 1 / 3, "Copy.": 1.0})
    assert not found.passed  # .5 does not exceed .5
    assert across_tasks(says_two, ADD + COPY, exact_match, 0.49).passed
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.micro = 1.0


def test_within_a_task_there_is_one_instruction():
    found = within_task(says_two, ADD, exact_match, 0.3)
    assert found.micro == found.macro == pytest.approx(1 / 3) and found.passed
    with pytest.raises(DataError, match="2 instructions"):
        within_task(says_two, ADD + COPY, exact_match, 0.3)
    with pytest.raises(DataError, match="were in the training set"):
        within_task(says_two, ADD, exact_match, 0.3, training=ADD[:1])


def test_samples_that_were_trained_on_are_refused():
    seen = sample(" add.", "2 2 ", "another output")  # in other letters, with another answer
    with pytest.raises(DataError, match="1 of 4 samples were in the training set"):
        across_tasks(says_two, ADD + COPY, exact_match, 0.5, training=[seen])
    assert leakage(ADD, [seen]) == [ADD[1]]
    # the instruction alone, or the input alone, is no leak
    assert leakage(ADD, [sample("Add.", "9 9", "18"), sample("Copy.", "1 1", "1 1")]) == []
    assert across_tasks(says_two, ADD, exact_match, 0.5, training=COPY).micro == pytest.approx(
        1 / 3
    )


def test_there_is_an_answer_for_every_sample():
    with pytest.raises(DataError, match="1 answers for 3"):
        across_tasks(lambda samples: ["2"], ADD, exact_match, 0.5)
    with pytest.raises(DataError, match="0 answers for 0"):
        across_tasks(lambda samples: [], [], exact_match, 0.5)


def test_new_samples_are_split_by_what_is_new():
    training = [sample("Add.", "1 1", "2", "sum"), sample("Copy.", "x", "x", "copy")]
    new = [
        sample("Add.", "2 2", "4", "sum"),
        sample("What is the sum?", "1 1", "2", "sum"),
        sample("Sort.", "b a", "a b", "sort"),
        training[0],
    ]
    assert splits(new, training) == {"input": [new[0]], "phrasing": [new[1]], "task": [new[2]]}
