"""What a round replies stands in the prompt of the next, word for word."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template import (
    LIBRARY,
    SOLVE_THEN_JUDGE,
    PromptTemplate,
    Rounds,
    solve_then_judge,
)

PROBLEM = "Tom has 7 nuts and eats 3. How many are left?"
SOLUTION = "7 + 3 = 10.\nSo 10 are left. {*problem*}"


def test_a_solution_is_judged_and_solved_again():
    judge = (
        "You will be provided with a math problem, along with a solution. Evaluate the correctness "
        "of this solution, and identify any errors if present. Then, work out your own solution.\n"
        f"Problem: {PROBLEM}\nSolution: {SOLUTION}"
    )
    first = LIBRARY["math"].format(problem=PROBLEM)
    lm = ScriptedLM([(first, f" {SOLUTION}\n"), (judge, "It must be 7 - 3 = 4.")])
    with lm.tracing() as trace:
        answer = solve_then_judge(lm, Item(PROBLEM, "4"))
    assert answer.value == "4" and answer.text == "It must be 7 - 3 = 4."
    assert answer.details == {"solution": SOLUTION, "judgment": "It must be 7 - 3 = 4."}
    assert lm.finished and trace.calls[1].parsed == [("answer", "4")]


def test_no_number_is_no_answer():
    lm = ScriptedLM([(None, "10"), (None, "It is wrong.")])
    assert solve_then_judge(lm, Item(PROBLEM)).value is None


def test_a_round_sees_all_rounds_before_it():
    rounds = Rounds(
        [
            ("a", PromptTemplate("{*x*}?")),
            ("b", PromptTemplate("{*a*} and {*y*}")),
            ("c", PromptTemplate("{*x*} {*a*} {*b*}")),
        ]
    )
    assert rounds.slots == ("x", "y")
    lm = ScriptedLM([("1?", "A"), ("A and 2", "B"), ("1 A B", "C")])
    assert rounds.run(lm, x="1", y="2") == {"a": "A", "b": "B", "c": "C"}
    with pytest.raises(DataError, match="no value for y"):
        rounds.run(ScriptedLM([(None, "A")]), x="1")
    with pytest.raises(DataError, match="slot 'z'; needed from outside: x, y"):
        rounds.run(ScriptedLM([]), x="1", y="2", z="3")
    with pytest.raises(DataError, match="slot 'z'; needed from outside: none"):
        Rounds([("a", PromptTemplate("Go."))]).run(ScriptedLM([]), z="3")
    assert SOLVE_THEN_JUDGE.slots == ("problem",)


def test_each_round_has_a_seed_of_its_own():
    class Seeds(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seen.append((seed, max_tokens))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    seen = []
    solve_then_judge(Seeds([(None, "1"), (None, "2")]), Item(PROBLEM), seed=5, max_tokens=9)
    assert seen == [(5, 9), (6, 9)]


def test_rounds_have_names_of_their_own():
    for rounds in ([], [("a", LIBRARY["math"]), ("a", LIBRARY["math"])]):
        with pytest.raises(ConfigError, match="each with a name of its own"):
            Rounds(rounds)
