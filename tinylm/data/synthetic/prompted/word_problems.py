"""Word problems whose solutions are written as those of GSM8K   (book section 3.1.4.5; Cobbe et al.
2021).

    Ada has 12 pens. Ada buys 3 more. Ada puts them into 5 equal boxes and keeps one box. How many
    pens does Ada have now?

    12+3=<<12+3=15>>15. 15/5=<<15/5=3>>3.   (#### 3)

Each step needs the result of the one before, so a wrong step is carried on to the end (section
3.2.1); `wrong_step` makes one. Read next: programs.py.
"""

import re

import numpy as np

from tinylm.data.read.gsm8k import ANNOTATION
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.prompted.last_letters import NAMES
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import ConfigError, DataError

THINGS = "apples beads books cards coins eggs marbles pens shells stamps".split()
_START = "{who} has {k:d} {thing}."
# The operation that a sentence stands for: `k` is the number in it.
CHANGES = {
    "{who} buys {k:d} more.": "+",
    "{who} finds {k:d} more.": "+",
    "{who} gives {k:d} of them away.": "-",
    "{who} loses {k:d} of them.": "-",
    "A year later there are {k:d} times as many.": "*",
    "{who} puts them into {k:d} equal boxes and keeps one box.": "/",
}
_QUESTION = "How many {thing} does {who} have now?"
_LARGEST = 144  # of what a multiplication may give: 12 times 12


def step(a: int, sign: str, b: int) -> tuple[str, int]:
    """One step, annotated: step(12, "+", 3) -> ("12+3=<<12+3=15>>15", 15).

    raises  DataError for a division with a remainder
    """
    if sign == "+":
        result = a + b
    elif sign == "-":
        result = a - b
    elif sign == "*":
        result = a * b
    elif b and a % b == 0:
        result = a // b
    else:
        raise DataError(f"{a} cannot be split into {b} equal parts")
    return f"{a}{sign}{b}=<<{a}{sign}{b}={result}>>{result}", result


def word_problem_items(count: int, seed: int = 0, steps: int = 3, largest: int = 20) -> list[Item]:
    """Problems with so many steps: list of Item.

    largest  number of things at the beginning, and of those that are added
    """
    at_least("steps", steps, 1)
    at_least("largest", largest, 2)
    rng, items = generator(seed, "word problems"), []
    for _ in range(count):
        who, thing = pick(NAMES, rng), pick(THINGS, rng)
        total = int(rng.integers(2, largest + 1))
        sentences = [_START.format(who=who, k=total, thing=thing)]
        for _ in range(steps):
            sentence, sign, k = _change(total, largest, rng)
            sentences.append(sentence.format(who=who, k=k))
            _, total = step(total, sign, k)
        sentences.append(_QUESTION.format(who=who, thing=thing))
        rationale, answer = worked(" ".join(sentences))
        items.append(Item(" ".join(sentences), answer, rationale=rationale, task="word_problems"))
    return items


def _change(total, largest, rng):
    """(sentence, sign, number) of a change that leaves at least 1 thing."""
    numbers = {
        "+": range(1, largest + 1),
        "-": range(1, total),
        "*": [k for k in (2, 3, 4, 5) if k * total <= _LARGEST],
        "/": [k for k in (2, 3, 4, 5) if total % k == 0],
    }
    sentence = pick([s for s, sign in CHANGES.items() if len(numbers[sign])], rng)
    return sentence, CHANGES[sentence], pick(numbers[CHANGES[sentence]], rng)


def worked(question: str) -> tuple[str, str]:
    """(solution with annotations, answer) of a problem, from its text.

    raises  DataError for a text with another sentence, or about more than one person
    """
    sentences = re.split("(?<=[.?]) ", question)
    first, changes, last = sentences[0], sentences[1:-1], sentences[-1]
    begin, asked = needed_slots(_START, first), needed_slots(_QUESTION, last)
    if (asked["who"], asked["thing"]) != (begin["who"], begin["thing"]):
        raise DataError(f"the question is not about what {first!r} begins with: {last!r}")
    total, lines = begin["k"], []
    for sentence in changes:
        kind, found = first_slots(list(CHANGES), sentence)
        if found.get("who", begin["who"]) != begin["who"]:
            raise DataError(f"{sentence!r} is about another person than {first!r}")
        line, total = step(total, list(CHANGES.values())[kind], found["k"])
        lines.append(f"{line}.")
    return " ".join(lines), str(total)


def solve_word_problem(item: Item) -> str:
    """The answer, from the question alone. Raises as `worked`."""
    return worked(item.question)[1]


def wrong_step(rationale: str, number: int, rng: np.random.Generator) -> str:
    """A solution up to a wrong step: a model goes on from there, and may notice or not.

    number   of the step, from 0; its result is too large or too small by 1 to 9
    returns  the solution up to and with this step, wrong in its annotation and after it
    raises   ConfigError if there is no such step
    """
    steps = list(ANNOTATION.finditer(rationale))
    if not 0 <= number < len(steps):
        raise ConfigError(f"wrong_step: step {number} of a solution with {len(steps)} steps")
    here = steps[number]
    wrong = int(here[2]) + pick([-1, 1], rng) * int(rng.integers(1, 10))
    return f"{rationale[: here.start()]}<<{here[1]}={wrong}>>{wrong}"
