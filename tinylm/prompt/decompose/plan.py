"""Problem decomposition: sub-problems are generated, and solved one after another   (book section
3.2.2, eqs. 3.2-3.5).

    {p_1, .., p_n} = G(p_0)                    all at first         (3.2)   up_front
    p_i = G_i(p_0, {p_<i, a_<i})               each when needed     (3.5)   a function of the pairs
    a_i = S_i(p_i, {p_0, p_<i, a_<i})                               (3.3)
    a_0 = S_0(p_0, p_<=n, a_<=n)                                    (3.4)

G, S_i and S_0 are functions: a model with a prompt, a tool, or a solver that decomposes its problem
in turn. The loop is the same for all. Read next: least_to_most.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError

if TYPE_CHECKING:
    from tinylm.data.read.items import Item


@dataclass(frozen=True)
class Context:
    """What one function was given.

    role     "G", "S" or "S0"
    problem  p_i for S; p_0 for the others
    pairs    tuple of (p_j, a_j) so far
    """

    role: str
    problem: Any
    pairs: tuple


@dataclass
class Plan:
    """A decomposition.

    problem   p_0
    pairs     [(p_1, a_1), .., (p_n, a_n)]
    answer    a_0; None if the solver has none
    contexts  list of Context in the order of the calls
    complete  False if sub-problems were still coming after the most that are allowed
    """

    problem: Any
    pairs: list = field(default_factory=list)
    answer: Any = None
    contexts: list = field(default_factory=list)
    complete: bool = True


def decompose(
    problem: "str | Sequence[int] | Item",
    generate: Callable,
    solve: Callable,
    conclude: Callable,
    most: int = 16,
) -> Plan:
    """Solve a problem by its sub-problems.

    problem   p_0
    generate  G_i: (p_0, pairs) -> the next sub-problem, or None: there is no other
    solve     S_i: (p_i, p_0, pairs) -> a_i
    conclude  S_0: (p_0, pairs) -> a_0
    most      sub-problems that are solved at most
    returns   Plan
    """
    if most < 0:
        raise ConfigError(f"decompose: most {most} must be 0 or more")
    plan = Plan(problem)
    while True:
        pairs = tuple(plan.pairs)
        plan.contexts.append(Context("G", problem, pairs))
        # p_i = G_i(p_0, {p_<i, a_<i})   (3.5)
        following = generate(problem, pairs)
        if following is None:
            break
        # G_i was called once more than S_i: so it is known whether anything was left.
        if len(pairs) == most:
            plan.complete = False
            break
        # a_i = S_i(p_i, {p_0, p_<i, a_<i})   (3.3)
        plan.contexts.append(Context("S", following, pairs))
        plan.pairs.append((following, solve(following, problem, pairs)))
    pairs = tuple(plan.pairs)
    # a_0 = S_0(p_0, p_<=n, a_<=n)   (3.4)
    plan.contexts.append(Context("S0", problem, pairs))
    plan.answer = conclude(problem, pairs)
    return plan


def up_front(generate: Callable) -> Callable:
    """G_i of a function that gives all sub-problems at once: eq. (3.2) as a case of (3.5).

    generate  G: p_0 -> list of sub-problems; it is called once, before the first one is solved
    returns   function(p_0, pairs) for one use of `decompose`
    """
    problems = None

    def following(problem, pairs):
        nonlocal problems
        # Made when no answer is known yet: the difference between (3.2) and (3.5)
        if problems is None:
            problems = list(generate(problem))
        if len(pairs) == len(problems):
            return None
        return problems[len(pairs)]

    return following
