"""Prompts in several rounds: a reply becomes a part of the next prompt   (book section 3.1.3).

    round 1   Please solve the problem.              -> solution
    round 2   Evaluate the correctness of this solution, .. work out your own solution.

To judge a solution that lies there is another task than to find one, and may use what the first
round wrote. Read next: ../refine/, where rounds go on until a draft is good.
"""

from collections.abc import Sequence

from tinylm.data.measure.numbers import numbers_in
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.library import LIBRARY


class Rounds:
    """Templates that are filled in one after the other.

    rounds   list of (name, PromptTemplate): the reply of a round is the value of the slot `name` in
             the rounds after it
    raises   ConfigError for no rounds, or two of one name
    """

    def __init__(self, rounds: Sequence[tuple[str, PromptTemplate]]) -> None:
        self.rounds = list(rounds)
        names = [name for name, _ in self.rounds]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"Rounds: give at least one, each with a name of its own, not {names}"
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that no round fills: they are given before the first."""
        # A slot is given from outside if no earlier round has its name.
        known, needed = [], []
        for name, template in self.rounds:
            needed += [slot for slot in template.slots if slot not in known]
            known.append(name)
        return tuple(dict.fromkeys(needed))

    def run(
        self, lm: TextLM, seed: int = 0, max_tokens: int = 512, **values: str
    ) -> dict[str, str]:
        """All rounds in order.

        values   str for each of `slots`
        returns  {name: reply} as they are, white space at the ends taken off
        raises   DataError for values of other names, and as PromptTemplate.format for missing ones
        """
        extra = sorted(set(values) - set(self.slots))
        if extra:
            raise DataError(
                f"Rounds: no round has the slot {extra[0]!r}; needed from outside: "
                f"{', '.join(self.slots) or 'none'}"
            )
        replies = {}
        for number, (name, template) in enumerate(self.rounds):
            # A reply goes before a value of the same name.
            known = {**values, **replies}
            filled = {slot: known[slot] for slot in template.slots if slot in known}
            reply = lm.complete(
                template.format(**filled), seed=seed + number, max_tokens=max_tokens
            )
            replies[name] = reply.text.strip()
        return replies


SOLVE_THEN_JUDGE = Rounds([("solution", LIBRARY["math"]), ("judgment", LIBRARY["math.judge"])])


def solve_then_judge(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    rounds: Rounds = SOLVE_THEN_JUDGE,
    seed: int = 0,
    max_tokens: int = 512,
) -> Answer:
    """Solve a problem, then judge the solution and solve it again.

    lm       TextLM
    item     Item
    demonstrations  are not used: the prompts of the book have none
    rounds   Rounds whose only slot to be given is "problem"
    returns  Answer: the last number of the last reply, or None. details: the replies by name
    """
    replies = rounds.run(lm, seed, max_tokens, problem=item.question)
    last = list(replies.values())[-1]
    value = lm.parsed("answer", next(reversed(numbers_in(last)), None))
    return Answer(value, last, replies)
