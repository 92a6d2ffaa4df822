"""Instructions of several steps, whose evolution is exact and whose answers are computed   (the
operations of Evol-Instruct on a formal language; book section 4.2.2.2).

    Sort the words alphabetically, then reverse the order of the words. Write at most 2 words.

An operation changes the steps, so the new instruction has an answer by rule, and what was changed
can be checked. Read first: evolve.py, the same with a model.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.align.synthesis.tasks import TASKS
from tinylm.errors import ConfigError, DataError

# Steps from words to words, in their first phrasing without the period.
STEPS = {
    name: TASKS[name].instructions[0].removesuffix(".").lower()
    for name in ("reverse", "sort", "uppercase")
}
_NAMES = {text: name for name, text in STEPS.items()}
_FORM = re.compile(r"(?P<steps>[^.]+?)(?: of the line \"(?P<line>[^\"]*)\")?\.(?P<limit>.*)", re.S)
_LIMIT = re.compile(r" Write at most (\d+) words\.")


@dataclass(frozen=True)
class Steps:
    """An instruction of one step or more.

    names   tuple of names of STEPS, applied in order
    limit   most words of the answer, or None
    line    the words that the instruction is about, or None: they are the input
    """

    names: tuple
    limit: int | None = None
    line: str | None = None

    def text(self) -> str:
        """The instruction: str, see parse_steps()."""
        steps = ", then ".join(STEPS[name] for name in self.names)
        steps = steps[:1].upper() + steps[1:]
        if self.line is not None:
            steps += f' of the line "{self.line}"'
        text = f"{steps}."
        if self.limit is not None:
            text += f" Write at most {self.limit} words."
        return text

    def solve(self, given: Any = "") -> str:
        """The right answer for an input; the line of the instruction comes before it."""
        if self.line is not None:
            given = self.line
        for name in self.names:
            given = TASKS[name].solve(given)
        return " ".join(given.split()[: self.limit])


def parse_steps(text: str) -> Steps:
    """The Steps of an instruction: parse_steps(steps.text()) == steps. DataError for another."""
    found = _FORM.fullmatch(text)
    limit = found and re.fullmatch(_LIMIT, found["limit"])
    if not found or (found["limit"] and not limit):
        raise DataError(f"parse_steps: {text!r:.80} is not an instruction of steps")
    phrases = found["steps"].lower().split(", then ")
    unknown = [phrase for phrase in phrases if phrase not in _NAMES]
    if unknown:
        raise DataError(f"parse_steps: no step {unknown[0]!r}; the steps are {list(_NAMES)}")
    most = None
    if limit:
        most = int(limit[1])
    return Steps(tuple(_NAMES[phrase] for phrase in phrases), most, found["line"])


def evolve_steps(
    steps: Steps, operation: str, rng: np.random.Generator, line: str = "apple door green"
) -> Steps:
    """The changed instruction: Steps, different from the given one.

        add_constraint   a limit on the words of the answer, or one word less
        deepen           one step more at the end
        concretize       the words themselves instead of "the words" of an input
        breadth          as many steps, others

    rng      numpy Generator
    line     the words of concretize
    raises   ConfigError for an unknown operation, or where it can change nothing
    """
    names = list(STEPS)
    if operation == "deepen":
        # Not the last step again: sorting twice is sorting, reversing twice is nothing.
        more = [name for name in names if name != steps.names[-1]]
        return replace(steps, names=(*steps.names, more[rng.integers(len(more))]))
    if operation == "add_constraint" and steps.limit is None:
        return replace(steps, limit=int(rng.integers(2, 5)))
    if operation == "add_constraint" and steps.limit > 1:
        return replace(steps, limit=steps.limit - 1)
    if operation == "concretize" and steps.line is None:
        return replace(steps, line=line)
    if operation == "breadth":
        drawn = steps.names
        while drawn == steps.names:
            drawn = tuple(np.array(names)[rng.integers(len(names), size=len(drawn))].tolist())
        return replace(steps, names=drawn)
    raise ConfigError(f"evolve_steps: {operation!r} changes nothing in {steps.text()!r}")
