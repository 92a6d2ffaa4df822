"""Sub-problems that tools solve   (book section 3.2.2; Khot et al. 2023).

    [calculator] 10 * 4 * 2      -> 80
    [search] 2028 Olympics       -> the most similar sentence
    [sort] 80, 9, 20             -> 9, 20, 80
    [date] Friday + 9            -> Sunday
    Is that much water?          -> the model

A sub-problem names its solver in brackets, and may refer to the answer of the j-th as #j. What no
tool can solve, the model solves. Read next: multi_hop.py.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.reasoning.conclusion import first_number

_TYPED = re.compile(r"\s*\[([\w-]+)\]\s*(.+)", re.DOTALL)
_REFERENCE = re.compile(r"#([0-9]+)")
DAYS = "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"
_DAY = rf"({'|'.join(DAYS)}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
_LATER = re.compile(rf"\s*{_DAY}\s*([+-])\s*([0-9]+)(?: days?)?\s*", re.IGNORECASE)
_BETWEEN = re.compile(rf"\s*{_DAY}\s*-\s*{_DAY}\s*", re.IGNORECASE)


def split_type(problem: str) -> tuple[str | None, str]:
    """(name of the solver, the rest) of "[calculator] 10 * 4"; without brackets (None, problem)."""
    found = _TYPED.fullmatch(problem)
    if found is None:
        return None, problem
    return found[1], found[2].strip()


def fill_in(problem: str, pairs: Sequence[tuple[str, str]], read: Callable = str) -> str:
    """The sub-problem with #j replaced by the j-th answer.

    read     function from an answer to what stands in its place
    raises   DataError for the number of an answer that is not there
    """

    def answer(match):
        number = int(match[1])
        if not 1 <= number <= len(pairs):
            raise DataError(
                f"{match[0]} in {problem!r:.60} is no answer before it: there are {len(pairs)}"
            )
        return read(pairs[number - 1][1])

    return _REFERENCE.sub(answer, problem)


def calculator(problem: str, whole: str, pairs: tuple) -> str:
    """S_i: the value of an arithmetic expression, in which #j is the number in the j-th answer.

    raises   DataError for what is no expression, or an answer without a number
    """

    def number(answer):
        found = first_number(answer)
        if found is None:
            raise DataError(f"the calculator needs a number, and {answer!r:.60} has none")
        # In parentheses, as 2 - #1 with a_1 = -3 is 2 - (-3).
        return f"({found})"

    return decimal_text(calculate(fill_in(problem, pairs, number)))


def sorter(problem: str, whole: Item, pairs: Sequence) -> str:
    """S_i: what is listed, in order: numbers by their values, anything else by its letters.

    The parts are separated by commas, or by white space if there is no comma.

    raises   DataError for a list of fewer than two parts
    """
    text = fill_in(problem, pairs)
    between = ", "
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2:
        between, parts = " ", text.split()
    if len(parts) < 2 or not all(parts):
        raise DataError(f"sort needs two parts or more, not {text!r:.60}")
    values = [canonical_number(part) for part in parts]
    if all(isinstance(value, Fraction) for value in values):
        return between.join(part for _, part in sorted(zip(values, parts), key=lambda p: p[0]))
    return between.join(sorted(parts, key=str.casefold))


def calendar(problem: str, whole: Item, pairs: Sequence[tuple[str, str]]) -> str:
    """S_i: a day some days later or earlier, or the days between two.

    "Friday + 9" -> Sunday;  "2024-02-20 + 10" -> 2024-03-01;  "2024-03-01 - 2024-02-20" -> 10. For
    two names of days it is the least number of days, 0 to 6.

    raises   DataError for anything else
    """
    text = fill_in(problem, pairs)
    try:
        if found := _LATER.fullmatch(text):
            start, sign, count = found.groups()
            return _written(_day(start) + timedelta(int(sign + count)), start)
        if found := _BETWEEN.fullmatch(text):
            days = (_day(found[1]) - _day(found[2])).days
            if found[1].isalpha() != found[2].isalpha():
                raise DataError(f"a name and a date cannot be compared: {text!r:.60}")
            if found[1].isalpha():
                days %= len(DAYS)
            return str(days)
    except (ValueError, OverflowError) as error:  # no such day, or none that a calendar has
        raise DataError(f"no day is {text!r:.60}: {error}") from None
    raise DataError(f"the calendar cannot read {text!r:.60}")


def _day(text):
    """A date; of a name, some day that has it."""
    if text.isalpha():
        # 2024 began on a Monday; later years leave room for days before it.
        return date(2024, 1, 1 + DAYS.index(text.capitalize()))
    return date.fromisoformat(text)


def _written(day, like):
    """A date in the form of another: its name, or year, month and day."""
    if like.isalpha():
        return DAYS[day.weekday()]
    return day.isoformat()


TOOLS = {"calculator": calculator, "sort": sorter, "date": calendar}


def named_solvers(solvers: str | dict[str, Callable] | None) -> dict[str, Callable]:
    """{name: S} of what a method is given: such a dict, or names of TOOLS with commas.

    raises   ConfigError for a name that is not there
    """
    if not isinstance(solvers, str):
        return dict(solvers or {})
    names = [name.strip() for name in solvers.split(",") if name.strip()]
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise ConfigError(f"no solver {unknown[0]!r:.40}; there are {', '.join(TOOLS)}")
    return {name: TOOLS[name] for name in names}


def note_of(solvers: Any) -> str:
    """A sentence for the prompt of G about tools that are named, as by named_solvers.

    A dict gives "": who has solvers of their own writes what the model has to know of them.
    """
    if not isinstance(solvers, str) or not solvers.strip():
        return ""
    names = ", ".join(f"[{name}]" for name in named_solvers(solvers))
    return f" A question for a tool begins with its name: {names}."


def searcher(index: InvertedIndex, k: int = 1) -> Callable:
    """S_i that returns the k best documents of an InvertedIndex, best first.

    The solver raises DataError if no document shares a word with the sub-problem.
    """
    if k < 1:
        raise ConfigError(f"searcher: k {k} must be 1 or more")

    def search(problem, whole, pairs):
        query = fill_in(problem, pairs)
        found = index.search(query, k)
        if not found:
            raise DataError(f"no document has a word of {query!r:.60}")
        return " ".join(index.documents[number] for number, _ in found)

    return search


def route(solvers: dict[str, Callable], fallback: Callable) -> Callable:
    """S_i that hands a sub-problem to the solver that it names.

    solvers   {name: S}
    fallback  S of sub-problems that name none of these, and of those that their tool refuses with a
              DataError
    """

    def solve(problem, whole, pairs):
        # The type that G wrote decides which S_i it is.
        name, inside = split_type(problem)
        if name in solvers:
            try:
                return solvers[name](inside, whole, pairs)
            except DataError:
                # "[calculator] how much is left?" is no expression: the model may still answer it.
                return fallback(inside, whole, pairs)
        return fallback(problem, whole, pairs)

    return solve
