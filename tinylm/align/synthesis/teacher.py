"""Answers of a model that is tuned already, as samples for another   (book section 4.2.2.2).

Questions are collected, a good model answers them, and the pairs tune a new model: distillation by
sequences (Kim and Rush 2016), which passes on the teacher's text and not its probabilities
(finetune/compress/distill.py does that). What the teacher has wrong the student learns too, unless
a filter drops it. Read next: diversity.py.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinylm.data.mix.instruction_mixture import empty_answer, filtered
from tinylm.data.read.instructions import Instruction

if TYPE_CHECKING:
    from tinylm.prompt.protocol.scripted import ScriptedLM


def generate_responses(
    teacher: "ScriptedLM",
    samples: Sequence[Instruction],
    *,
    prompt: Sequence[int] | None = None,
    complaints: tuple[Callable, ...] = (empty_answer,),
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> tuple[list[Instruction], Counter]:
    """The samples with the teacher's answers   (book section 4.2.2.2)

    teacher     TextLM
    samples     list of Instruction, whose outputs are ignored
    prompt      function sample -> prompt; None: sample.user, which suits a chat model
    complaints  functions sample -> the reason to drop it, or None, see instruction_mixture.filtered
    sampling    of TextLM.complete_batch: temperature, stop, ..; the most probable answer by default
    returns     (list of Instruction, Counter of the reasons to drop one)
    """
    if prompt is None:

        def prompt(sample):
            return sample.user

    samples = list(samples)
    replies = teacher.complete_batch(
        [prompt(sample) for sample in samples], seed=seed, max_tokens=max_tokens, **sampling
    )
    answered = [
        replace(sample, output=reply.text.strip()) for sample, reply in zip(samples, replies)
    ]
    return filtered(answered, *complaints)
