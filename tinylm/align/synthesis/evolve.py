"""Evol-Instruct: a model makes instructions harder and more different   (book section 4.2.2.2; Xu
et al. 2024, WizardLM).

    in depth     add a constraint, deepen, concretize, ask for more steps of reasoning
    in breadth   a new instruction of the same domain, rarer than the given one

Every round changes each instruction by one operation drawn at random and answers the result. Failed
evolutions are eliminated; their instruction waits for the next round. Read next: steps.py, where
the operations are exact and the answers computable.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.align.synthesis.diversity import text_overlap
from tinylm.data.clean.words import words
from tinylm.data.read.instructions import Instruction
from tinylm.prompt.optimize.proposals import draw_seed
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import read_reply, render_fields

_DEPTH = (
    "Rewrite the given instruction into a more complex version that people can still understand "
    "and answer. {} Add at most 20 words."
)
OPERATIONS = {
    "add_constraint": _DEPTH.format("Add one more constraint or requirement."),
    "deepen": _DEPTH.format("Increase the depth and breadth of what is asked."),
    "concretize": _DEPTH.format("Replace general concepts with more specific ones."),
    "reason": _DEPTH.format(
        "If it can be solved in few steps, ask for several steps of reasoning."
    ),
    "breadth": (
        "Write a new instruction that is inspired by the given one. It should belong to the same "
        "domain, be rarer, and be as long and as difficult."
    ),
}
# Names of the fields below: in a rewritten instruction they are copied from the prompt.
GIVEN, REWRITTEN = "Given Instruction", "Rewritten Instruction"
_EMPTY = frozenset("a an and are as be but by for in is it of on or so that the this to".split())
EXCUSE = 80  # words below which "sorry" is taken for a refusal   (Xu et al. 2024, section 3.2)


def evolution_prompt(instruction: str, operation: str) -> str:
    """The prompt that changes an instruction by one of OPERATIONS: str."""
    return render_fields(
        [("", OPERATIONS[operation]), (GIVEN, instruction), (REWRITTEN, None)],
    )


def evolve(
    lm: TextLM,
    instruction: str,
    operation: str,
    *,
    seed: int = 0,
    max_tokens: int = 128,
    **sampling: Any,
) -> str | None:
    """The changed instruction: str, or None if the reply is empty.

    lm          TextLM
    operation   one of OPERATIONS
    """
    prompt = evolution_prompt(instruction, operation)
    reply = lm.complete(prompt, seed=seed, max_tokens=max_tokens, **sampling)
    written = read_reply(reply.text, REWRITTEN, (GIVEN,))
    return lm.parsed("instruction", written or None)


def elimination(before: Instruction, after: Instruction, same: float = 0.95) -> str | None:
    """Why an evolved sample is dropped, or None   (Xu et al. 2024, section 3.2)

        1. no gain            nearly the same words as before
        2. refusal            "sorry" in a short answer
        3. no content         an answer of punctuation and stop words alone
        4. words of prompt    "given instruction" and the like, copied from the prompt

    before   Instruction
    after    Instruction, with an answer
    same     ROUGE-L of the instructions from which there is no gain (the paper lets a model judge)
    """
    if text_overlap(before.instruction, after.instruction) >= same:
        return "no gain"
    answer = words(after.output)
    if "sorry" in answer and len(answer) < EXCUSE:
        return "refusal"
    if not set(answer) - _EMPTY:
        return "no content"
    lowered = after.instruction.lower()
    if GIVEN.lower() in lowered or REWRITTEN.lower() in lowered:
        return "words of prompt"
    return None


@dataclass(frozen=True)
class Evolved:
    """What rounds of evolution made.

    generations  list of lists of Instruction: the seeds, and what each round added
    eliminated   Counter of the reasons
    """

    generations: list
    eliminated: Counter

    @property
    def samples(self) -> list[Instruction]:
        """All samples, the seeds first."""
        return [sample for generation in self.generations for sample in generation]


def evolution(
    lm: TextLM,
    samples: Sequence[Instruction],
    rounds: int,
    *,
    operations: tuple[str, ...] = tuple(OPERATIONS),
    answer: Callable | None = None,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Evolved:
    """Evolve the instructions of samples for several rounds   (Xu et al. 2024)

    lm          TextLM, which evolves and answers
    samples     list of Instruction
    operations  names of OPERATIONS, of which one is drawn for every instruction
    answer      function Instruction -> its output; None: the reply of lm to it
    returns     Evolved; in a round each newest sample of a line is evolved, whether it is a seed
                whose evolution failed or the result of the round before
    """
    rng, eliminated = np.random.default_rng(seed), Counter()
    newest, generations = list(samples), [list(samples)]
    if answer is None:

        def answer(sample):
            reply = lm.complete(sample.user, seed=draw_seed(rng), max_tokens=max_tokens, **sampling)
            return reply.text.strip()

    for _ in range(rounds):
        added = []
        for i, before in enumerate(newest):
            operation = operations[rng.integers(len(operations))]
            written = evolve(lm, before.instruction, operation, seed=draw_seed(rng), **sampling)
            if written is None:
                eliminated["no instruction"] += 1
                continue
            after = replace(before, instruction=written)
            after = replace(after, output=answer(after))
            reason = elimination(before, after)
            if reason is None:
                newest[i] = after
                added.append(after)
            else:
                eliminated[reason] += 1
        generations.append(added)
    return Evolved(generations, eliminated)
