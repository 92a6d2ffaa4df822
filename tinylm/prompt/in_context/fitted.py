"""A prompt cut to what a model reads: demonstrations go, from the first on; the instruction and the
question stay   (book section 3.1.2).

    tokens of (instruction, (x_i, y_i), .., (x_k, y_k), x_query) <= context - tokens of the answer

Every method that puts demonstrations before a question fits them in this way, and states in the
details of its answer what was kept and what was dropped. Read next: few_shot.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.errors import DataError
from tinylm.prompt.protocol.text_lm import TextLM

if TYPE_CHECKING:
    from tinylm.data.read.items import Item


@dataclass
class Fitted:
    """A prompt that fits, and what became of the demonstrations.

    text     str; or list of messages
    kept     tuple of the demonstrations in it, in order
    dropped  tuple of those that had no room
    tokens   of the text
    """

    text: str
    kept: tuple
    dropped: tuple
    tokens: int

    @property
    def details(self) -> "dict[str, tuple[Item, ...]]":
        """What an Answer states of it."""
        return {"kept": self.kept, "dropped": self.dropped}


def fitted(
    write: Callable, demonstrations: "Sequence[Item]", count: Callable, budget: int | None
) -> Fitted:
    """The prompt with as many of the demonstrations as `budget` tokens hold.

    Order them from the least to the most important: the one nearest to the question is dropped
    last.

    write    function from demonstrations to the prompt
    count    function from a prompt to its number of tokens: `length` of a TextLM
    budget   an integer, or None: no limit
    returns  Fitted
    raises   DataError if instruction and question alone are too long
    """
    kept, dropped = tuple(demonstrations), ()
    while True:
        text = write(kept)
        tokens = count(text)
        if budget is None or tokens <= budget:
            return Fitted(text, kept, dropped, tokens)
        if not kept:
            raise DataError(
                f"instruction and question alone have {tokens} tokens, and {budget} are "
                "allowed: shorten them"
            )
        # Counted anew each time: tokens of parts do not add up to those of the whole.
        kept, dropped = kept[1:], (*dropped, kept[0])


def fit_context(
    lm: TextLM, write: Callable, demonstrations: Sequence, answer: int, begin: str = ""
) -> Fitted:
    """The prompt with as many of the demonstrations as the model's context holds.

    lm       TextLM
    write    function from demonstrations to the prompt
    answer   tokens that are kept free for the answer, at most half of the context: a reply may be
             cut, but a question is not refused for the length that its reply might have
    begin    text that the reply is made to begin with
    returns  Fitted
    raises   DataError if instruction and question alone are too long
    """
    budget = None
    if lm.context is not None:
        budget = lm.context - min(answer, lm.context // 2)
    return fitted(write, demonstrations, lambda text: lm.length(text, begin), budget)


def fit_options(
    lm: TextLM,
    write: Callable,
    demonstrations: "Sequence[Item]",
    endings: Sequence[str],
    begin: str = "",
) -> Fitted:
    """The same for a prompt after which texts are scored: the longest of them has its room.

    endings  list of str
    """
    budget = None
    if lm.context is not None:
        budget = max(0, lm.context - max(lm.count(text) for text in endings))
    return fitted(write, demonstrations, lambda text: lm.length(text, begin), budget)


def dropped_of(fits: Sequence[Fitted]) -> "tuple[Item, ...]":
    """The demonstrations that one of several prompts had no room for, or more of them: tuple.

    fits  list of Fitted, each of the same demonstrations
    """
    # All lose them from the first on, so the longest list holds the others.
    return max((one.dropped for one in fits), key=len, default=())
