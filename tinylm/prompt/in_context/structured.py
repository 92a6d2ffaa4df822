"""A prompt in three fields, instruction, demonstrations and user input, that are optimized one by
one   (book section 3.3.1).

Most work searches for instructions, whose quality is hard to foresee and costly to test;
demonstrations are easier to make, and the question is which of a pool. Either way one field changes
and the others stay as they are. A search counts its evaluations, as each one is many calls of the
model. Read next: ../protocol/account.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.fitted import Fitted, fit_context
from tinylm.prompt.protocol.text_lm import TextLM

FIELDS = "instruction", "demonstrations", "user_input"


@dataclass(frozen=True)
class StructuredPrompt:
    """The fields of a prompt.

    instruction     str
    demonstrations  tuple of Items with answers
    user_input      Item
    form            FewShotPrompt, how the fields are written; its own instruction is not used
    """

    instruction: str
    demonstrations: tuple
    user_input: Item
    form: FewShotPrompt = field(default_factory=FewShotPrompt)

    @property
    def prompt(self) -> FewShotPrompt:
        """The FewShotPrompt with this instruction."""
        return replace(self.form, instruction=self.instruction)

    @property
    def text(self) -> str:
        """The whole prompt, with all demonstrations, however long it is."""
        return self.prompt.prompt(self.user_input, self.demonstrations)

    def fitted(self, lm: TextLM, answer: int) -> Fitted:
        """The prompt with as many of its demonstrations as a model reads: Fitted.

        lm      TextLM;  answer  tokens that are kept free for the answer
        """
        return fit_context(
            lm,
            lambda kept: self.prompt.prompt(self.user_input, kept),
            self.demonstrations,
            answer,
        )

    def written(self, name: str) -> str | list[str]:
        """The text of one field as it stands in the prompt: str, or a list for demonstrations."""
        if name == "demonstrations":
            return [self.form.demonstration(demo) for demo in self.demonstrations]
        if name == "user_input":
            return self.form.query(self.user_input)
        return getattr(self, _known(name))

    def with_field(self, name: str, value: str | tuple[Item, ...]) -> "StructuredPrompt":
        """The prompt with another value of one field."""
        changes: dict[str, Any] = {_known(name): value}
        return replace(self, **changes)


@dataclass
class Search:
    """What a search found.

    prompt       StructuredPrompt, the best
    score        its score
    evaluations  prompts that were scored
    trials       list of (field, value, score), in order
    """

    prompt: StructuredPrompt
    score: float
    evaluations: int
    trials: list


def optimize_field(
    prompt: StructuredPrompt, name: str, values: Sequence, score: Callable
) -> Search:
    """Try values of one field and keep the best; the others stay to the byte.

    values   candidates; the present value is tried first, and wins against equals
    score    function from a StructuredPrompt to a number, higher is better: validation_score
    returns  Search
    """
    trials = []
    best, highest = prompt, None
    # The present value comes first and is only beaten, never equaled, so a search does not wander.
    for value in [getattr(prompt, _known(name)), *values]:
        tried = prompt.with_field(name, value)
        reached = score(tried)
        trials.append((name, value, reached))
        if highest is None or reached > highest:
            best, highest = tried, reached
    return Search(best, highest, len(trials), trials)


def optimize_fields(
    prompt: StructuredPrompt, proposals: dict[str, Callable], score: Callable, rounds: int = 1
) -> Search:
    """Optimize the fields in turn, each with the best values so far of the others.

    proposals  {field: function from a StructuredPrompt to candidate values}
    returns    Search; its score is never lower than that of the prompt it began with
    """
    trials = []
    for _ in range(rounds):
        for name, propose in proposals.items():
            # Candidates may depend on what the other fields are by now.
            found = optimize_field(prompt, name, propose(prompt), score)
            prompt = found.prompt
            trials += found.trials
    if not trials:
        raise ConfigError("optimize_fields: no field to optimize, or no round")
    return Search(prompt, found.score, len(trials), trials)


def validation_score(
    lm: TextLM | None, items: Sequence[Item], method: Callable = few_shot, **options: Any
) -> Callable:
    """The score of a prompt by the share of items that it answers rightly: a function.

    items    Items with answers; each takes the place of the user input
    method   name(lm, item, demonstrations, prompt=..) -> Answer
    options  of the method
    """
    items = list(items)

    def score(prompt):
        right = 0
        for item in items:
            answer = method(lm, item, prompt.demonstrations, prompt=prompt.prompt, **options)
            right += bool(is_right(answer.value, item))
        return right / len(items)

    return score


def _known(name):
    if name not in FIELDS:
        raise ConfigError(f"a prompt has no field {name!r}: it has {', '.join(FIELDS)}")
    return name
