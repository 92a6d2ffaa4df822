"""What prompting costs: calls, tokens and seconds.

Methods are compared at equal tokens: a method that samples ten replies is measured against plain
prompting with ten times the tokens. Read next: trace.py.
"""

from dataclasses import dataclass, fields


@dataclass
class Account:
    """Counts of the calls of a model.

    calls             prompts that were completed or scored
    prompt_tokens     tokens of all prompts, each counted whole
    read_tokens       tokens of prompts that the model really read: what the prefix store held is
                      not read again
    generated_tokens  tokens that the model wrote, also those that a stop string cut off
    scored_tokens     tokens of continuations whose probability was computed
    seconds           time in these calls
    """

    calls: int = 0
    prompt_tokens: int = 0
    read_tokens: int = 0
    generated_tokens: int = 0
    scored_tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt, generated and scored tokens: the measure at which methods are compared."""
        return self.prompt_tokens + self.generated_tokens + self.scored_tokens

    def line(self) -> str:
        """Prompts, their tokens, and what was read and written of them, in words."""
        return (
            f"{self.calls:,} prompts of {self.prompt_tokens:,} tokens, of which "
            f"{self.read_tokens:,} were read; {self.generated_tokens:,} were written"
        )

    def add(self, **counts: float) -> None:
        """Add to the named counts."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    def copy(self) -> "Account":
        """The counts of now, which later calls do not change."""
        return Account(**vars(self))

    def since(self, before: "Account") -> "Account":
        """What was added since `before`, a copy() of then."""
        names = [field.name for field in fields(self)]
        return Account(**{name: getattr(self, name) - getattr(before, name) for name in names})
