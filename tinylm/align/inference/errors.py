"""Model error or search error: why is the output of a system not the best one?   (book section
4.4.5, footnote 8)

The system searches for the output with the greatest score. If a better model, given the n best
outputs of the old one, finds a much better output among them, then the good outputs were there and
the old model ranked them wrongly: a **model error**. If even an oracle finds little in the list,
the good outputs may not have been reached: a **search error**. Where all outputs can be listed,
both are counted directly: the search is to blame if it missed a string of greater score, the model
if its best string is not the best by the metric. Read next: nbest.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import DataError

if TYPE_CHECKING:
    from tinylm.align.inference.best_of_n import Candidate


@dataclass(frozen=True)
class ListErrors:
    """Means of a metric over prompts.

    first   the old model's choice;  chosen  the new model's choice from the list
    oracle  the best of the list: no choice from it is better
    """

    first: float
    chosen: float
    oracle: float

    @property
    def model_error(self) -> float:
        """What a better choice from the same list would gain: oracle - first."""
        return self.oracle - self.first

    @property
    def gain(self) -> float:
        """What the new model gains: chosen - first."""
        return self.chosen - self.first


def list_errors(
    lists: "Sequence[list[Candidate]]", choose: Callable, metric: Callable
) -> ListErrors:
    """What n-best lists hold beyond their first output   (book section 4.4.5, footnote 8)

    lists    a list of candidates for each prompt, the old model's order, none empty
    choose   the new model: candidates -> one of them, such as by rerank
    metric   function: (number of the prompt, candidate) -> number, more is better
    returns  ListErrors
    """
    if not lists or not all(len(one) for one in lists):
        raise DataError("list_errors: every prompt needs a list of at least one candidate")
    rows = []
    for i, candidates in enumerate(lists):
        values = [metric(i, candidate) for candidate in candidates]
        rows.append((values[0], metric(i, choose(candidates)), max(values)))
    return ListErrors(*np.mean(rows, axis=0).tolist())


@dataclass(frozen=True)
class ExactErrors:
    """Shares of prompts.

    search  the search did not return the most probable string
    model   the most probable string is not the best one by the metric
    both    of the two
    right   the output is as good as the best
    """

    search: float
    model: float
    both: float
    right: float


def exact_errors(
    outputs: "Sequence[Candidate]", everything: "Sequence[list[Candidate]]", metric: Callable
) -> ExactErrors:
    """Search errors and model errors, counted over lists of all strings.

    outputs     Candidate that the search returned, one a prompt
    everything  list of all Candidates of each prompt, the most probable first (every_response)
    metric      as in list_errors
    returns     ExactErrors. A string as probable as the first one is no search error
    """
    rows = []
    for i, (output, candidates) in enumerate(zip(outputs, everything, strict=True)):
        best = max(metric(i, candidate) for candidate in candidates)
        search = output.logprob < candidates[0].logprob - 1e-9  # rounding of sums of logarithms
        model = metric(i, candidates[0]) < best
        rows.append((search, model, search and model, metric(i, output) >= best))
    if not rows:
        raise DataError("exact_errors: there are no outputs to analyse")
    return ExactErrors(*np.mean(rows, axis=0).tolist())
