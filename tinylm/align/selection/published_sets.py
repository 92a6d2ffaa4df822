"""How large published sets of instructions are: many tasks, or few good samples   (book section
4.2.3).

Two ways to a model that follows instructions: collect all there is, as FLAN does, or choose a
thousand samples with care, as LIMA does. Read next: quality.py, which chooses.
"""

from dataclasses import dataclass

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class PublishedSet:
    """A set of instructions with answers.

    name, source  of the paper
    samples       pairs of instruction and answer
    tasks         that they are of; None: not counted by tasks
    """

    name: str
    samples: int
    tasks: int | None
    source: str

    @property
    def samples_per_task(self) -> float:
        """The mean number of samples of a task: float.

        raises  ConfigError for a set whose tasks were not counted
        """
        if self.tasks is None:
            raise ConfigError(f"PublishedSet: the tasks of {self.name} were not counted")
        return self.samples / self.tasks


SETS = (
    PublishedSet("FLAN", 15_000_000, 1836, "Longpre et al. 2023"),
    PublishedSet("LIMA", 1000, None, "Zhou et al. 2023"),
)
