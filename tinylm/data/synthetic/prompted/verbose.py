"""Instructions with redundant words, each word marked   (book section 3.3.3, shorter prompts).

    please carefully translate the following text into French if at all possible

The short form, "translate the text into French", has the same meaning, which the parser of the
grammar confirms; so a method that shortens prompts can be scored exactly.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.data.synthetic.templates import first_slots
from tinylm.errors import ConfigError, DataError

# The grammar of short instructions, and the values of its slots.
COMMANDS = (
    "translate the {object} into {language}",
    "summarize the {object} in {number:d} words",
    "list the {part} of the {object}",
    "classify the {object} as {label} or {other}",
)
_VALUES = {
    "object": "text article letter report review story".split(),
    "language": "French Spanish German Chinese Arabic".split(),
    "part": "dates names places numbers sources".split(),
    "label": "true positive formal old".split(),
    "other": "false negative informal new".split(),
}
# Phrases that add nothing, by the place where they stand.
BEFORE = ("could you please", "please", "i would like you to", "your task is to", "kindly")
ADVERBS = ("carefully", "simply", "now", "really")
ADJECTIVES = ("following", "given", "whole", "present")
AFTER = ("if at all possible", "thank you very much", "as well as you can", "for me")
_REDUNDANT = sorted(
    ((*phrase.split(),) for phrase in (*BEFORE, *ADVERBS, *ADJECTIVES, *AFTER)), key=len
)[::-1]


@dataclass(frozen=True)
class Verbose:
    """A long instruction, word by word.

    words      tuple of str
    redundant  tuple of bool, True for a word that can go
    """

    words: tuple[str, ...]
    redundant: tuple[bool, ...]

    @property
    def long(self) -> str:
        """All words as text."""
        return " ".join(self.words)

    @property
    def short(self) -> str:
        """The words that are not redundant, as text."""
        return " ".join(word for word, gone in zip(self.words, self.redundant) if not gone)


def verbose_instruction(rng: np.random.Generator, redundancy: float) -> Verbose:
    """A random instruction; each of the four places has a redundant phrase with a probability.

    redundancy  this probability
    returns     Verbose
    """
    command = pick(COMMANDS, rng).replace(":d", "")
    values = {slot: pick(words, rng) for slot, words in _VALUES.items()}
    short = command.format(number=10 * int(rng.integers(1, 11)), **values).split()
    parts = [(BEFORE, []), (ADVERBS, short[:2]), (ADJECTIVES, short[2:]), (AFTER, [])]
    words, redundant = [], []
    for phrases, kept in parts:
        extra = []
        if rng.random() < redundancy:
            extra = pick(phrases, rng).split()
        words += extra + kept
        redundant += [True] * len(extra) + [False] * len(kept)
    return Verbose(tuple(words), tuple(redundant))


def marked(text: str) -> Verbose:
    """The words of an instruction with their marks, from the list of redundant phrases: Verbose.

    The longest phrase that fits at a place is marked.
    """
    words, redundant = text.split(), []
    while len(redundant) < len(words):
        at = len(redundant)
        found = [p for p in _REDUNDANT if words[at : at + len(p)] == list(p)]
        if found:
            redundant += [True] * len(found[0])
        else:
            redundant.append(False)
    return Verbose(tuple(words), tuple(redundant))


def shortened(text: str) -> str:
    """An instruction without its redundant words."""
    return marked(text).short


def meaning(text: str) -> tuple[str, tuple[tuple, ...]]:
    """(command, slots) of an instruction, long or short: equal for those that mean the same.

    raises  DataError for what is no instruction of the grammar
    """
    kind, found = first_slots(COMMANDS, shortened(text))
    for slot, value in found.items():
        if slot in _VALUES and value not in _VALUES[slot]:
            raise DataError(f"{value!r} is no {slot} of the grammar, in {text!r:.80}")
    return COMMANDS[kind].split()[0], tuple(sorted(found.items()))


def verbose_items(count: int, seed: int = 0, redundancy: float = 0.7) -> list[Item]:
    """Long instructions, their short forms as answers: list of Item."""
    if not 0 <= redundancy <= 1:
        raise ConfigError(f"verbose_items: redundancy {redundancy} must be a share from 0 to 1")
    rng, items = generator(seed, "verbose"), []
    for _ in range(count):
        one = verbose_instruction(rng, redundancy)
        gone = [word for word, extra in zip(one.words, one.redundant) if extra]
        rationale = f"Redundant: {' '.join(gone) or 'nothing'}."
        items.append(Item(one.long, one.short, rationale=rationale, task="verbose"))
    return items


def solve_verbose(item: Item) -> str:
    """The answer, from the question alone. DataError for what is no instruction of the grammar."""
    meaning(item.question)
    return shortened(item.question)
