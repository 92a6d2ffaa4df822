"""Queries of users, answered by a model and corrected by a person   (book section 4.2.2.1).

    log of queries -> answers of the model -> corrections -> samples -> a better model -> ..

Correcting is cheaper than writing, the more so the fewer answers are wrong: the share of corrected
answers is the price of a round. The person is an oracle here, a function that knows the right
answer. Read next: teacher.py, where nobody corrects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Corrected:
    """A round of answering and correcting.

    samples  list of Instruction: query, and the answer after correction
    changed  (n,) bool, True where the oracle changed the answer
    """

    samples: list
    changed: np.ndarray

    @property
    def rate(self) -> float:
        """The share of answers that were corrected, 0 .. 1."""
        return float(np.mean(self.changed))


def correct_answers(
    answer: Callable, queries: Sequence[str], oracle: Callable, task: str = ""
) -> Corrected:
    """Answer queries and correct the answers   (book section 4.2.2.1)

    answer   function: list of n queries -> list of n answers
    queries  list of str
    oracle   function (query, answer) -> the right answer; the same answer if it is right already
    returns  Corrected
    raises   ConfigError for another number of answers, or no queries
    """
    queries = list(queries)
    answers = list(answer(queries))
    if not queries or len(answers) != len(queries):
        raise ConfigError(
            f"correct_answers: {len(answers)} answers to {len(queries)} queries; give one each, "
            "and at least one query"
        )
    right = [oracle(query, given) for query, given in zip(queries, answers)]
    samples = [Instruction(query, text, task=task) for query, text in zip(queries, right)]
    changed = np.array([text != given for text, given in zip(right, answers)])
    return Corrected(samples, changed)


def correction_rounds(
    answer: Callable, learn: Callable, rounds: Sequence[list[str]], oracle: Callable, task: str = ""
) -> list[Corrected]:
    """Round after round: answers are corrected, and the model learns from all samples so far.

    answer   function: list of queries -> list of answers, of the model as it is then
    learn    function: list of all samples so far -> None, which tunes the model
    rounds   lists of queries, one for each round
    returns  list of Corrected, one for each round; their rates should fall
    """
    found, samples = [], []
    for queries in rounds:
        one = correct_answers(answer, queries, oracle, task)
        found.append(one)
        samples += one.samples
        learn(list(samples))
    return found
