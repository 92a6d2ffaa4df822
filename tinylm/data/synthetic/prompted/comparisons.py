"""Word problems that are solved from their last sentence to the first   (book section 3.2.2, the
second example of least-to-most prompting; Zhou et al. 2023).

    Alice has 2 times as many beads as Bob. Bob has 5 times as many beads as Charlie. Charlie has 6
    beads. How many beads do they have in all?

The sub-problems, in the order in which they can be solved, are how many Bob and how many Alice has.
Read next: durations.py.
"""

import re

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, distinct, generator, pick
from tinylm.data.synthetic.prompted.last_letters import NAMES
from tinylm.data.synthetic.prompted.word_problems import THINGS, step
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import DataError

_KNOWN = "{who} has {k:d} {thing}."
# The operation on what the other person has.
COMPARED = {
    "{who} has {k:d} times as many {thing} as {other}.": "*",
    "{who} has {k:d} more {thing} than {other}.": "+",
}
_FORMS = [*COMPARED, _KNOWN]
_QUESTION = "How many {thing} do they have in all?"
_SUB_QUESTION = "How many {thing} does {who} have?"


def comparison_items(count: int, seed: int = 0, people: int = 3, largest: int = 9) -> list[Item]:
    """Problems about so many people, 2 or more, each compared with the next: list of Item.

    largest  number of things that the last person has, and of those that one has more
    """
    at_least("people", people, 2)
    at_least("largest", largest, 2)
    rng, items = generator(seed, "comparisons"), []
    for _ in range(count):
        names, thing = distinct(NAMES, people, rng), pick(THINGS, rng)
        sentences = []
        for who, other in zip(names, names[1:]):
            k, form = int(rng.integers(2, largest + 1)), pick(list(COMPARED), rng)
            if COMPARED[form] == "*":
                k = 2 + k % 4  # 2 to 5 times
            sentences.append(form.format(who=who, k=k, thing=thing, other=other))
        last = int(rng.integers(2, largest + 1))
        sentences.append(_KNOWN.format(who=names[-1], k=last, thing=thing))
        sentences.append(_QUESTION.format(thing=thing))
        rationale, answer = worked(" ".join(sentences))
        items.append(Item(" ".join(sentences), answer, rationale=rationale, task="comparisons"))
    return items


def amounts(question: str) -> tuple[str, dict[str, int], list[str]]:
    """What everyone has, in the order in which it can be known.

    returns  (thing, {name: number}, [solved step of each but the first])
    raises   DataError for a text of another form, or one from which the amounts do not follow
    """
    *sentences, last = re.split("(?<=[.?]) ", question)
    thing = needed_slots(_QUESTION, last)["thing"]
    left, known, steps = [], {}, []
    for sentence in sentences:
        form, found = first_slots(_FORMS, sentence)
        if found["thing"] != thing:
            raise DataError(f"{sentence!r} is not about {thing}")
        if _FORMS[form] == _KNOWN:
            known[found["who"]] = found["k"]
        else:
            left.append((COMPARED[_FORMS[form]], found))
    while left:
        ready = [pair for pair in left if pair[1]["other"] in known]
        if not ready:
            raise DataError(f"what {left[0][1]['who']} has does not follow from {question!r:.120}")
        sign, found = ready[0]
        left.remove(ready[0])
        line, known[found["who"]] = step(known[found["other"]], sign, found["k"])
        steps.append(f"{found['who']} has {line} {thing}.")
    return thing, known, steps


def sub_problems(question: str) -> list[tuple[str, str]]:
    """The sub-questions of a problem with their answers, in the order in which they can be solved.

    returns  list of (question, answer): how many everyone has whose number is not given
    """
    thing, known, steps = amounts(question)
    to_find = list(known.items())[len(known) - len(steps) :]
    return [(_SUB_QUESTION.format(thing=thing, who=who), str(number)) for who, number in to_find]


def worked(question: str) -> tuple[str, str]:
    """(solution with annotations, answer) of a problem, from its text."""
    thing, known, steps = amounts(question)
    expression, total = "+".join(map(str, known.values())), sum(known.values())
    steps.append(f"In all they have {expression}=<<{expression}={total}>>{total} {thing}.")
    return " ".join(steps), str(total)


def solve_comparison(item: Item) -> str:
    """The answer, from the question alone. Raises as `amounts`."""
    return worked(item.question)[1]
