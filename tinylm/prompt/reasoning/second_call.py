"""Room for a second call that reads the first one's reply: steps, and then the answer after them
(Kojima et al. 2022; book section 3.2.1).

    call 1    prompt, trigger                            -> steps
    call 2    prompt, trigger, steps, "Therefore, .."    -> answer

What the context has beside prompt, trigger and the extracting sentence is shared: the answer has
`answer_tokens` of it, at most half, and the steps have the rest. Steps that take more tokens when
they are read again, since a model need not write the tokens that its own text is encoded to, lose
words from their beginning: the end of a chain has its conclusion. Read next: chain_of_thought.py.
"""

import re
from dataclasses import dataclass

from tinylm.errors import DataError
from tinylm.prompt.answer import check_counts
from tinylm.prompt.protocol.text_lm import TextLM


@dataclass(frozen=True)
class SecondCall:
    """The second call of a prompt.

    prompt   of both calls
    begin    what the first reply is made to begin with: the trigger
    extract  what stands between the steps and the answer
    answer   tokens of the answer
    room     tokens that steps and answer have together; None: no limit
    """

    prompt: str
    begin: str
    extract: str
    answer: int
    room: int | None

    @classmethod
    def of(
        cls, lm: TextLM, prompt: str, begin: str, extract: str, answer_tokens: int
    ) -> "SecondCall":
        """What the context of a model leaves. DataError if that is less than 2 tokens; ConfigError
        for answer_tokens below 1.
        """
        check_counts("second_call", answer_tokens=answer_tokens)
        if lm.context is None:
            return cls(prompt, begin, extract, answer_tokens, None)
        room = lm.context - lm.length(prompt, begin + extract)
        if room < 2:
            raise DataError(
                f"prompt, trigger and extracting sentence leave {room} of the model's "
                f"{lm.context} tokens for steps and answer: shorten the question"
            )
        return cls(prompt, begin, extract, min(answer_tokens, room // 2), room)

    def steps(self, max_tokens: int) -> int:
        """Tokens of the steps: `max_tokens`, or what the answer leaves."""
        if self.room is None:
            return max_tokens
        return min(max_tokens, self.room - self.answer)

    def after(self, lm: TextLM, steps: str) -> str:
        """What the second reply is made to begin with: trigger, steps, extracting sentence."""
        whole = self.begin + steps + self.extract
        # lm.context - answer is the most that may stand before the answer.
        while self.room is not None and lm.length(self.prompt, whole) > lm.context - self.answer:
            shorter = re.sub(r"^\s*\S+", "", steps)
            if shorter == steps:
                break
            steps = shorter
            whole = self.begin + steps + self.extract
        return whole
