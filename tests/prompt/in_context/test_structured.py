"""One field of a prompt is optimized and the others stay to the byte."""

from dataclasses import FrozenInstanceError

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.structured import (
    StructuredPrompt,
    optimize_field,
    optimize_fields,
    validation_score,
)

PLUS, TIMES = Item("2 + 3", "5"), Item("2 x 3", "6")
PROMPT = StructuredPrompt("Compute.", (PLUS,), Item("4 + 4"))
VALUES = {
    "instruction": ["Add up the numbers.", "Go."],
    "demonstrations": [(PLUS, TIMES), ()],
    "user_input": [Item("1 + 1"), Item("What is 1 + 1?")],
}


def length(prompt):
    return len(prompt.text)


def test_the_fields_make_the_prompt():
    assert PROMPT.text == "Compute.\n\nQ: 2 + 3\nA: 5\n\nQ: 4 + 4\nA:"
    assert PROMPT.written("instruction") == "Compute."
    assert PROMPT.written("demonstrations") == ["Q: 2 + 3\nA: 5"]
    assert PROMPT.written("user_input") == "Q: 4 + 4\nA:"
    form = FewShotPrompt("not used", "In", "Out")
    other = StructuredPrompt("Compute.", (), Item("x"), form)
    assert other.text == "Compute.\n\nIn: x\nOut:" and other.prompt.instruction == "Compute."


@pytest.mark.parametrize("name", VALUES)
def test_optimizing_one_field_leaves_the_others_byte_identical(name):
    found = optimize_field(PROMPT, name, VALUES[name], length)
    assert found.prompt.written(name) != PROMPT.written(name)
    for other in set(VALUES) - {name}:
        assert found.prompt.written(other) == PROMPT.written(other)
    texts = [PROMPT.with_field(name, value).text for value in VALUES[name]]
    assert found.prompt.text == max([PROMPT.text, *texts], key=len)
    assert found.score == len(found.prompt.text) and found.evaluations == 3
    assert found.trials[1] == (name, VALUES[name][0], len(texts[0]))


def test_the_present_value_wins_against_equals():
    found = optimize_field(PROMPT, "instruction", ["Another."], lambda prompt: 1.0)
    assert found.prompt == PROMPT and [value for _, value, _ in found.trials] == [
        "Compute.",
        "Another.",
    ]


def test_fields_are_optimized_in_turn_and_never_get_worse():
    seen = []

    def propose_demonstrations(prompt):
        seen.append(prompt.instruction)
        return [prompt.demonstrations + (TIMES,)]

    proposals = {
        "instruction": lambda prompt: VALUES["instruction"],
        "demonstrations": propose_demonstrations,
    }
    found = optimize_fields(PROMPT, proposals, length, rounds=2)
    assert seen == ["Add up the numbers."] * 2  # the best instruction so far
    assert found.prompt.demonstrations == (PLUS, TIMES, TIMES)
    assert found.prompt.user_input == PROMPT.user_input
    assert found.evaluations == len(found.trials) == 2 * (3 + 2)
    assert found.score == length(found.prompt) > length(PROMPT)
    assert optimize_fields(PROMPT, proposals, length).evaluations == 5
    with pytest.raises(ConfigError, match="no field to optimize"):
        optimize_fields(PROMPT, {}, length)


def test_a_prompt_is_scored_by_the_items_it_answers_rightly():
    lm = ScriptedLM({f"Go.\n\nQ: 2 + 3\nA: 5\n\nQ: {n} + 1\nA:": " 3" for n in (2, 3)})
    score = validation_score(lm, [Item("2 + 1", "3"), Item("3 + 1", "4")])
    assert score(PROMPT.with_field("instruction", "Go.")) == 0.5
    seen = []

    def method(lm, item, demonstrations, prompt, seed):
        seen.append((item.question, demonstrations, prompt.instruction, seed))
        return Answer("3")

    assert validation_score(None, [Item("2 + 1", "3")], method, seed=4)(PROMPT) == 1
    assert seen == [("2 + 1", (PLUS,), "Compute.", 4)]


def test_a_prompt_is_not_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        PROMPT.instruction = "Other."


def test_a_field_that_is_not_there_is_refused():
    for act in (
        lambda: PROMPT.written("examples"),
        lambda: PROMPT.with_field("form", None),
        lambda: optimize_field(PROMPT, "query", [], length),
    ):
        with pytest.raises(ConfigError, match="it has instruction, demonstrations, user_input"):
            act()
