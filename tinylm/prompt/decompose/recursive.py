"""A sub-problem may be decomposed in turn   (book section 3.2.2; Khot et al. 2023, decomposed
prompting).

S_i is then a program of its own: it generates sub-problems, solves them, and combines the answers.
With k sub-problems at every level and d levels, the number of calls is

    T(0) = 1,   T(d) = 1 + k T(d - 1) + 1         (G, the sub-problems, S_0)

A depth of 1 is least-to-most prompting, of 0 a direct answer. Read next: outline.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.least_to_most import (
    DECOMPOSITIONS,
    STOP,
    Solver,
    decomposition_prompt,
    read_needed,
)
from tinylm.prompt.decompose.plan import decompose, up_front
from tinylm.prompt.in_context.fitted import dropped_of
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import reader


def calls(branches: int, depth: int) -> int:
    """T(depth), calls of a whole tree with so many sub-problems at every level."""
    if branches < 0 or depth < 0:
        raise ConfigError(f"calls: branches {branches} and depth {depth} must be 0 or more")
    count = 1
    # T(d) = 1 + k T(d - 1) + 1, from the leaves on
    for _ in range(depth):
        count = 2 + branches * count
    return count


def recursive_solve(
    problem: Any,
    generate: Callable,
    solve: Callable,
    conclude: Callable,
    depth: int,
    pairs: tuple[tuple[Any, Any], ...] = (),
) -> Any:
    """Solve a problem, and its sub-problems, by sub-problems.

    generate  G: problem -> list of sub-problems; an empty list: it is simple enough
    solve     S: (problem, pairs) -> answer of what is not decomposed
    conclude  S_0: (problem, pairs) -> answer from those of the sub-problems
    depth     levels of sub-problems at most; what is below is solved as it is
    pairs     (problem, answer) pairs of the level that were solved before
    returns   the answer
    """
    if depth < 0:
        raise ConfigError(f"recursive_solve: depth {depth} must be 0 or more")
    if depth == 0:
        return solve(problem, pairs)
    problems = generate(problem)
    # a leaf: G finds nothing to divide
    if not problems:
        return solve(problem, pairs)

    # S_i is the whole of it once more, one level deeper.
    def deeper(part, whole, before):
        return recursive_solve(part, generate, solve, conclude, depth - 1, before)

    count = len(problems)
    return decompose(problem, up_front(lambda whole: problems), deeper, conclude, count).answer


def recursive_prompting(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    depth: int = 2,
    decompositions: tuple[tuple[Item, tuple[str, ...]], ...] = DECOMPOSITIONS,
    trigger: str = "",
    read: Callable | None = None,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Least-to-most prompting whose sub-problems are decomposed too.

    depth    levels of sub-problems at most: 0 answers directly, 1 is least_to_most
    others   as of least_to_most
    returns  Answer; details: "pairs" of the first level, "decomposed", the problems that had
             sub-problems in the order in which they were generated. A reply without a list means
             that its problem is solved as it is; the "dropped" demonstrations
    """
    check_counts("recursive_prompting", least=0, depth=depth)
    pairs_at_top, text, decomposed, fits = [], "", {}, []

    def solver(problem):
        options = {"trigger": trigger, "seed": seed, "max_tokens": max_tokens}
        found = Solver(lm, problem, demonstrations, **options)
        found.fits = fits  # those of all levels
        return found

    def generate(problem):
        prompt = decomposition_prompt(problem, decompositions)
        reply = lm.complete(prompt, stop=STOP, seed=seed, max_tokens=max_tokens)
        # The prompt of least-to-most, for a problem of any level.
        questions = lm.parsed("sub-problems", read_needed(reply.text)) or []
        if questions:
            decomposed[problem.question] = questions
        # Every sub-problem is about the passage of the whole.
        passage = item.context or item.question
        return [Item(question, context=passage) for question in questions]

    def solve(problem, pairs):
        if problem is item:
            return conclude(problem, ())
        return solver(problem).solve(problem.question, item, _as_text(pairs))

    def conclude(problem, pairs):
        nonlocal pairs_at_top, text
        # S_0 of this level; at the top its answer is that of the item.
        solving = solver(problem)
        answer = solving.conclude(problem, _as_text(pairs))
        if problem is item:
            pairs_at_top, text = _as_text(pairs), solving.text
        return lm.parsed("answer of a level", answer)

    answer = recursive_solve(item, generate, solve, conclude, depth)
    value = lm.parsed("answer", (read or reader(item, demonstrations))(answer, item))
    details = {"pairs": pairs_at_top, "decomposed": decomposed, "dropped": dropped_of(fits)}
    return Answer(value, text, details)


def _as_text(pairs):
    return [(problem.question, answer) for problem, answer in pairs]
