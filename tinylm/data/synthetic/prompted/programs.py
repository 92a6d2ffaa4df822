"""Straight-line programs, and the same computations in words   (book section 2.2.1).

    x = 2            A lift is on floor 2.
    x += 3  # 5      It goes 3 up.              2 and 3 up is 5.
    x -= 4  # 1      It goes 4 down.            5 and 4 down is 1.
    print(x)  # 1    On which floor is it?

A comment holds the value after its line, so a traced program is a solution with its steps. Code in
the training data is supposed to help with reasoning in words: here the computation is the same, and
every sign of it another. Read next: comparisons.py.
"""

import re
from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import DataError

VARIABLES = "a b c m n x y z".split()
_LIFT = "A lift is on floor {start:d}."
_MOVES = {"+": "It goes {k:d} up.", "-": "It goes {k:d} down."}
_STEPS = {"+": "{value} and {k} up is {result}.", "-": "{value} and {k} down is {result}."}
_WHERE = "On which floor is it?"
_PROGRAM = "What does this program print?\n{program}"
_START = "{v} = {start:d}"
_LINES = {"+": "{v} += {k:d}", "-": "{v} -= {k:d}"}


def values_of(start: int, moves: Sequence[tuple[str, int]]) -> list[int]:
    """The value after each move: list of int.

    moves  list of (sign, number), sign "+" or "-"
    """
    found = []
    for sign, k in moves:
        if sign == "-":
            k = -k
        start += k
        found.append(start)
    return found


def program(start: int, moves: Sequence[tuple[str, int]], variable: str = "x") -> str:
    """The program of a computation, one line a move, and one that prints: str."""
    lines = [_START.format(v=variable, start=start)]
    lines += [_LINES[sign].format(v=variable, k=k) for sign, k in moves]
    return "\n".join([*lines, f"print({variable})"])


def traced(text: str, values: Sequence[int]) -> str:
    """A program with a value as a comment after every line but the first; the last value also
    stands after the line that prints.

    text    as `program` writes it
    values  those of `values_of`, or others for a trace that is wrong
    raises  DataError for another number of values than of moves
    """
    first, *lines = text.split("\n")
    if len(values) != len(lines) - 1:
        raise DataError(f"{len(values)} values for a program of {len(lines) - 1} moves")
    commented = [f"{line}  # {value}" for line, value in zip(lines, [*values, *values[-1:]])]
    return "\n".join([first, *commented])


def program_items(count: int, seed: int = 0, steps: int = 3, top: int = 9) -> list[Item]:
    """Programs of so many moves between 0 and `top`; the worked solution is the traced program:
    list of Item.
    """
    rng, items = _drawn(seed, "programs", steps, top), []
    for _ in range(count):
        start, moves = _computation(steps, top, rng)
        values = values_of(start, moves)
        text = program(start, moves, pick(VARIABLES, rng))
        question = _PROGRAM.format(program=text)
        answer, solution = str(values[-1]), traced(text, values)
        items.append(Item(question, answer, rationale=solution, task="programs"))
    return items


def lift_items(count: int, seed: int = 0, steps: int = 3, top: int = 9) -> list[Item]:
    """The same computations in words, a lift between the floors 0 and `top`: list of Item."""
    rng, items = _drawn(seed, "lifts", steps, top), []
    for _ in range(count):
        start, moves = _computation(steps, top, rng)
        sentences, worked, value = [_LIFT.format(start=start)], [], start
        for (sign, k), result in zip(moves, values_of(start, moves)):
            sentences.append(_MOVES[sign].format(k=k))
            worked.append(_STEPS[sign].format(value=value, k=k, result=result))
            value = result
        question, solution = " ".join([*sentences, _WHERE]), " ".join(worked)
        items.append(Item(question, str(value), rationale=solution, task="lifts"))
    return items


def _drawn(seed, name, steps, top):
    at_least("steps", steps, 1)
    at_least("top", top, 1)
    return generator(seed, name)


def _computation(steps, top, rng):
    """(start, moves) of a random computation whose values stay in 0 .. top."""
    start, moves = int(rng.integers(top + 1)), []
    value = start
    for _ in range(steps):
        # every other value is equally probable
        following = int(rng.integers(top))
        following += following >= value
        moves.append(("+-"[following < value], abs(following - value)))
        value = following
    return start, moves


def solve_program(item: Item) -> str:
    """What the program prints, from its text alone. DataError for another program."""
    lines = needed_slots(_PROGRAM, item.question)["program"].split("\n")
    begin = needed_slots(_START, lines[0])
    moves = []
    for line in lines[1:-1]:
        which, found = first_slots(list(_LINES.values()), line)
        if found["v"] != begin["v"]:
            raise DataError(f"{line!r} changes another variable than {begin['v']!r}")
        moves.append(("+-"[which], found["k"]))
    if needed_slots("print({v})", lines[-1])["v"] != begin["v"]:
        raise DataError(f"{lines[-1]!r} prints another variable than {begin['v']!r}")
    return str([begin["start"], *values_of(begin["start"], moves)][-1])


def solve_lift(item: Item) -> str:
    """The floor of the lift, from the question alone. DataError for another question."""
    sentences = re.split(r"(?<=\.) ", item.question)
    needed_slots(_WHERE, sentences[-1])
    start = needed_slots(_LIFT, sentences[0])["start"]
    moves = []
    for sentence in sentences[1:-1]:
        which, found = first_slots(list(_MOVES.values()), sentence)
        moves.append(("+-"[which], found["k"]))
    return str([start, *values_of(start, moves)][-1])
