"""Heuristic filters of generated samples   (book section 4.2.2.2; Wang et al. 2023, Self-Instruct).

A filter is a complaint: function sample -> the reason to drop it, or None; instruction_mixture has
the general ones (empty answers, duplicates, length) and `filtered`, which applies and counts them.
Here are those for text that a model wrote. Read next: pool.py, the filter by similarity.
"""

from collections.abc import Callable, Sequence

from tinylm.align.synthesis.diversity import text_overlap
from tinylm.data.clean.words import words
from tinylm.data.mix.instruction_mixture import answer_repeats_question, empty_answer
from tinylm.data.read.instructions import Instruction

# What a model of text can neither read nor write   (from the code of Self-Instruct)
MEDIA = frozenset(
    """image images graph graphs picture pictures file files map maps draw plot video audio music
    flowchart diagram""".split()
)


def instruction_length(shortest: int = 4, longest: int = 150) -> Callable:
    """A complaint about instructions of fewer or of more words; the paper's code has 4 and 150."""

    def complain(sample):
        count = len(sample.instruction.split())
        if count < shortest:
            return "instruction too short"
        if count > longest:
            return "instruction too long"
        return None

    return complain


def needs_other_media(sample: Instruction) -> str | None:
    """The complaint that an instruction is about pictures, sound or files, or None."""
    if MEDIA & set(words(sample.instruction)):
        return "needs other media"
    return None


def begins_oddly(sample: Instruction) -> str | None:
    """The complaint that an instruction begins with no letter or digit, or None."""
    if sample.instruction[:1].isalnum():
        return None
    return "begins oddly"


def output_repeats_input(sample: Instruction) -> str | None:
    """The complaint that the output is the input, or None; an empty input is none."""
    if sample.input.strip() and sample.output.strip() == sample.input.strip():
        return "output repeats input"
    return None


def too_similar(others: Sequence[str], limit: float = 0.7) -> Callable:
    """A complaint about instructions whose ROUGE-L with one of `others` is `limit` or more.

    others   list of str, read at each call: it may grow
    """

    def complain(sample):
        if any(text_overlap(sample.instruction, other) >= limit for other in others):
            return "too similar"
        return None

    return complain


def without_conflicts(samples: Sequence[Instruction]) -> tuple[list[Instruction], int, int]:
    """The samples whose question has one answer only, each pair once.

    returns  (list of samples in their order, number dropped as duplicates, number dropped because
             the same instruction and input have another output elsewhere)
    """
    outputs = {}
    for sample in samples:
        outputs.setdefault((sample.instruction, sample.input), set()).add(sample.output)
    kept, seen, duplicates, conflicts = [], set(), 0, 0
    for sample in samples:
        question = sample.instruction, sample.input
        if len(outputs[question]) > 1:
            conflicts += 1
        elif question in seen:
            duplicates += 1
        else:
            seen.add(question)
            kept.append(sample)
    return kept, duplicates, conflicts


# Of these every generated sample is free.
FILTERS = (
    instruction_length(),
    needs_other_media,
    begins_oddly,
    empty_answer,
    answer_repeats_question,
    output_repeats_input,
)
