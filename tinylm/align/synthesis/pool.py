"""The pool of tasks of Self-Instruct: where demonstrations are drawn, and what may enter   (book
section 4.2.2.2; Wang et al. 2023).

It begins with tasks that people wrote and grows by tasks that a model wrote. A new one must differ
from all: its ROUGE-L with every instruction of the pool is below 0.7. Who wrote a task is kept, so
that demonstrations mix both: 6 by people, 2 by the model. Read next: self_instruct.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.synthesis.filters import too_similar
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError


@dataclass(frozen=True)
class PooledTask:
    """A task of the pool.

    sample  Instruction
    human   True if a person wrote it
    step    the step in which it was added; 0 for seeds
    """

    sample: Instruction
    human: bool
    step: int


class TaskPool:
    """Tasks with their origin; nothing is ever removed.

    seeds        list of Instruction that people wrote, which are taken as they are
    rouge_l_max  a new task's ROUGE-L with every other must be below
    raises       ConfigError without seeds
    """

    def __init__(self, seeds: Sequence[Instruction], rouge_l_max: float = 0.7) -> None:
        if not seeds:
            raise ConfigError("TaskPool: the pool begins with seed tasks; give at least one")
        self.tasks = [PooledTask(sample, True, 0) for sample in seeds]
        self.instructions = [sample.instruction for sample in seeds]
        self.complain = too_similar(self.instructions, rouge_l_max)

    def __len__(self) -> int:
        return len(self.tasks)

    def written_by(self, human: bool) -> list[PooledTask]:
        """The tasks of people (True) or of the model (False), in the order of their addition."""
        return [task for task in self.tasks if task.human == human]

    def add(self, sample: Instruction, step: int) -> int | None:
        """Add a task of the model, if it is different enough.

        returns  None if it was added, else the reason
        """
        reason = self.complain(sample)
        if reason is None:
            self.tasks.append(PooledTask(sample, False, step))
            self.instructions.append(sample.instruction)
        return reason

    def sample_demonstrations(
        self, rng: np.random.Generator, n_human: int = 6, n_model: int = 2
    ) -> list[Instruction]:
        """Tasks to show, in a random order: list of n_human + n_model Instructions.

        While the model has written fewer than n_model, tasks of people take their places.

        rng      numpy Generator
        raises   ConfigError if there are not so many tasks of people
        """
        people, model = self.written_by(True), self.written_by(False)
        n_own = min(n_model, len(model))
        n_people = n_human + n_model - n_own
        if n_people > len(people):
            raise ConfigError(
                f"TaskPool: {n_people} tasks by people are to be shown and the pool has "
                f"{len(people)}: give more seeds, or a smaller n_human"
            )
        chosen = [people[i] for i in rng.choice(len(people), n_people, replace=False)]
        chosen += [model[i] for i in rng.choice(len(model), n_own, replace=False)]
        return [chosen[i].sample for i in rng.permutation(len(chosen))]
