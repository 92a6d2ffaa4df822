"""The scores of one item's options, as a line of a file (answer_file.py).

    {"item": 0, "terms": [[-1.2], [-0.3, -2.0]], "prior": [-4.1, -5.0], "apart": [false, false], ..}

The log-probability of every token is kept, so that every way of ranking the options can be computed
from the file: Scores.by (../protocol/completion.py). Numbers are written so that they are read back
to the bit. Read next: choice.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.prompt.protocol.completion import Scores


@dataclass(frozen=True)
class ItemScores:
    """The scores of an item's options.

    item     its number in the list
    terms    for each option a list of the log-probabilities of its tokens
    prior    log-probability of each option without the question
    apart    for each option, whether it was encoded apart from its prompt
    dropped  demonstrations that had no room in the prompt
    error    why the item could not be scored; "" if it was
    """

    item: int
    terms: tuple = ()
    prior: tuple = ()
    apart: tuple = ()
    dropped: int = 0
    error: str = ""

    def scores(self, continuations: Sequence[str]) -> Scores:
        """The Scores of these continuations."""
        terms = tuple(np.array(one, np.float64) for one in self.terms)
        return Scores(tuple(continuations), terms, np.array(self.prior), self.apart)


def scores_of(item: int, scores: Scores, dropped: int) -> ItemScores:
    """The ItemScores of an item's number, its Scores, and the number of dropped demonstrations."""
    return ItemScores(
        item,
        tuple(tuple(terms.tolist()) for terms in scores.terms),
        tuple(scores.prior.tolist()),
        tuple(scores.apart),
        dropped,
    )


KINDS = {"item": int, "terms": list, "prior": list, "apart": list}
KINDS |= {"dropped": int, "error": str}


def read_scores(values: dict[str, Any]) -> ItemScores:
    """The ItemScores of a line of a file.

    values  dict
    raises  ValueError for fields that are missing, unknown or of a wrong type, or lists of options
            of different lengths
    """
    if set(values) != set(KINDS):
        odd = ", ".join(sorted(set(values) ^ set(KINDS)))
        raise ValueError(f"it needs the fields {', '.join(KINDS)}; missing or unknown: {odd}")
    for name, kind in KINDS.items():
        if type(values[name]) is not kind:
            raise ValueError(f"{name} must be {kind.__name__}, not {values[name]!r:.60}")
    terms, prior, apart = (values[name] for name in ("terms", "prior", "apart"))
    if not len(terms) == len(prior) == len(apart):
        raise ValueError("terms, prior and apart must have one entry for each option")
    if not all(type(one) is list and one and all(map(_is_number, one)) for one in terms):
        raise ValueError(f"terms must be lists of numbers, not {terms!r:.60}")
    if not all(map(_is_number, prior)) or not all(type(one) is bool for one in apart):
        raise ValueError(
            f"prior must be numbers, apart true or false: {prior!r:.40}, {apart!r:.40}"
        )
    lists = {"terms": tuple(map(tuple, terms)), "prior": tuple(prior), "apart": tuple(apart)}
    return ItemScores(**{**values, **lists})


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)
