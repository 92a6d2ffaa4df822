"""Contamination: training text that contains text of the test set.

GPT-3 (Brown et al. 2020, appendix C) called a test example contaminated if one of its 13-grams of
words occurred in the training text. Both directions are useful: documents with test text are
dropped from training (`Contamination` is a rule for a pipeline), and test examples that were seen
are reported separately (`examples`). Book section 2.2.1. Read next: pipeline.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.data.clean.dedup import shingles
from tinylm.errors import DataError


class Contamination:
    """The rule that a text shares at most `most` of its n-grams with a test set.

    examples  iterable of str: the test set
    n         words of an n-gram. An example of fewer words is one n-gram, which only a text of
              exactly these words contains
    most      largest share of a text's n-grams that may occur in the test set; 0: none
    raises    DataError for an empty test set

    Memory: 17 bytes for every n-gram of the test set; the training text is not stored.
    """

    def __init__(self, examples: Sequence[str], n: int = 13, most: float = 0.0) -> None:
        self.n, self.most = n, most
        grams = [shingles(text, n) for text in examples]
        if not grams:
            raise DataError(
                "contamination: the test set is empty: give the texts that training must not hold"
            )
        sizes = [len(found) for found in grams]
        self.owner = np.repeat(np.arange(len(grams)), sizes)  # (S,) the example of each n-gram
        every = np.concatenate(grams)
        order = np.argsort(every, kind="stable")
        self.grams, self.owner = every[order], self.owner[order]  # sorted for bisection
        self.sizes = np.array(sizes)
        self.hit = np.zeros(len(every), bool)  # (S,) True once some text contained the n-gram

    def overlap(self, text: str) -> float:
        """The share of the distinct n-grams of a text that occur in the test set.

        The n-grams found are marked for `examples`.
        """
        found = shingles(text, self.n)
        # Several examples may have one n-gram: its places in `grams` are low to high.
        low, high = (np.searchsorted(self.grams, found, side) for side in ("left", "right"))
        for start, stop in zip(low[high > low], high[high > low]):
            self.hit[start:stop] = True
        return float((high > low).mean())

    def __call__(self, text: str) -> bool:
        return self.overlap(text) <= self.most

    def examples(self) -> np.ndarray:
        """The share of each test example's n-grams that texts contained: (examples,) float64."""
        return np.bincount(self.owner, self.hit, len(self.sizes)) / self.sizes
