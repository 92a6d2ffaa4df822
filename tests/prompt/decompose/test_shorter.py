"""Long questions by short ones: exact with an exact solver, and no guess without an answer."""

import pytest

from tests.prompt.functions import FunctionLM
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted import TASKS
from tinylm.data.synthetic.prompted.dyck import dyck_items
from tinylm.data.synthetic.prompted.last_letters import last_letter_items
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.shorter import (
    bracket_ends,
    exact,
    in_parts,
    letter_parts,
    opened,
    plan_of,
)
from tinylm.prompt.in_context.few_shot import few_shot

NAME = Item(
    'Take the last letters of the words in "Ada Wei Zoe" and concatenate them.',
    "aie",
    task="last_letters",
)
BRACKETS = Item(
    "Complete the sequence, so that all brackets are closed in the right order. Input: ( [ ] { { }",
    "} )",
    task="dyck",
)
CAPITAL = Item(
    "What is the capital of the country where Ada was born?",
    "Dorham",
    context="Ada was born in Istria. The capital of Istria is Dorham.",
    task="multi_hop",
)


def asked(found):
    """The ends of the questions of the parts, and their answers."""
    return [(part.question.split("Input: ")[-1], answer) for part, answer in found.details["pairs"]]


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_exact_solver_of_short_questions_is_exact_at_any_length(n, size):
    items = last_letter_items(10, seed=n, words=n) + dyck_items(10, seed=n, length=n)
    if n <= 4:
        items += multi_hop_items(10, seed=n, hops=n)
    lm = ScriptedLM([])
    for item in items:
        found = in_parts(lm, item, solve=exact, size=size)
        assert found.value == item.answer
        for part, answer in found.details["pairs"]:
            assert part.answer is None and not part.rationale
            assert answer == TASKS[item.task][1](part)
    assert lm.account.calls == 0


def test_a_name_is_asked_in_pieces():
    found = in_parts(ScriptedLM([]), NAME, solve=exact)
    assert found.value == "aie" and [answer for _, answer in asked(found)] == ["ai", "e"]
    assert [part.question.split('"')[1] for part in letter_parts(NAME, 2)] == ["Ada Wei", "Zoe"]
    assert [part.question.split('"')[1] for part in letter_parts(NAME, 1)] == ["Ada", "Wei", "Zoe"]
    assert letter_parts(NAME, 3)[0].question == NAME.question


def test_what_is_open_begins_the_next_sequence():
    found = in_parts(ScriptedLM([]), BRACKETS, solve=exact)
    assert asked(found) == [("( [", "] )"), ("( [ ] {", "} )"), ("( { { }", "} )")]
    assert found.value == "} )"


def test_a_part_ends_where_a_bracket_is_open():
    assert bracket_ends(list("([]{{}"), 2) == [2, 4, 6]
    assert bracket_ends(list("([]{{}"), 1) == [1, 2, 3, 4, 5, 6]
    # After "()" nothing is open: the part goes on.
    assert bracket_ends(list("()[]{"), 2) == [3, 5]
    assert bracket_ends(list("()[]{"), 1) == [1, 3, 5]
    # Fewer than a part are left.
    assert bracket_ends(list("([{"), 2) == [2, 3]
    assert bracket_ends(list("("), 2) == [1]


def test_a_completion_is_what_is_open_from_its_end():
    assert opened("] )") == "( ["
    assert opened("])") == "( ["
    assert opened("} > ]") == "[ < {"
    with pytest.raises(DataError, match=r"'\(', which closes nothing"):
        opened("] (")


def test_the_second_hop_has_the_first_answer_in_its_words():
    found = in_parts(ScriptedLM([]), CAPITAL, solve=exact)
    assert asked(found) == [
        ("What is the country where Ada was born?", "Istria"),
        ("What is the capital of Istria?", "Dorham"),
    ]
    assert all(part.context == CAPITAL.context for part, _ in found.details["pairs"])


def test_a_method_solves_every_part_with_its_options():
    prompts = []

    def reply(prompt):
        prompts.append(prompt)
        return f" {prompt.count('Zoe')}"

    demo = Item("1 + 1?", "2")
    lm = FunctionLM(reply)
    found = in_parts(lm, NAME, [demo], solve=few_shot, max_tokens=8)
    assert found.value == "01" and found.text == " 1"
    assert len(prompts) == lm.account.calls == 2
    assert all(prompt.startswith("Q: 1 + 1?\nA: 2\n\nQ: Take") for prompt in prompts)
    # Directly, if nothing else is given, and two words at a time.
    in_parts(lm, NAME, [demo])
    assert prompts[2].startswith('Q: Take the last letters of the words in "Ada Wei" and')
    given = []

    def way(lm, item, demonstrations=(), *, seed=0, depth=0):
        given.append((seed, depth))
        return exact(lm, item)

    in_parts(lm, NAME, solve=way, seed=5, depth=2, size=1)
    assert given == [(5, 2)] * 3


def test_without_an_answer_nothing_is_guessed():
    # Nothing is written; then "(", which closes no bracket, so the plan cannot go on.
    for reply, answered in (("", 0), (" (", 1)):
        found = in_parts(FunctionLM(lambda prompt, reply=reply: reply), BRACKETS)
        assert found.value is None and len(found.details["pairs"]) == answered
    assert in_parts(FunctionLM(lambda prompt: ""), NAME).value is None
    assert in_parts(FunctionLM(lambda prompt: " ]"), BRACKETS).details["pairs"][0][1] == "]"


def test_other_tasks_and_sizes():
    with pytest.raises(ConfigError, match="no plan for 'scan'"):
        plan_of(Item("jump", task="scan"), 1)
    with pytest.raises(ConfigError, match="size.0 must be 1 or more"):
        in_parts(ScriptedLM([]), NAME, size=0)
