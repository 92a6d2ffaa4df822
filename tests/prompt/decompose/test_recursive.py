"""Sub-problems of sub-problems: right answers, the number of calls, and an end."""

import re

import pytest

from tests.prompt.decompose.test_least_to_most import SCRIPT, STUDY
from tests.prompt.functions import FunctionLM
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.decompose.recursive import calls, recursive_prompting, recursive_solve


class Counting:
    """G, S and S_0 of sums: a list of numbers is split into k parts."""

    def __init__(self, branches):
        self.branches, self.count = branches, 0

    def generate(self, numbers):
        self.count += 1
        size = len(numbers) // self.branches
        return [numbers[i : i + size] for i in range(0, len(numbers), size)]

    def solve(self, numbers, pairs):
        self.count += 1
        return sum(numbers)

    def conclude(self, numbers, pairs):
        self.count += 1
        return sum(answer for _, answer in pairs)


@pytest.mark.parametrize("branches, depth", [(2, 0), (2, 1), (2, 3), (3, 2), (4, 2)])
def test_the_number_of_calls_is_that_of_the_recurrence(branches, depth):
    numbers, functions = list(range(branches**4)), Counting(branches)
    answer = recursive_solve(
        numbers, functions.generate, functions.solve, functions.conclude, depth
    )
    assert answer == sum(numbers)
    assert functions.count == calls(branches, depth)
    # The recurrence in closed form: k^d leaves, and two calls at each of (k^d - 1) / (k - 1) nodes.
    k, d = branches, depth
    assert calls(k, d) == k**d + 2 * (k**d - 1) // (k - 1)


def test_calls_of_chains_and_of_nothing():
    assert [calls(1, d) for d in range(4)] == [1, 3, 5, 7]
    assert calls(0, 3) == 2
    for wrong in ((-1, 2), (2, -1)):
        with pytest.raises(ConfigError, match="must be 0 or more"):
            calls(*wrong)


def test_a_problem_that_is_simple_enough_is_solved_as_it_is():
    # Merge sort: a list of one number needs no sub-problems.
    def halves(numbers):
        if len(numbers) < 2:
            return []
        return [numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]]

    def merged(numbers, pairs):
        return sorted(pairs[0][1] + pairs[1][1])

    def itself(numbers, pairs):
        return numbers

    assert recursive_solve([3, 1, 2, 5, 4], halves, itself, merged, 9) == [1, 2, 3, 4, 5]
    assert recursive_solve([3, 1, 2], halves, itself, merged, 1) == [1, 2, 3]
    assert recursive_solve([7], halves, itself, merged, 0) == [7]


def test_a_sub_problem_sees_the_pairs_of_its_own_level():
    seen = []

    def solve(problem, pairs):
        seen.append((problem, pairs))
        return problem.lower()

    def generate(problem):
        return [problem + "A", problem + "B"]

    answer = recursive_solve("", generate, solve, lambda problem, pairs: pairs[1][1], 2)
    assert answer == "bb"
    assert seen == [("AA", ()), ("AB", (("AA", "aa"),)), ("BA", ()), ("BB", (("BA", "ba"),))]


def test_a_problem_that_contains_itself_ends_with_the_depth():
    counted = Counting(1)
    recursive_solve([1, 2], lambda numbers: [numbers], counted.solve, lambda p, pairs: 0, 5)
    assert counted.count == 1  # one leaf, five levels down
    with pytest.raises(ConfigError, match="depth -1 must be 0 or more"):
        recursive_solve([1], counted.generate, counted.solve, counted.conclude, -1)


# With a model.


def test_a_depth_of_1_is_least_to_most():
    one, other = ScriptedLM(SCRIPT), ScriptedLM(SCRIPT)
    expected, answer = least_to_most(one, STUDY), recursive_prompting(other, STUDY, depth=1)
    assert one.prompts == other.prompts
    assert (answer.value, answer.text) == (expected.value, expected.text)
    assert answer.details["pairs"] == expected.details["pairs"]
    assert answer.details["decomposed"] == {STUDY.question: expected.details["sub_problems"]}


def test_a_depth_of_0_is_direct():
    lm = ScriptedLM([(f"{STUDY.context}\nFINAL Q: {STUDY.question}\nA:", " 5.")])
    answer = recursive_prompting(lm, STUDY, depth=0)
    assert answer.value == "5" and answer.details["pairs"] == []


def test_a_sub_problem_is_decomposed_about_the_same_passage():
    def reply(prompt):
        question = prompt.rsplit(" Q: ", 1)[1]
        if "USER" in prompt:
            if "Total?" in question:
                return ' we need to know: "Left?", "Right?"'
            if "Left?" in question:
                assert "USER Q: Two baskets. Left?" in prompt
                return ' we need to know: "Top?"'
            return " nothing is needed"  # no list: solved as it is
        if "FINAL" in prompt:
            answers = re.findall(r"A: ([0-9]+)", prompt)
            return f" The answer is {sum(map(int, answers))}"
        return {"Top?\nA:": " 4", "Right?\nA:": " 3"}[question]

    lm = FunctionLM(reply)
    answer = recursive_prompting(lm, Item("Total?", context="Two baskets."))
    assert answer.value == "7" and answer.text == " The answer is 7"
    assert answer.details["pairs"] == [("Left?", "4"), ("Right?", "3")]
    assert answer.details["decomposed"] == {"Total?": ["Left?", "Right?"], "Left?": ["Top?"]}
    solving = [prompt for prompt in lm.prompts if "USER" not in prompt]
    assert solving == [
        "Two baskets.\nSUB-PROB1 Q: Top?\nA:",
        "Two baskets.\nSUB-PROB1 Q: Top?\nA: 4\nFINAL Q: Left?\nA:",
        "Two baskets.\nSUB-PROB1 Q: Left?\nA: 4\nSUB-PROB2 Q: Right?\nA:",
        "Two baskets.\nSUB-PROB1 Q: Left?\nA: 4\nSUB-PROB2 Q: Right?\nA: 3\nFINAL Q: Total?\nA:",
    ]


def test_a_problem_without_a_passage_is_the_passage_of_its_parts():
    lm = ScriptedLM(
        [
            (None, 'we need to know: "Part?"'),
            (re.compile(r".*USER Q: Whole\? Part\?\nA:", re.DOTALL), "need to know: nothing"),
            ("Whole?\nSUB-PROB1 Q: Part?\nA: Think.", " It is. The answer is 1"),
            ("Whole?\nSUB-PROB1 Q: Part?\nA: 1\nFINAL Q: Whole?\nA: Think.", " The answer is 2"),
        ]
    )
    with lm.tracing() as trace:
        answer = recursive_prompting(lm, Item("Whole?"), trigger="Think.")
    assert answer.value == "2" and lm.finished
    assert [call.parsed[0] for call in trace.calls] == [
        ("sub-problems", ["Part?"]),
        ("sub-problems", []),
        ("sub-answer", "1"),
        ("answer of a level", "2"),
    ]


def test_the_depth_is_2_and_replies_have_128_tokens():
    endless = FunctionLM(lambda prompt: 'need to know: "p?"' if "USER" in prompt else " w" * 300)
    answer = recursive_prompting(endless, Item("Whole?"))
    assert endless.account.calls == calls(1, 2) and len(answer.text.split()) == 128
    long = "w " * 126 + 'need to know: "one?", "two?"'  # cut before the list
    lm = FunctionLM(lambda prompt: long if "USER" in prompt else " 5")
    assert recursive_prompting(lm, STUDY).details["decomposed"] == {}
