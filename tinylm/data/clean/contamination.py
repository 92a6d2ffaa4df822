"""Has the model read the examination? Training text that holds the test set's.

GPT-3 (Brown et al. 2020, appendix C) called a test example contaminated if one of its 13-grams of
words stood in the training text. Both directions are useful: documents with test text are left out
of training (`Contamination` is a rule for a pipeline), and test examples that were seen are
reported apart (`examples`). Book section 2.2.1. Read next: pipeline.py.
"""

import numpy as np

from tinylm.data.clean.dedup import shingles
from tinylm.errors import DataError


class Contamination:
    """A rule with a memory of a test set: True for a text that shares less than `most` n-grams with
    it.

    examples  iterable of str: the test set
    n         words of an n-gram; an example shorter than that is looked for by all its words, and
              only found alone
    most      part of a text's n-grams that may stand in the test set; 0: none
    raises    DataError for an empty test set

    Memory: 17 bytes for every n-gram of the test set; the training text only passes by.
    """

    def __init__(self, examples, n=13, most=0.0):
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
        self.sizes, self.hit = np.array(sizes), np.zeros(len(every), bool)

    def overlap(self, text):
        """The part of the distinct n-grams of a text that stand in the test set; what it hits is
        remembered.
        """
        found = shingles(text, self.n)
        low, high = (np.searchsorted(self.grams, found, side) for side in ("left", "right"))
        for start, stop in zip(low[high > low], high[high > low]):
            self.hit[start:stop] = True
        return float((high > low).mean())

    def __call__(self, text):
        return self.overlap(text) <= self.most

    def examples(self):
        """The part of each test example's n-grams that some text seen so far held: (examples,)
        float64.
        """
        return np.bincount(self.owner, self.hit, len(self.sizes)) / self.sizes
