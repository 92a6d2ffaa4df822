"""Evol-Instruct: operations, elimination, and rounds."""

import dataclasses

import pytest

from tinylm.align.synthesis.evolve import (
    OPERATIONS,
    elimination,
    evolution,
    evolution_prompt,
    evolve,
)
from tinylm.data.read.instructions import Instruction
from tinylm.prompt import ScriptedLM

SORT = Instruction("Sort the words.", "a b", "b a", task="sort")
LONGER = "Sort the words and write them in capital letters."


def test_every_operation_has_a_prompt_of_its_own_with_the_instruction_in_it():
    prompts = {evolution_prompt("Sort the words.", name) for name in OPERATIONS}
    assert len(prompts) == len(OPERATIONS) == 5
    assert all(
        prompt.endswith("\nGiven Instruction: Sort the words.\nRewritten Instruction:")
        for prompt in prompts
    )
    assert "more specific" in evolution_prompt("x", "concretize")
    assert "inspired" in evolution_prompt("x", "breadth")


@pytest.mark.parametrize(
    "reply, expected",
    [(f" {LONGER}", LONGER), (f"Rewritten Instruction: {LONGER}", LONGER), (" \n", None)],
)
def test_the_reply_is_the_new_instruction(reply, expected):
    lm = ScriptedLM([(evolution_prompt("Sort the words.", "deepen"), reply)])
    assert evolve(lm, "Sort the words.", "deepen") == expected


def evolved(instruction, output):
    return Instruction(instruction, output, "b a", task="sort")


@pytest.mark.parametrize(
    "after, reason",
    [
        (evolved("Sort the words!", "a b"), "no gain"),
        (evolved(LONGER, "Sorry, I cannot do that."), "refusal"),
        (evolved(LONGER, "sorry " + "word " * 78), "refusal"),  # 79 words
        (evolved(LONGER, "sorry " + "word " * 79), None),  # 80 words
        (evolved(LONGER, "It is this: ..."), "no content"),
        (evolved(LONGER, ""), "no content"),
        (evolved("The given instruction, but with capitals.", "A B"), "words of prompt"),
        (evolved("Rewritten Instruction - sort in capitals", "A B"), "words of prompt"),
        (evolved(LONGER, "A B"), None),
    ],
)
def test_failed_evolutions_are_eliminated(after, reason):
    assert elimination(SORT, after) == reason


def test_the_limit_of_no_gain_is_included():
    before, after = Instruction("a b c d", "x"), Instruction("a b c e", "x")  # ROUGE-L .75
    assert elimination(before, after, same=0.75) == "no gain"
    assert elimination(before, after, same=0.76) is None
    # 19 of 20 words in common: .95, the limit unless given
    words = " ".join(f"w{k}" for k in range(19))
    pair = Instruction(f"{words} x", "x"), Instruction(f"{words} y", "x")
    assert elimination(*pair) == "no gain"


def test_a_round_evolves_the_newest_and_keeps_what_failed_for_the_next():
    other = Instruction("Add the numbers.", "3", "1 2")
    lm = ScriptedLM(
        [
            *((None, LONGER), (f"{LONGER}\nb a", " A B ")),
            *((None, "Add the numbers."), ("Add the numbers.\n1 2", "3")),  # no gain
            *((None, f"{LONGER} Then stop, and say why."), (None, "A B")),
            (None, ""),
        ]
    )
    found = evolution(lm, [SORT, other], 2)
    assert lm.finished
    first, second = found.generations[1:]
    assert first == [Instruction(LONGER, "A B", "b a", task="sort")]
    assert [one.instruction for one in second] == [f"{LONGER} Then stop, and say why."]
    assert found.eliminated == {"no gain": 1, "no instruction": 1}
    assert found.samples == [SORT, other, *first, *second]
    assert f"Given Instruction: {LONGER}\n" in lm.prompts[4]
    assert "Given Instruction: Add the numbers.\n" in lm.prompts[6]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.generations = []


def test_operations_are_drawn_of_those_given_and_answers_may_come_from_an_oracle():
    replies = [(None, f"Sort the words {k} times and more") for k in "abcd"]
    lm = ScriptedLM(replies)
    found = evolution(lm, [SORT] * 4, 1, operations=("breadth",), answer=lambda one: one.input)
    assert [one.output for one in found.generations[1]] == ["b a"] * 4
    assert all(prompt.startswith(OPERATIONS["breadth"]) for prompt in lm.prompts)
    lm = ScriptedLM([(None, f"Go {k} {k} {k} {k}") for k in "abcdefghij"])
    evolution(lm, [SORT] * 10, 1, answer=lambda one: "x", seed=1)
    assert len({prompt.split("\n")[0] for prompt in lm.prompts}) > 2
