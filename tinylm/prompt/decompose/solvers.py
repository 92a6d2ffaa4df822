"""Sub-problems that tools solve   (book section 3.2.2; Khot et al. 2023).

    [calculator] 10 * 4 * 2      -> 80
    [search] 2028 Olympics       -> the most similar sentence
    Is that much water?          -> the model

A sub-problem names its solver in brackets, and may refer to the answer of the j-th as #j. What no
tool can solve, the model solves. Read next: multi_hop.py.
"""

import re

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.reasoning.conclusion import first_number

_TYPED = re.compile(r"\s*\[([\w-]+)\]\s*(.+)", re.DOTALL)
_REFERENCE = re.compile(r"#([0-9]+)")


def split_type(problem):
    """(name of the solver, the rest) of "[calculator] 10 * 4"; without brackets (None, problem)."""
    found = _TYPED.fullmatch(problem)
    if found is None:
        return None, problem
    return found[1], found[2].strip()


def fill_in(problem, pairs, read=str):
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


def calculator(problem, whole, pairs):
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


def searcher(index, k=1):
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


def route(solvers, fallback):
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
