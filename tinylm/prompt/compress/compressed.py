"""A shorter prompt, and what it saves   (book section 3.3.3).

    ratio = tokens of the short prompt / tokens of the long one

Read next: simplify.py; quality.py, what it costs.
"""

from dataclasses import dataclass, field
from typing import Any

from tinylm.prompt.protocol.text_lm import TextLM


@dataclass(frozen=True)
class Compressed:
    """A compressed text.

    text     str
    tokens   of it
    before   tokens of the text that it was made from
    details  more that a method found
    """

    text: str
    tokens: int
    before: int
    details: dict = field(default_factory=dict)

    @classmethod
    def of(cls, lm: TextLM, long: str, short: str, **details: Any) -> "Compressed":
        """What a model's tokenizer counts for a long and a short text."""
        return cls(short, lm.count(short), lm.count(long), details)

    @property
    def ratio(self) -> float:
        """The share of tokens that is left: 1 where there was nothing."""
        if not self.before:
            return 1.0
        return self.tokens / self.before

    @property
    def saved(self) -> int:
        """Tokens that each use of the prompt saves."""
        return self.before - self.tokens
