"""A question and a path as ids, and what is known of the path   (book section 3.2.4).

    question, path  --read-->  ids of the question, ids of step 1, .., ids of step S

An outcome verifier needs to know whether the path's answer is right, a process verifier a label for
each step. Which text becomes which ids is one function, `read`, so that training and use agree.
Read next: outcome.py; rewards/marked.py for the examples of a process verifier.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.rewards.step_labels import LabeledStep, solution_steps
from tinylm.errors import DataError
from tinylm.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class JudgedPath:
    """A question with a path, and its outcome.

    ids    (n,) int64;  start  number of ids of the question, at least 1: the path is ids[start:]
    right  True or False; None: not known, so that the path is read by the language-model objective
           alone
    """

    ids: np.ndarray
    start: int
    right: bool | None

    def __post_init__(self) -> None:
        if not 1 <= self.start < len(self.ids):
            raise DataError(
                f"JudgedPath: {self.start} of {len(self.ids)} tokens are the question's; both the "
                "question and the path need one at least"
            )

    @property
    def imitated(self) -> bool:
        """Whether the language-model objective reads the path: no error is worth imitating."""
        return self.right is not False


def text_reader(tokenizer: Tokenizer, begin: tuple[int, ...] = (), between: str = "\n") -> Callable:
    """A `read` of texts whose steps are lines: function (question, path) -> (ids, list of ids).

    tokenizer  has encode(text) -> ids
    begin      ids before the question
    between    text after the question
    """

    def read(question, path):
        opened = [*begin, *tokenizer.encode(question + between)]
        steps = [np.asarray(tokenizer.encode(step), np.int64) for step in solution_steps(path)]
        return np.array(opened, np.int64), steps

    return read


def judged_path(read: Callable, question: str, path: str, right: bool | None = None) -> JudgedPath:
    """A JudgedPath of texts. Raises DataError for a path without text."""
    opened, steps = read(question, path)
    return JudgedPath(np.concatenate([opened, *steps]), len(opened), right)


def labeled_parts(steps: Sequence[LabeledStep], after_error: bool = False) -> list[tuple[str, str]]:
    """The parts of a solution that have a label: list of (text, label).

    A step without a label (a line without a mark) belongs to the part that ends with the next one,
    and at the end to the last part. Without any label there is no part.

    steps        list of LabeledStep (rewards/step_labels.py)
    after_error  False: nothing after the first incorrect step is kept, as steps that build on an
                 error are neither right nor wrong by themselves   (Lightman et al. 2024)
    """
    parts, waiting = [], ""
    for step in steps:
        waiting += step.text
        if step.label is None:
            continue
        parts.append((waiting, step.label))
        waiting = ""
        if step.label == "incorrect" and not after_error:
            return parts
    if parts and waiting:
        text, label = parts[-1]
        parts[-1] = text + waiting, label
    return parts
