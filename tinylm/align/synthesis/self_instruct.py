"""Self-Instruct: a model writes instructions, inputs and outputs to be tuned on   (book section
4.2.2.2, Fig. 4.4; Wang et al. 2023).

    pool of tasks -> some are shown -> the model writes a new instruction
         ^                          -> the model completes it: input and output
         +---- filters <------------+

A model that follows instructions a little makes the data that teach it to follow them well. Read
first: pool.py; read next: output_first.py, for tasks with few different outputs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.synthesis.filters import FILTERS
from tinylm.align.synthesis.pool import TaskPool
from tinylm.data.read.instructions import Instruction
from tinylm.data.read.items import Item
from tinylm.prompt.optimize.proposals import draw_seed
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import parse_fields, read_reply, render_fields

NEW_INSTRUCTION = (
    "You are given several different instructions for performing some tasks. "
    "Please generate an instruction based on these."
)
NEW_EXAMPLE = (
    "You are given a set of input-output examples, each composed of an instruction, a user input "
    "and an output. Please generate a new example based on these."
)
NO_INPUT = "<noinput>"  # the paper's mark of an empty input


def instruction_prompt(instructions: Sequence[str]) -> str:
    """The prompt for a new instruction, up to the blank   (book section 4.2.2.2)

    You are given several different instructions for .. based on these.
    Task 1: ..
    Task 2: ..
    New Task:
    """
    tasks = [(f"Task {k}", text) for k, text in enumerate(instructions, 1)]
    return render_fields([("", NEW_INSTRUCTION), *tasks, ("New Task", None)])


def example_prompt(samples: Sequence[Instruction], instruction: str) -> str:
    """The prompt for the input and the output of a new instruction   (book section 4.2.2.2)

        You are given a set of input-output examples, .. based on these.
        Example 1: ..
        Input: ..
        Output: ..
        New Example: ..

    samples  list of Instruction;  the model goes on with the line "Input: .."
    """
    fields = [("", NEW_EXAMPLE)]
    for k, sample in enumerate(samples, 1):
        given = sample.input or NO_INPUT
        fields += [(f"Example {k}", sample.instruction), ("Input", given)]
        fields.append(("Output", sample.output))
    return render_fields([*fields, ("New Example", instruction)])


def generate_instruction(
    lm: TextLM,
    demonstrations: Sequence[Item],
    *,
    seed: int = 0,
    max_tokens: int = 64,
    **sampling: Any,
) -> str | None:
    """A new instruction: str, or None if the reply is empty.

    lm              TextLM
    demonstrations  list of Instruction
    """
    prompt = instruction_prompt([sample.instruction for sample in demonstrations])
    reply = lm.complete(prompt, seed=seed, max_tokens=max_tokens, **sampling)
    # An instruction is one line; a chat model may begin with a blank one, or repeat "New Task:".
    written = read_reply(reply.text, "New Task", ()).split("\n")[0].strip()
    return lm.parsed("instruction", written or None)


def generate_example(
    lm: TextLM,
    demonstrations: Sequence[Item],
    instruction: str,
    *,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Instruction:
    """The input and the output of an instruction: Instruction, or None if they cannot be read.

    demonstrations  list of Instruction
    """
    prompt = example_prompt(demonstrations, instruction)
    stop = "\nExample ", "\nNew Example"
    begin = "\nInput:"
    reply = lm.complete(
        prompt, begin=begin, seed=seed, max_tokens=max_tokens, stop=stop, **sampling
    )
    return lm.parsed("example", read_example(instruction, f"Input:{reply.text}"))


def read_example(instruction: str, text: str) -> Instruction:
    """The Instruction of a text "Input: ..\\nOutput: ..", or None if it is not of this form."""
    fields = parse_fields(text.strip("\n"), ["Input", "Output"])
    if [name for name, _ in fields] != ["Input", "Output"]:
        return None
    given, output = (str(content or "").strip() for _, content in fields)
    if given == NO_INPUT:
        given = ""
    return Instruction(instruction, output, given, task="self-instruct")


@dataclass(frozen=True)
class SelfInstructed:
    """What a run made.

    pool      TaskPool: seeds, and the tasks that were added
    rejected  Counter of the reasons why generated ones were not
    """

    pool: TaskPool
    rejected: Counter

    @property
    def samples(self) -> list[Instruction]:
        """The generated samples that stayed, in order: list of Instruction."""
        return [task.sample for task in self.pool.written_by(human=False)]


def self_instruct(
    lm: TextLM,
    seeds: Sequence[Instruction],
    steps: int,
    *,
    n_human: int = 6,
    n_model: int = 2,
    n_examples: int = 2,
    rouge_l_max: float = 0.7,
    complaints: tuple[Callable, ...] = FILTERS,
    seed: int = 0,
    **sampling: Any,
) -> SelfInstructed:
    """Generate samples for fine-tuning, one in each step at most   (Wang et al. 2023)

    lm               TextLM
    seeds            list of Instruction that people wrote, n_human + n_model at least
    n_human, n_model instructions shown for a new one, by people and by the model
    n_examples       of these shown whole, for the new input and output
    rouge_l_max      similarity with an instruction of the pool that excludes a new one
    complaints       functions sample -> the reason to drop it, or None
    sampling         of TextLM.complete, temperature 0.7 unless given (the paper's)
    returns          SelfInstructed
    """
    rng, pool, rejected = np.random.default_rng(seed), TaskPool(seeds, rouge_l_max), Counter()
    sampling = {"temperature": 0.7, **sampling}
    for step in range(1, steps + 1):
        shown = pool.sample_demonstrations(rng, n_human, n_model)
        sample, reason = None, "no instruction"
        instruction = generate_instruction(lm, shown, seed=draw_seed(rng), **sampling)
        if instruction is not None:
            some, reason = shown[:n_examples], "no example"
            sample = generate_example(lm, some, instruction, seed=draw_seed(rng), **sampling)
        if sample is not None:
            reasons = (complain(sample) for complain in complaints)
            reason = next(filter(None, reasons), None) or pool.add(sample, step)
        if reason is not None:
            rejected[reason] += 1
    return SelfInstructed(pool, rejected)
