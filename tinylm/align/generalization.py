"""Two criteria of generalization: within a task and across tasks   (book section 4.2.4, eqs. 4.8,
4.9).

    within   (1 / |Z|) sum over new inputs z of Perf(c*, z, y) > eps            one instruction c*
    across   (1 / |D|) sum over new pairs (c, z) of Perf(c, z, y) > eps         new instructions too

eps is a threshold of good enough. The mean over pairs (micro) weighs a task by its pairs, the mean
over instructions of their means (macro) weighs all alike. New means: not in the training set, which
is checked. Read first: synthesis/tasks.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.mix.instruction_mixture import by_task
from tinylm.data.read.instructions import Instruction
from tinylm.errors import DataError


@dataclass(frozen=True)
class Generalization:
    """Performance on new samples.

    micro   mean over all samples
    macro   mean over instructions of the means over their samples
    each    {instruction: mean}, in order of appearance
    passed  whether the criterion holds: micro above eps (eqs. 4.8 and 4.9)
    """

    micro: float
    macro: float
    each: dict
    passed: bool


def across_tasks(
    answer: Callable,
    samples: Sequence[Instruction],
    metric: Callable,
    eps: float,
    training: Sequence[Instruction] = (),
) -> Generalization:
    """The criterion of cross-task generalization   (book eq. 4.9): Generalization

    answer    function: list of Instruction -> list of str, the model's answers
    samples   list of Instruction, the set D of new pairs with their right outputs
    metric    function (answer, right output) -> performance, such as exact_match
    eps       the threshold that the mean must exceed
    training  list of Instruction that the model was tuned on
    raises    DataError without samples, for another number of answers, or if a pair of D was
              trained on
    """
    samples = list(samples)
    leaked = leakage(samples, training)
    if leaked:
        raise DataError(
            f"generalization: {len(leaked)} of {len(samples)} samples were in the training set, "
            f"such as {leaked[0].user!r:.80}: they are not new"
        )
    answers = list(answer(samples))
    if not samples or len(answers) != len(samples):
        raise DataError(f"generalization: {len(answers)} answers for {len(samples)} samples")
    scores = [metric(given, sample.output) for given, sample in zip(answers, samples)]
    groups = {}
    for sample, score in zip(samples, scores):
        groups.setdefault(sample.instruction, []).append(score)
    each = {instruction: float(np.mean(group)) for instruction, group in groups.items()}
    micro, macro = float(np.mean(scores)), float(np.mean(list(each.values())))
    return Generalization(micro, macro, each, micro > eps)


def within_task(
    answer: Callable,
    samples: Sequence[Instruction],
    metric: Callable,
    eps: float,
    training: tuple = (),
) -> Generalization:
    """The criterion of within-task generalization   (book eq. 4.8): Generalization

    samples   list of Instruction with one instruction c*, the set Z of new inputs

    Others as in across_tasks(); raises DataError for several instructions, too.
    """
    samples = list(samples)
    instructions = {sample.instruction for sample in samples}
    if len(instructions) > 1:
        raise DataError(
            f"within_task: {len(instructions)} instructions; the criterion is for one: see "
            "across_tasks"
        )
    return across_tasks(answer, samples, metric, eps, training)


def leakage(samples: Sequence[Instruction], training: Sequence[Instruction]) -> list[Instruction]:
    """The samples whose instruction and input are in the training set: list.

    Case and white space at the ends do not make a sample new; nor does another output.
    """
    known = {_key(sample) for sample in training}
    return [sample for sample in samples if _key(sample) in known]


def _key(sample):
    return sample.instruction.strip().casefold(), sample.input.strip().casefold()


def splits(samples: Sequence[Instruction], training: Sequence[Instruction]) -> dict[str, Any]:
    """New samples by what is new in them: {"input", "phrasing", "task"} -> list of Instruction.

        input     the instruction was trained on, with other inputs
        phrasing  the task was trained on, in other words
        task      nothing of the task was trained on

    Samples of the training set are in none of the three.
    """
    instructions = {sample.instruction for sample in training}
    tasks = set(by_task(training))
    found = {"input": [], "phrasing": [], "task": []}
    leaked = {_key(sample) for sample in leakage(samples, training)}
    for sample in samples:
        if _key(sample) in leaked:
            continue
        if sample.instruction in instructions:
            found["input"].append(sample)
        elif sample.task in tasks:
            found["phrasing"].append(sample)
        else:
            found["task"].append(sample)
    return found
