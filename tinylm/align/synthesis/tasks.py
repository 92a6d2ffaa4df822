"""Tasks with several phrasings each, made into samples   (book section 4.2.2.1; Bach et al. 2022;
Wang et al. 2022).

Collections such as PromptSource and Super-NaturalInstructions have, for every task, templates
by many people in one form; each labeled example then is as many samples as there are templates, and
all of them have the same output. Here the labels are computed: tasks on lines of words and numbers,
decided by an exact rule. Read next: qa_pages.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.synthesis.sample_template import SampleTemplate
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError

_WORDS = "apple bread chair door eagle fence green house iron jelly knife lemon".split()


@dataclass(frozen=True)
class TemplatedTask:
    """A task: how it can be put, and what is right.

    name          str
    instructions  tuple of str, the phrasings; the input is a line of words or numbers
    solve         function input -> output
    draw          function (numpy Generator) -> input
    """

    name: str
    instructions: tuple
    solve: object
    draw: object

    def templates(self) -> list[SampleTemplate]:
        """A SampleTemplate for each phrasing."""
        return [SampleTemplate(text, "{*text*}", task=self.name) for text in self.instructions]

    def samples(self, text: str) -> list[Instruction]:
        """An input under every phrasing: list of Instruction with one and the same output."""
        output = self.solve(text)
        return [template.fill(text=text, output=output) for template in self.templates()]


def _some_words(rng):
    return " ".join(rng.choice(_WORDS, size=rng.integers(2, 6)).tolist())


def _some_numbers(rng):
    return " ".join(str(n) for n in rng.integers(100, size=rng.integers(2, 5)))


def _some_bits(rng):
    return " ".join(str(bit) for bit in rng.integers(2, size=rng.integers(3, 8)))


def _parity(text):
    if text.split().count("1") % 2:
        return "odd"
    return "even"


def _task(name, solve, draw, *instructions):
    return TemplatedTask(name, instructions, solve, draw)


TASKS = {
    task.name: task
    for task in (
        _task(
            "copy",
            lambda text: text,
            _some_words,
            "Repeat the words.",
            "Copy the following line as it is.",
            "Write the same words again.",
        ),
        _task(
            "reverse",
            lambda text: " ".join(reversed(text.split())),
            _some_words,
            "Reverse the order of the words.",
            "Write the words from last to first.",
            "Which line has the same words in reverse order?",
        ),
        _task(
            "sort",
            lambda text: " ".join(sorted(text.split())),
            _some_words,
            "Sort the words alphabetically.",
            "Put the words into the order of the alphabet.",
            "Arrange these words from A to Z.",
        ),
        _task(
            "uppercase",
            str.upper,
            _some_words,
            "Write the words in capital letters.",
            "Change all letters to upper case.",
            "Capitalize every letter.",
        ),
        _task(
            "count",
            lambda text: str(len(text.split())),
            _some_words,
            "Count the words.",
            "How many words are there?",
            "Give the number of words in this line.",
        ),
        _task(
            "parity",
            _parity,
            _some_bits,
            "Is the number of ones odd or even?",
            "Give the parity of the bits.",
            "Answer odd or even: how many ones are there?",
        ),
        _task(
            "add",
            lambda text: str(sum(map(int, text.split()))),
            _some_numbers,
            "Add the numbers.",
            "What is the sum of these numbers?",
            "Compute the total.",
        ),
    )
}


def task_samples(
    names: Sequence[str], count: int, seed: int = 0, phrasings: Any = None
) -> list[Instruction]:
    """Samples of several tasks, each input under one phrasing drawn at random.

    names      of TASKS
    count      samples of each task
    phrasings  numbers of the phrasings that may be drawn, so that others are held out; None: all
    returns    list of Instruction, task after task
    raises     ConfigError for an unknown task
    """
    unknown = sorted(set(names) - set(TASKS))
    if unknown:
        raise ConfigError(f"task_samples: no task {unknown[0]!r}: choose of {', '.join(TASKS)}")
    rng, found = np.random.default_rng(seed), []
    for name in names:
        task = TASKS[name]
        allowed = phrasings
        if allowed is None:
            allowed = range(len(task.instructions))
        for _ in range(count):
            number = int(rng.choice(list(allowed)))
            found.append(task.samples(task.draw(rng))[number])
    return found
