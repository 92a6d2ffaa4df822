"""Labels of the steps of real solutions, from their marks   (book section 4.4.4; Cobbe et al.
2021).

    Tom has 3 * 4 = <<3*4=12>>12 apples     3 * 4 is 12, and 12 is a result of the gold solution
    He gives away 12 - 5 = <<12-5=6>>6      12 - 5 is not 6

A line is a step. A wrong result is incorrect. A right one that the gold solution has too is
correct. Another one is neutral: it may be another way, or lead nowhere; marks cannot tell. A line
without a mark has no label. These labels cost nothing, but see arithmetic only: where a person
reads, a step with the wrong idea and a right sum is incorrect. Read first:
prompt/reasoning/annotations.py. Read next: process_model.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.solutions import Solution
from tinylm.prompt.reasoning.annotations import annotations


@dataclass(frozen=True)
class LabeledStep:
    """A step; label: "correct", "incorrect", "neutral", or None where it has no mark."""

    text: str
    label: str | None


def solution_steps(text: str) -> list[str]:
    """The steps of a solution: its lines, each with the line break after it. Joined, the text."""
    return text.splitlines(keepends=True)


def step_labels(text: str, gold: str | None, answer: str | None = None) -> list[LabeledStep]:
    """The steps of a solution with their labels: list of LabeledStep.

    text     solution with marks <<expression=result>>
    gold     the gold solution with marks, or None: then no step is neutral
    answer   the gold answer: a result like those of the gold solution
    """
    known = None
    if gold is not None:
        known = {canonical_number(one.result) for one in annotations(gold)}
        if answer is not None:
            known.add(canonical_number(answer))
    return [LabeledStep(step, _label(annotations(step), known)) for step in solution_steps(text)]


def _label(marks, known):
    if not marks:
        return None
    if not all(mark.right for mark in marks):
        return "incorrect"
    # the last result of a line is what it says
    if known is not None and canonical_number(marks[-1].result) not in known:
        return "neutral"
    return "correct"


def first_error(steps: Sequence[LabeledStep]) -> int | None:
    """The number (from 0) of the first incorrect step, or None: labels after it are of no use."""
    for number, step in enumerate(steps):
        if step.label == "incorrect":
            return number
    return None


def right_by_accident(solutions: Sequence[Solution]) -> list[Solution]:
    """Solutions with the right answer and a step that is incorrect: list of Solution.

    An outcome reward takes them for good ones; a process reward does not   (book section 4.4.4).

    solutions   list of Solution (data/read/solutions.py)
    """
    found = []
    for one in solutions:
        if one.correct and first_error(step_labels(one.text, None)) is not None:
            found.append(one)
    return found
