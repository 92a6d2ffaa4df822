"""Self-Instruct: prompts to the byte, replies read, and the loop around them."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.synthesis.diversity import text_overlap
from tinylm.align.synthesis.self_instruct import (
    example_prompt,
    generate_example,
    generate_instruction,
    instruction_prompt,
    read_example,
    self_instruct,
)
from tinylm.data.read.instructions import Instruction
from tinylm.prompt import ScriptedLM, TextLM
from tinylm.prompt.protocol.completion import Completion

SEEDS = [
    Instruction("Name a color of the sky.", "Blue."),
    Instruction("Sort these numbers from small to large.", "1 2 3", "3 1 2"),
    Instruction("Translate this word into French.", "chat", "cat"),
    Instruction("Tell the opposite of a given word.", "cold", "hot"),
]


def test_the_books_prompt_for_a_new_instruction():
    texts = ["{instruction1}", "{instruction2}", "{instruction3}", "{instruction4}"]
    assert f"{instruction_prompt(texts)} _____" == (
        "You are given several different instructions for performing some tasks. "
        "Please generate an instruction based on these.\n"
        "Task 1: {instruction1}\n"
        "Task 2: {instruction2}\n"
        "Task 3: {instruction3}\n"
        "Task 4: {instruction4}\n"
        "New Task: _____"
    )


def test_the_books_prompt_for_a_new_example():
    shown = [
        Instruction(f"{{instruction{k}}}", f"{{output{k}}}", f"{{user-input{k}}}") for k in (1, 2)
    ]
    assert example_prompt(shown, "{new-instruction}") == (
        "You are given a set of input-output examples, each composed of an instruction, a user "
        "input and an output. Please generate a new example based on these.\n"
        "Example 1: {instruction1}\n"
        "Input: {user-input1}\n"
        "Output: {output1}\n"
        "Example 2: {instruction2}\n"
        "Input: {user-input2}\n"
        "Output: {output2}\n"
        "New Example: {new-instruction}"
    )


def test_an_empty_input_is_marked_and_read_back_as_empty():
    assert "\nInput: <noinput>\nOutput: Blue.\n" in example_prompt(SEEDS[:1], "Go.")
    found = read_example("Name a color.", "Input: <noinput>\nOutput: Red.")
    assert (found.input, found.output, found.task) == ("", "Red.", "self-instruct")


def test_the_new_instruction_is_the_first_line_of_the_reply():
    prompt = instruction_prompt([one.instruction for one in SEEDS[:2]])
    for reply, expected in [
        (" Count the words.\nTask 5: more", "Count the words."),
        ("\n\nCount the words.", "Count the words."),
        ("New Task: Count the words.", "Count the words."),
        ("  \n", None),
    ]:
        lm = ScriptedLM([(prompt, reply)])
        assert generate_instruction(lm, SEEDS[:2]) == expected


def test_the_new_example_is_read_from_its_fields():
    prompt = f"{example_prompt(SEEDS[1:3], 'Count the words.')}\nInput:"
    lm = ScriptedLM([(prompt, " a b\nOutput: 2\nExample 4: more")])
    with lm.tracing() as trace:
        found = generate_example(lm, SEEDS[1:3], "Count the words.")
    assert found == Instruction("Count the words.", "2", "a b", task="self-instruct")
    assert trace.calls[0].parsed == [("example", found)]
    for odd in (" a b", " a\nOutput: 2\nOutput: 3", "\nNew Example: x"):
        assert generate_example(ScriptedLM([(None, odd)]), SEEDS[:1], "Count.") is None


def test_an_output_may_have_several_lines():
    assert read_example("a", "Input: x\ny\nOutput: 1\n\n2\n").input == "x\ny"
    assert read_example("a", "Input: x\nOutput: 1\n\n2\n").output == "1\n\n2"
    assert read_example("a", "text\nInput: x\nOutput: 1") is None


OPTIONS = {"n_human": 3, "n_model": 1}


def script(*replies):
    return ScriptedLM([(None, reply) for reply in replies])


def test_the_loop_adds_what_is_new_and_counts_what_is_not():
    lm = script(
        *("Count the words of a line.", " a b\nOutput: 2"),
        *("Count the words of a line, please.", " a\nOutput: 1"),  # like the first
        "",  # no instruction, so no example is generated
        *("Give the capital of a country.", " no output here"),
        *("Draw the map of a country.", " Spain\nOutput: a map"),
        *("Give the plural of this noun.", " foot\nOutput: feet"),
    )
    found = self_instruct(lm, SEEDS, 6, **OPTIONS)
    assert lm.finished
    assert [(one.instruction, one.input, one.output) for one in found.samples] == [
        ("Count the words of a line.", "a b", "2"),
        ("Give the plural of this noun.", "foot", "feet"),
    ]
    assert found.rejected == {
        "too similar": 1,
        "no instruction": 1,
        "no example": 1,
        "needs other media": 1,
    }
    assert [task.step for task in found.pool.tasks] == [0] * 4 + [1, 6]
    assert [task.sample for task in found.pool.written_by(human=True)] == SEEDS
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.pool = None


def test_four_instructions_are_shown_and_two_of_them_whole():
    lm = script("Count the words of a line.", " a b\nOutput: 2", "")
    self_instruct(lm, SEEDS, 2, **OPTIONS)
    first, example, second = lm.prompts
    shown = [line.split(": ", 1)[1] for line in first.split("\n")[1:-1]]
    assert sorted(shown) == sorted(one.instruction for one in SEEDS)
    lines = example.split("\n")
    assert lines[1] == f"Example 1: {shown[0]}" and lines[4] == f"Example 2: {shown[1]}"
    assert lines[-2:] == ["New Example: Count the words of a line.", "Input:"]
    assert "Count the words of a line." in second  # the model's own task is shown too


def test_complaints_and_the_limit_are_a_choice():
    replies = ["Name a color.", " <noinput>\nOutput: Red."] * 2
    # 3 words, which the usual filters find too short; ROUGE-L with seed 1: 2 * 3 / (6 + 3)
    found = self_instruct(script(*replies), SEEDS, 2, **OPTIONS)
    assert found.rejected == {"instruction too short": 2}
    found = self_instruct(script(*replies), SEEDS, 2, complaints=(), **OPTIONS)
    assert len(found.samples) == 1 and found.rejected == {"too similar": 1}
    found = self_instruct(
        script(*replies), SEEDS, 2, complaints=(), rouge_l_max=0.6, n_examples=1, **OPTIONS
    )
    assert found.rejected == {"too similar": 2}


class Grammar(TextLM):
    """A model of a formal grammar of instructions: verb, number, noun, drawn by the seed."""

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        self.sampling = sampling
        rng = np.random.default_rng(seed)
        noun = rng.choice(["apples", "birds", "clouds", "doors", "eggs"])
        text = f" {rng.choice(['Count', 'Paint', 'Move'])} {rng.integers(9)} {noun} {rng.choice(5)}"
        if begins[0]:
            text = f" {noun}\nOutput: {rng.integers(9)}"
        return [Completion(text, [], np.zeros(0), "end")]


def test_no_two_generated_tasks_are_alike_and_the_seed_decides_all():
    runs = [self_instruct(Grammar(), SEEDS, 40, seed=s, **OPTIONS) for s in (0, 0, 1)]
    found, again, other = runs
    texts = found.pool.instructions
    assert 8 < len(texts) < 40 and found.rejected["too similar"] > 5
    assert len(texts) - len(SEEDS) + sum(found.rejected.values()) == 40
    overlaps = [text_overlap(a, b) for i, a in enumerate(texts) for b in texts[:i]]
    assert max(overlaps) < 0.7
    assert found.samples == again.samples != other.samples


def test_the_model_samples_with_the_papers_temperature():
    lm = Grammar()
    self_instruct(lm, SEEDS, 1, **OPTIONS)
    assert lm.sampling == {"temperature": 0.7}
    self_instruct(lm, SEEDS, 1, temperature=0.2, top_p=0.5, **OPTIONS)
    assert lm.sampling == {"temperature": 0.2, "top_p": 0.5}


def test_eight_instructions_are_shown_by_default():
    eight = [Instruction(f"seed{k} is{k} here{k} now{k}", "yes") for k in range(8)]
    lm = script("Count the words of a line.", " a b\nOutput: 2")
    found = self_instruct(lm, eight, 1)
    assert lm.prompts[0].count("\nTask ") == 8 and lm.prompts[1].count("\nExample ") == 2
    assert len(found.samples) == 1
