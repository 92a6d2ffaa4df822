"""Tasks with several phrasings and one right output."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.synthesis.tasks import TASKS, task_samples
from tinylm.errors import ConfigError

# One input and its output for each task, by hand.
EXAMPLES = {
    "copy": ("door apple", "door apple"),
    "reverse": ("door apple green", "green apple door"),
    "sort": ("door apple green", "apple door green"),
    "uppercase": ("door apple", "DOOR APPLE"),
    "count": ("door apple green", "3"),
    "parity": ("1 0 1 1", "odd"),
    "add": ("12 30", "42"),
}


def test_every_task_has_an_example():
    assert list(EXAMPLES) == list(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_every_template_of_a_task_has_the_same_output(name):
    text, output = EXAMPLES[name]
    found = TASKS[name].samples(text)
    assert len(found) >= 3
    assert len({sample.instruction for sample in found}) == len(found)
    assert {(s.input, s.output, s.task) for s in found} == {(text, output, name)}


def test_an_even_number_of_ones_is_even():
    assert [TASKS["parity"].solve(bits) for bits in ("0 0", "1 1 0", "1")] == [
        "even",
        "even",
        "odd",
    ]


@pytest.mark.parametrize("name", TASKS)
def test_inputs_are_drawn_and_differ(name):
    rng, task = np.random.default_rng(0), TASKS[name]
    drawn = [task.draw(rng) for _ in range(20)]
    assert len(set(drawn)) > 10
    assert all(2 <= len(text.split()) <= 7 for text in drawn)
    assert len({len(text.split()) for text in drawn}) > 2


def test_samples_come_task_after_task_under_phrasings_drawn_at_random():
    found = task_samples(["add", "sort"], 12)
    assert [sample.task for sample in found] == ["add"] * 12 + ["sort"] * 12
    assert all(sample.output == TASKS[sample.task].solve(sample.input) for sample in found)
    assert len({sample.instruction for sample in found}) == 6
    assert found == task_samples(["add", "sort"], 12, seed=0) != task_samples(["add"], 12, seed=1)


def test_some_phrasings_can_be_held_out():
    found = task_samples(["add"], 20, phrasings=[0, 2])
    seen = {sample.instruction for sample in found}
    assert seen == {TASKS["add"].instructions[0], TASKS["add"].instructions[2]}


def test_unknown_tasks_are_refused_and_tasks_do_not_change():
    with pytest.raises(ConfigError, match="no task 'sing'"):
        task_samples(["add", "sing"], 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS["add"].name = "plus"
