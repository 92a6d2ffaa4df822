"""Dyck languages: close all open brackets in the right order   (book section 3.2.1, fig. 3.1;
Suzgun et al. 2023).

The last bracket opened is the first to be closed, so the state of the solution is a stack; the
worked solution writes it out after every symbol. Read next: scan.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import ConfigError, DataError

CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_QUESTION = (
    "Complete the sequence, so that all brackets are closed in the right order. Input: {symbols}"
)


def stacks(symbols: str | Sequence[str]) -> list[tuple[str, ...]]:
    """The brackets that are open after each symbol: list of tuples, as long as `symbols`.

    symbols  str or list of brackets; white space is skipped
    raises   DataError for another symbol, or a bracket that closes what is not the last one open
    """
    stack: tuple[str, ...] = ()
    found = []
    for symbol in "".join(symbols).split():
        for bracket in symbol:
            if bracket in CLOSING:
                stack = (*stack, bracket)
            elif stack and bracket == CLOSING[stack[-1]]:
                stack = stack[:-1]
            else:
                raise DataError(
                    f"the bracket {bracket!r} cannot follow {' '.join(stack) or 'nothing'!r}: only "
                    "the last open bracket can be closed"
                )
            found.append(stack)
    return found


def dyck_completion(symbols: str | Sequence[str]) -> str:
    """The brackets that are missing: "[{" -> "}]". Raises as `stacks`."""
    stack = ((), *stacks(symbols))[-1]
    return "".join(CLOSING[bracket] for bracket in reversed(stack))


def dyck_trace(symbols: str, first: int = 0) -> str:
    """The stack after each symbol, one line each, from "0: empty stack" on.

    first    the number of the first line. With other ones than 0 a model reads the numbers of long
             traces in short ones
    """
    lines = [f"{first}: empty stack"]
    brackets = "".join("".join(symbols).split())
    for i, (bracket, stack) in enumerate(zip(brackets, stacks(symbols)), first + 1):
        lines.append(f"{i}: {bracket} ; stack: {' '.join(stack) or 'empty'}")
    return "\n".join(lines)


def dyck_prefix(length: int, depth: int, kinds: int, rng: np.random.Generator) -> str:
    """A random beginning of a balanced sequence that is not balanced yet.

    length   symbols, 1 or more
    depth    the most brackets that are open at once, 2 or more
    kinds    of brackets, 1 to 4
    returns  str; a bracket is opened or closed with equal chance where both are possible
    """
    at_least("length", length, 1)
    at_least("depth", depth, 2)
    if not 1 <= kinds <= len(CLOSING):
        raise ConfigError(f"kinds is {kinds}; there are {len(CLOSING)} kinds of brackets")
    opening, symbols, stack = list(CLOSING)[:kinds], "", []
    for i in range(length):
        # The last symbol must leave a bracket open.
        may_close = len(stack) > int(i == length - 1)
        may_open = len(stack) < depth
        if may_open and (not may_close or rng.random() < 0.5):
            stack.append(pick(opening, rng))
            symbols += stack[-1]
        else:
            symbols += CLOSING[stack.pop()]
    return symbols


def dyck_items(
    count: int, seed: int = 0, length: int = 6, depth: int = 4, kinds: int = 4
) -> list[Item]:
    """Sequences with symbols between spaces, the form of the book: list of Item."""
    rng, items = generator(seed, "dyck"), []
    for _ in range(count):
        symbols = dyck_prefix(length, depth, kinds, rng)
        items.append(
            Item(
                _QUESTION.format(symbols=" ".join(symbols)),
                " ".join(dyck_completion(symbols)),
                rationale=dyck_trace(symbols),
                task="dyck",
            )
        )
    return items


def solve_dyck(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    return " ".join(dyck_completion(needed_slots(_QUESTION, item.question)["symbols"]))
