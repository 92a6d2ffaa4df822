"""An error in a chain of steps reaches its end   (book section 3.2.1, limits of chain of thought).

If each of n steps is wrong with probability eps and no error makes up for another, a chain is right
with probability (1 - eps)^n. How far a model goes along with an error is measured: one number of
step t is changed, and the model goes on from there. Read next:
tree_of_thoughts.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.backend import Random
from tinylm.data.measure.numbers import numbers_in
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.chain_of_thought import fitted_cot_prompt
from tinylm.prompt.reasoning.conclusion import read_conclusion


def chain_accuracy(eps: float, steps: int, values: int | None = None) -> float:
    """The probability that a chain of steps ends right.

    eps      probability of an error in a step, whatever came before
    steps    n
    values   None: errors never cancel, (1 - eps)^n. m: a step has m possible results, an error
             moves to one of the m - 1 others, and a later one may move back
    returns  float
    """
    if not 0 <= eps <= 1 or steps < 0 or (values is not None and values < 2):
        raise ConfigError(
            f"chain_accuracy: eps {eps} from 0 to 1, steps {steps} 0 or more, values {values} 2 or "
            "more"
        )
    if values is None:
        # n steps without an error, each with probability 1 - eps
        return (1 - eps) ** steps
    # p' = p (1 - eps) + (1 - p) eps / (m - 1) has the fixed point 1/m, and the distance to it
    # shrinks by 1 - eps - eps / (m - 1) at every step.
    shrink = 1 - eps * values / (values - 1)
    return 1 / values + (1 - 1 / values) * shrink**steps


def split_steps(rationale: str) -> list[str]:
    """The steps of a worked solution, its sentences or lines: list of str."""
    return [step for step in re.split(r"(?<=[.!?])\s+|\n+", rationale.strip()) if step]


def change_number(step: str, rng: Random) -> str | None:
    """The step with its last number changed by 1 to 9 up or down; None if it has no number."""
    found = numbers_in(step)
    if not found:
        return None
    # 1,234 becomes 1238 and not 1,238: commas would have to be set again.
    digits = re.search(r"[0-9]+", found[-1].replace(",", ""))[0]
    # At least 0, as the sign is not touched; always another number.
    by = int(rng.integers(1, 10))
    if int(digits) >= by and rng.integers(0, 2):
        by = -by
    at = step.rindex(found[-1])
    number = found[-1].replace(",", "").replace(digits, str(int(digits) + by), 1)
    return step[:at] + number + step[at + len(found[-1]) :]


def go_on(
    lm: TextLM,
    item: Item,
    steps: Sequence[str],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Chain of thought whose first steps are given.

    steps    list of str, with which the reply begins
    returns  Answer of the whole reply
    """
    prompt = prompt or FewShotPrompt()
    # The given steps are forced, as if the model had written them.
    begin = "".join(f" {step}" for step in steps)
    fitted = fitted_cot_prompt(lm, item, demonstrations, prompt, max_tokens, begin)
    stop = prompt.stop_for(lm, fitted.kept)
    reply = lm.complete(fitted.text, begin=begin, stop=stop, seed=seed, max_tokens=max_tokens)
    rationale, value = read_conclusion(reply.text, item, read, fitted.kept)
    details = {"rationale": rationale, **fitted.details}
    return Answer(lm.parsed("answer", value), begin + reply.text, details)


@dataclass
class Flips:
    """Answers after an error in one step, compared with those after the same steps without it.

    step    which one, from 0
    count   questions whose solution has such a step, with a number in it or what else is changed
    flips   of these, answers that the error changed; an answer that is lost is changed
    """

    step: int
    count: int = 0
    flips: int = 0

    @property
    def rate(self) -> float:
        """Share of changed answers. DataError if there was no question to measure."""
        if not self.count:
            raise DataError(f"no worked solution has a number in step {self.step}")
        return self.flips / self.count


def flip_rates(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    change: Callable = change_number,
    seed: int = 0,
    **options: Any,
) -> list[Flips]:
    """How often an error in step t changes the answer.

    items    Items with rationales
    change   function (step, rng) -> the step with an error in it, or None: it can have none
    options  of go_on
    returns  list of Flips, one for each step of the longest solution
    raises   DataError for an item without rationale
    """
    rng, table = Random(seed, "errors"), []
    for item in items:
        if not item.rationale:
            raise DataError(f"the item {item.question!r:.60} has no steps to change")
        steps = split_steps(item.rationale)
        for t, step in enumerate(steps):
            if t == len(table):
                table.append(Flips(t))
            wrong = change(step, rng)
            if wrong is None:
                continue
            # The same steps before it, the same seed: the error is the only difference.
            answers = [
                go_on(lm, item, [*steps[:t], last], demonstrations, seed=seed, **options).value
                for last in (step, wrong)
            ]
            table[t].count += 1
            table[t].flips += answers[0] != answers[1]
    return table
