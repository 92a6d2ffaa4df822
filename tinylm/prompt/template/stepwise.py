"""A procedure of four steps in the prompt, and the reply read back step by step   (book section
3.1.3).

    Step 1: Problem Interpretation   Step 2: Strategy Formulation
    Step 3: Detailed Calculation     Step 4: Solution Review

A reply that leaves a step out, or does them in another order, did not follow the procedure; that is
reported and not mended. Read next: rounds.py; ../reasoning/ for reasoning without a procedure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.measure.numbers import numbers_in
from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.library import LIBRARY

STEPWISE_MATH = LIBRARY["math.steps"]
STEPS = (
    "Problem Interpretation",
    "Strategy Formulation",
    "Detailed Calculation",
    "Solution Review",
)


@dataclass(frozen=True)
class StepsRead:
    """The steps of a reply.

    steps     list of (name, text) in the order of the reply
    missing   names that the reply does not have
    repeated  names that it has more than once
    ordered   True if the names come in the order of the procedure
    before    text before the first step
    """

    steps: list
    missing: tuple
    repeated: tuple
    ordered: bool
    before: str = ""

    @property
    def followed(self) -> bool:
        """True if every step is there once, in order."""
        return self.ordered and not self.missing and not self.repeated

    def text(self, name: str) -> str:
        """The text of a step; None if it is missing or repeated."""
        found = [text for step, text in self.steps if step == name]
        if len(found) != 1:
            return None
        return found[0]


def read_steps(reply: str, names: tuple[str, ...] = STEPS) -> StepsRead:
    """The steps of a reply, by their headings: lines that begin with "Step 1", the name, or both.

    A number and a name that do not belong together are no heading of either step, and the line is
    part of the text that it stands in.

    names    of the steps, in order
    returns  StepsRead
    """
    # A heading: "Step" and a number, or a name, or both; then a mark or the end of the line.
    heads = []
    pattern = re.compile(
        rf"^[ \t#*]*(?:Step[ \t]+(\d+)\b[ \t]*[:.)–—-]*[ \t*]*)?({_any(names)})?[*]*[ \t]*"
        r"(?:[:.)–—-]+[ \t*]*|$)",
        re.MULTILINE | re.IGNORECASE,
    )
    for found in pattern.finditer(reply):
        name = _named(found[1], found[2], names)
        if name is not None:
            heads.append((name, found.start(), found.end()))
    # A step goes from the end of its heading to the start of the next one.
    steps = []
    ends = [start for _, start, _ in heads[1:]] + [len(reply)]
    for (name, _, start), end in zip(heads, ends):
        steps.append((name, reply[start:end].strip()))
    # The order of a procedure with repeated steps: 1 2 2 3 is in order, 1 2 1 3 is not.
    order = [name for name, _ in steps]
    before = reply[: heads[0][1]] if heads else reply
    return StepsRead(
        steps,
        missing=tuple(name for name in names if name not in order),
        repeated=tuple(name for name in names if order.count(name) > 1),
        ordered=order == sorted(order, key=names.index),
        before=before.strip(),
    )


def _any(names):
    return "|".join(map(re.escape, names))


def _named(number, name, names):
    """The step of a heading by its number, its name or both; None if they do not fit."""
    by_number = by_name = None
    if number is not None and 1 <= int(number) <= len(names):
        by_number = names[int(number) - 1]
    if name is not None:
        by_name = next(step for step in names if step.lower() == name.lower())
    if number is None:
        return by_name
    # "Step 2: Detailed Calculation": which of the two is meant cannot be known.
    if name is not None and by_name != by_number:
        return None
    return by_number


def solve_stepwise(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 512,
) -> Answer:
    """Solve a math problem by the four steps.

    lm       TextLM
    item     Item
    demonstrations  are not used: the prompt of the book has none
    returns  Answer: the last number of the review; None if the procedure was not followed.
             details: "steps", a StepsRead
    """
    reply = lm.complete(
        STEPWISE_MATH.format(problem=item.question), seed=seed, max_tokens=max_tokens
    )
    read = read_steps(reply.text)
    value = None
    # The review comes last, and its last number is the result of the whole.
    if read.followed:
        value = next(reversed(numbers_in(read.text(STEPS[-1]))), None)
    return Answer(lm.parsed("answer", value), reply.text, {"steps": read})
