"""Straight-line programs, and the same computations in words   (book section 2.2.1).

    x = 4                    A dial has the marks 0 to 6 and points to 4.
    x = (x + 5) % 7  # 2     Ada turns it 5 forward.        4 and 5 forward is 2.
    x = (x - 3) % 7  # 6     Hugo turns it 3 back.          2 and 3 back is 6.
    print(x)  # 6            Where does it point?

A comment holds the value after its line, so a traced program is a solution with its steps. Code in
the training data is supposed to help with reasoning in words: here the computation is the same, and
every sign of it another. Read next: comparisons.py.
"""

import re

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.prompted.last_letters import NAMES
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import DataError

VARIABLES = "a b c m n x y z".split()
WAYS = {"+": "forward", "-": "back"}
_DIAL = "A dial has the marks 0 to {last:d} and points to {start:d}."
_TURNS = ["{who} turns it {k:d} forward.", "{who} turns it {k:d} back."]
_WHERE = "Where does it point?"
_PROGRAM = "What does this program print?\n{program}"
_START = "{v} = {start:d}"
_LINES = ["{v} = ({v} + {k:d}) % {marks:d}", "{v} = ({v} - {k:d}) % {marks:d}"]


def values_of(start, turns, marks):
    """The value after each turn: list of int in 0 .. marks - 1.

    turns  list of (sign, number), sign "+" or "-"
    """
    found = []
    for sign, k in turns:
        if sign == "-":
            k = -k
        start = (start + k) % marks
        found.append(start)
    return found


def program(start, turns, marks, variable="x"):
    """The program of a computation, one line a turn, and one that prints: str."""
    lines = [_START.format(v=variable, start=start)]
    for sign, k in turns:
        lines.append(_LINES["+-".index(sign)].format(v=variable, k=k, marks=marks))
    return "\n".join([*lines, f"print({variable})"])


def traced(text, values):
    """A program with a value as a comment after every line but the first; the last value also
    stands after the line that prints.

    text    as `program` writes it
    values  those of `values_of`, or others for a trace that is wrong
    raises  DataError for another number of values than of turns
    """
    first, *lines = text.split("\n")
    if len(values) != len(lines) - 1:
        raise DataError(f"{len(values)} values for a program of {len(lines) - 1} turns")
    commented = [f"{line}  # {value}" for line, value in zip(lines, [*values, *values[-1:]])]
    return "\n".join([first, *commented])


def program_items(count, seed=0, steps=3, marks=7):
    """Programs of so many turns; the worked solution is the traced program: list of Item."""
    rng, items = _drawn(seed, "programs", steps, marks), []
    for _ in range(count):
        start, turns = _computation(steps, marks, rng)
        values = values_of(start, turns, marks)
        text = program(start, turns, marks, pick(VARIABLES, rng))
        question = _PROGRAM.format(program=text)
        answer, solution = str(values[-1]), traced(text, values)
        items.append(Item(question, answer, rationale=solution, task="programs"))
    return items


def dial_items(count, seed=0, steps=3, marks=7):
    """The same computations in words: list of Item."""
    rng, items = _drawn(seed, "dials", steps, marks), []
    for _ in range(count):
        start, turns = _computation(steps, marks, rng)
        sentences, worked, value = [_DIAL.format(last=marks - 1, start=start)], [], start
        for (sign, k), result in zip(turns, values_of(start, turns, marks)):
            sentences.append(_TURNS["+-".index(sign)].format(who=pick(NAMES, rng), k=k))
            worked.append(f"{value} and {k} {WAYS[sign]} is {result}.")
            value = result
        question, solution = " ".join([*sentences, _WHERE]), " ".join(worked)
        items.append(Item(question, str(value), rationale=solution, task="dials"))
    return items


def _drawn(seed, name, steps, marks):
    at_least("steps", steps, 1)
    at_least("marks", marks, 2)
    return generator(seed, name)


def _computation(steps, marks, rng):
    """(start, turns) of a random computation."""
    turns = [(pick("+-", rng), int(rng.integers(1, marks))) for _ in range(steps)]
    return int(rng.integers(marks)), turns


def solve_program(item):
    """What the program prints, from its text alone. DataError for another program."""
    lines = needed_slots(_PROGRAM, item.question)["program"].split("\n")
    begin = needed_slots(_START, lines[0])
    value = begin["start"]
    for line in lines[1:-1]:
        which, found = first_slots(_LINES, line)
        if found["v"] != begin["v"]:
            raise DataError(f"{line!r} changes another variable than {begin['v']!r}")
        value = values_of(value, [("+-"[which], found["k"])], found["marks"])[0]
    if needed_slots("print({v})", lines[-1])["v"] != begin["v"]:
        raise DataError(f"{lines[-1]!r} prints another variable than {begin['v']!r}")
    return str(value)


def solve_dial(item):
    """Where the dial points, from the question alone. DataError for another question."""
    sentences = re.split(r"(?<=\.) ", item.question)
    needed_slots(_WHERE, sentences[-1])
    begin = needed_slots(_DIAL, sentences[0])
    value = begin["start"]
    for sentence in sentences[1:-1]:
        which, found = first_slots(_TURNS, sentence)
        value = values_of(value, [("+-"[which], found["k"])], begin["last"] + 1)[0]
    return str(value)
