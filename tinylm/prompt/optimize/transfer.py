"""Do prompts found with one model work with another?   (book section 3.3)

    matrix[a][b] = score on the test examples, with model b, of the prompt found with model a

Natural prompts may carry over between models; prompts that a search fitted to one model may not.
The diagonal is what optimization gained, and whether it is the largest of its column is a
question for the measurement, not a law: all cells have the same test examples. Read first:
measures.py, search.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.optimize.estimate import PromptEvaluator


@dataclass(frozen=True)
class Transfer:
    """Prompts found with A models, and their scores with every model.

    names    the models
    prompts  list of A str; prompts[a] was found with model a
    scores   (A, A) float64: row a is prompt a, column b model b
    """

    names: tuple
    prompts: list
    scores: np.ndarray

    @property
    def losses(self) -> np.ndarray:
        """(A, A): what a model loses with another's prompt against its own; negative: it gains."""
        return np.diag(self.scores)[None, :] - self.scores

    def table(self) -> str:
        """The matrix as text."""
        corner = "found with"
        width = max(map(len, (corner, *self.names)))
        lines = ["  ".join([f"{corner:>{width}}", *(f"{name:>7}" for name in self.names)])]
        for name, row in zip(self.names, self.scores):
            lines.append("  ".join([f"{name:>{width}}", *(f"{score:7.3f}" for score in row)]))
        return "\n".join(lines)


def transfer_matrix(
    measures: dict[str, Callable],
    items: Sequence[int],
    test: Sequence[int],
    optimize: Callable,
    budget: int | None = None,
) -> Transfer:
    """Optimize with every model, and test every prompt with all of them.

    measures  {name of a model: its measure, such as TaskMetric(lm)}
    items     examples of the searches
    test      examples of the matrix, none of them among `items`
    optimize  function(PromptEvaluator) -> Found
    budget    of each search, in evaluations
    returns   Transfer
    raises    ConfigError without a model; DataError for a test example that is in `items`
    """
    if not measures:
        raise ConfigError("transfer_matrix: give the measures of one model or more")
    if any(item in items for item in test):
        raise DataError("transfer_matrix: a test example is one that the searches see")
    prompts = [
        optimize(PromptEvaluator(measure, items, budget)).prompt for measure in measures.values()
    ]
    # A column at a time: a model scores all prompts on the same test examples.
    columns = [PromptEvaluator(measure, test)(prompts) for measure in measures.values()]
    return Transfer(tuple(measures), prompts, np.stack(columns, axis=1))
