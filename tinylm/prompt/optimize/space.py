"""The search space of prompts: a text whose parts can be chosen   (book section 3.3.1).

    x = c_1 c_2 .. c_n,    c_i one of the options of slot i

Prompt optimization is a search, as for the architecture of a network: a space, an estimate of
performance, and a strategy. Here the space is a product of options, small enough to be listed or
large enough that only a strategy can look through it. Read next: estimate.py, search.py.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tinylm.errors import ConfigError, DataError


class PromptSpace:
    """All prompts that join one option of each slot.

    slots   sequences of str; the spaces between parts belong to the options, and "" leaves a part
            out: PromptSpace(["Translate", "Render"], [" this", " the text"], ["", " carefully"])
    raises  ConfigError without a slot, for a slot without options, or one that holds one twice

    A list of prompts is a space of one slot.
    """

    def __init__(self, *slots: Sequence[str]) -> None:
        self.slots = [list(options) for options in slots]
        if not self.slots or not all(self.slots):
            raise ConfigError(f"PromptSpace: every slot needs an option, not {self.slots}")
        for options in self.slots:
            if len(set(options)) < len(options):
                raise ConfigError(f"PromptSpace: a slot holds an option twice: {options}")

    @property
    def choices(self) -> int:
        """The number of choices of options; two of them may give the same text."""
        return math.prod(map(len, self.slots))

    def text(self, choice: Sequence[int]) -> str:
        """The prompt of a choice: one option of each slot, by its number."""
        return "".join(options[i] for options, i in zip(self.slots, choice))

    def __iter__(self) -> Iterator[str]:
        """Every prompt once; the last slot changes fastest."""
        seen = set()
        for parts in itertools.product(*self.slots):
            text = "".join(parts)
            if text not in seen:
                seen.add(text)
                yield text

    def __contains__(self, prompt: str) -> bool:
        return next(self._derivations(prompt), None) is not None

    def choice(self, prompt: str) -> tuple[int, ...]:
        """The options that give a prompt, by number: the first choice of several.

        raises  DataError for a text that is not in the space
        """
        found = next(self._derivations(prompt), None)
        if found is None:
            raise DataError(f"PromptSpace: {prompt!r} is not in the space")
        return found

    def _derivations(self, text, first=0):
        """The choices for slots from `first` on whose parts join to a text."""
        if first == len(self.slots):
            if not text:
                yield ()
            return
        for i, option in enumerate(self.slots[first]):
            if text.startswith(option):
                for rest in self._derivations(text[len(option) :], first + 1):
                    yield (i, *rest)

    # What strategies do with a prompt. `rng` is a numpy generator.

    def sample(self, rng: np.random.Generator) -> str:
        """A prompt whose options are drawn uniformly."""
        return self.text([rng.integers(len(options)) for options in self.slots])

    def neighbors(self, prompt: str) -> list[str]:
        """The prompts that differ in the option of one slot: list of str, in order."""
        choice = self.choice(prompt)
        found = []  # n - 1 for a slot of n options
        for slot, options in enumerate(self.slots):
            for i in range(len(options)):
                if i != choice[slot]:
                    found.append(self.text((*choice[:slot], i, *choice[slot + 1 :])))
        return list(dict.fromkeys(found))

    def mutate(self, prompt: str, rng: np.random.Generator, rate: float | None = None) -> str:
        """Every option is drawn anew with probability `rate`; None: one over the slots."""
        if rate is None:
            rate = 1 / len(self.slots)
        choice = list(self.choice(prompt))
        for slot, options in enumerate(self.slots):
            if rng.random() < rate:
                choice[slot] = int(rng.integers(len(options)))
        return self.text(choice)

    def crossover(self, a: str, b: str, rng: np.random.Generator) -> str:
        """Every option is that of one of two prompts, with equal chance."""
        # (option of a, option of b) of each slot
        parents = list(zip(self.choice(a), self.choice(b)))
        return self.text([pair[rng.integers(2)] for pair in parents])
