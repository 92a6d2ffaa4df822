"""A trained verifier as score(question, path), which the methods of tinylm.prompt take   (book
section 3.2.4).

    best_of_n(lm, item, score=scorer.score)              prompt/ensemble/outputs.py
    self_consistency(lm, item, weights=scorer.score)     the verifier weighs the votes
    tree_of_thoughts(lm, item, evaluate=scorer.values)   prompt/reasoning/thoughts.py

Scores are probabilities: that the path ends right, or, from those of its steps,

    product   all steps are correct            least   the weakest one is

(Uesato et al. 2022; Lightman et al. 2024). Read next: selection.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.process_rewards import least_correct, log_correct, mean_correct
from tinylm.align.verifiers.outcome import OutcomeVerification, OutcomeVerifier
from tinylm.align.verifiers.paths import JudgedPath
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.finetune.fitting import answers
from tinylm.prompt.protocol.text_lm import TextLM

# Scores in 0 .. 1 of the probabilities (S,) that each step is correct
OF_STEPS = {
    "product": lambda p: float(np.exp(log_correct(p))),
    "least": least_correct,
    "mean": mean_correct,
}


class PathScorer:
    """Scores of paths by a judge.

    judge  function: list of (ids of a question, list of ids of steps) -> list of scores;
           outcome_judge() or process_judge()
    read   function (question, path) -> (ids, list of ids), the one that training used (paths.py)
    """

    def __init__(self, judge: Callable, read: Callable) -> None:
        self.judge, self.read = judge, read

    def scores(self, question: str, paths: Sequence[str]) -> np.ndarray:
        """The scores of several paths: (n,) float64. A path without a token scores 0."""
        found = np.zeros(len(paths))
        rows = [self.read(question, path) for path in paths]
        full = [i for i, (_, steps) in enumerate(rows) if sum(map(len, steps))]
        if full:
            found[full] = self.judge([rows[i] for i in full])
        return found

    def score(self, question: str, path: str) -> float:
        """The score of one path: float in 0 .. 1."""
        return float(self.scores(question, [path])[0])

    def values(self, lm: TextLM, question: str, states: Sequence) -> np.ndarray:
        """The values of partial paths, tuples of lines, for a tree search: (n,) float64.

        lm   not needed: it is there because other evaluations are replies of the model
        """
        # Each line ends with its break, as those do that another line follows in training.
        return self.scores(question, ["".join(f"{line}\n" for line in state) for state in states])


def outcome_judge(model: OutcomeVerifier, batch_size: int = 64) -> Callable:
    """The judge of an OutcomeVerifier: Pr(right) at the last token of a path."""
    task = OutcomeVerification()

    def judge(rows):
        paths = [
            JudgedPath(np.concatenate([opened, *steps]), len(opened), None)
            for opened, steps in rows
        ]
        return answers(model, task, paths, batch_size)

    return judge


def step_probabilities(
    model: ProcessRewardModel, rows: Sequence[tuple[Any, list]], batch_size: int = 64
) -> list[np.ndarray]:
    """Pr(correct) of each step by a ProcessRewardModel: list of (S,) arrays, one for each row.

    rows   list of (ids of a question, list of ids of steps, none of them empty)
    """
    # The labels of the examples are not read here: any will do.
    texts = [marked_text(*row, [model.labels[0]] * len(row[1])) for row in rows]
    found = answers(model, ProcessModeling(model.labels), texts, batch_size)
    column = model.labels.index("correct")
    return [probabilities[:, column] for probabilities in found]


def process_judge(model: ProcessRewardModel, how: str = "least", batch_size: int = 64) -> Callable:
    """The judge of a ProcessRewardModel.

    how      of OF_STEPS
    raises   ConfigError for another
    """
    if how not in OF_STEPS:
        raise ConfigError(f"process_judge: {how!r} is none of {', '.join(OF_STEPS)}")

    def judge(rows):
        rows = [(opened, [step for step in steps if len(step)]) for opened, steps in rows]
        return [OF_STEPS[how](p) for p in step_probabilities(model, rows, batch_size)]

    return judge


def first_wrong_step(p: ArrayLike, least: float = 0.5) -> int | None:
    """The number (from 0) of the first step that is probably wrong, or None   (Uesato et al. 2022)

    p      (S,) probabilities that each step is correct, given those before it
    least  below it a step is taken for wrong
    """
    below = np.flatnonzero(np.asarray(p) < least)
    if not len(below):
        return None
    return int(below[0])
