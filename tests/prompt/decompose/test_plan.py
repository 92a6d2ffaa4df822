"""Sub-problems are generated and solved in one loop; each function gets what its formula has."""

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt.decompose.plan import Context, decompose, up_front


def listed(problem, pairs):
    """G_i that knows two sub-problems."""
    return ["p1", "p2", None][len(pairs)]


def test_every_function_gets_the_context_of_its_formula():
    given = []

    def solve(problem, whole, pairs):
        given.append(("S", problem, whole, pairs))
        return problem.replace("p", "a")

    def conclude(whole, pairs):
        given.append(("S0", whole, pairs))
        return "a0"

    plan = decompose("p0", listed, solve, conclude)
    one, two = (("p1", "a1"),), (("p1", "a1"), ("p2", "a2"))
    assert given == [("S", "p1", "p0", ()), ("S", "p2", "p0", one), ("S0", "p0", two)]
    assert plan.contexts == [
        Context("G", "p0", ()),
        Context("S", "p1", ()),
        Context("G", "p0", one),
        Context("S", "p2", one),
        Context("G", "p0", two),
        Context("S0", "p0", two),
    ]
    assert (plan.problem, plan.pairs, plan.answer) == ("p0", list(two), "a0") and plan.complete


def test_a_list_is_made_once_before_anything_is_solved():
    order = []

    def generate(problem):
        order.append("G")
        return ["x", "y", "z"]

    def solve(problem, whole, pairs):
        order.append(problem)
        return len(pairs)

    plan = decompose(
        "p0", up_front(generate), solve, lambda whole, pairs: sum(dict(pairs).values())
    )
    assert order == ["G", "x", "y", "z"]
    assert plan.pairs == [("x", 0), ("y", 1), ("z", 2)] and plan.answer == 3


def test_a_generator_that_does_not_look_at_answers_is_a_list():
    def solve(problem, whole, pairs):
        return f"{problem} after {len(pairs)}"

    one = decompose("p0", listed, solve, lambda whole, pairs: pairs)
    other = decompose("p0", up_front(lambda whole: ["p1", "p2"]), solve, lambda whole, pairs: pairs)
    assert one.pairs == other.pairs and one.answer == other.answer
    assert one.contexts == other.contexts


def test_the_next_sub_problem_may_need_the_last_answer():
    # Where was he born? -> Germany -> capital of Germany? (book section 3.2.2)
    facts = {"birth of Einstein": "Germany", "capital of Germany": "Berlin"}

    def following(problem, pairs):
        if not pairs:
            return "birth of Einstein"
        if len(pairs) == 1:
            return f"capital of {pairs[0][1]}"
        return None

    plan = decompose(
        "capital of the country of Einstein",
        following,
        lambda problem, whole, pairs: facts[problem],
        lambda whole, pairs: pairs[-1][1],
    )
    assert plan.answer == "Berlin" and plan.pairs[1][0] == "capital of Germany"


def test_without_sub_problems_the_problem_is_answered_directly():
    plan = decompose("p0", lambda whole, pairs: None, None, lambda whole, pairs: f"{whole}!")
    assert plan.answer == "p0!" and plan.pairs == [] and plan.complete
    assert [context.role for context in plan.contexts] == ["G", "S0"]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_plan_without_end_is_cut_and_not_complete(most):
    def endless(whole, pairs):
        return f"p{len(pairs)}"

    plan = decompose("p0", endless, lambda *given: "a", lambda whole, pairs: len(pairs), most)
    assert plan.answer == most and not plan.complete


def test_sixteen_sub_problems_are_solved_at_most_unless_it_is_said_otherwise():
    plan = decompose("p0", lambda *given: "p", lambda *given: "a", lambda whole, pairs: len(pairs))
    assert plan.answer == 16
    with pytest.raises(ConfigError, match="most -1 must be 0 or more"):
        decompose("p0", listed, None, None, most=-1)


def test_exactly_the_most_are_complete_if_nothing_is_left():
    plan = decompose("p0", listed, lambda *given: "a", lambda *given: "a0", most=2)
    assert plan.complete and len(plan.pairs) == 2
