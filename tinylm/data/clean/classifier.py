"""A classifier that has seen good and bad text, and says which a new one resembles.

GPT-3 (Brown et al. 2020, appendix A) filtered Common Crawl with logistic regression on hashed
words, the good texts being Wikipedia, books and pages that people link to. Keeping only what is
surely good would keep only what is like the good texts, so a document passes if its badness is less
than a Pareto number: some of the doubtful gets through. Book section 2.2.1. Read next: pipeline.py.
"""

import zlib

import numpy as np
import regex

from tinylm.backend import Random
from tinylm.data.clean.words import comparable, words
from tinylm.errors import DataError

_MARK = regex.compile(r"[^\s\p{L}\p{M}\p{N}_]")


def hashed_words(text, size):
    """Words and pairs of words of a text as rows of a table of `size`: (sorted distinct rows, their
    shares of the text).

    Different words may share a row (Weinberger et al. 2009, feature hashing): no vocabulary to
    keep.
    """
    found = words(text)
    pairs = [f"{a} {b}" for a, b in zip(found, found[1:])]
    marks = _MARK.findall(comparable(text))  # punctuation tells good text from bad too
    rows = np.array(
        [zlib.crc32(word.encode("utf-8", "replace")) % size for word in found + pairs + marks],
        np.int64,
    )
    rows, counts = np.unique(rows, return_counts=True)
    return rows, np.sqrt(
        counts / max(counts.sum(), 1)
    )  # of length 1, rare words not drowned by common ones


class QualityClassifier:
    """Logistic regression on hashed words: P(good | text) = sigmoid(weights . features + bias).

    size      rows of the table
    raises    DataError from `fit` if one kind of text is missing
    """

    def __init__(self, size=1 << 16):
        self.size, self.weights, self.bias = size, np.zeros(size), 0.0

    def fit(self, good, bad, epochs=10, lr=2.0, seed=0):
        """Learn from texts by stochastic gradient descent; both kinds weigh the same however many
        there are.

        good, bad  iterables of str
        lr         step size, falling linearly to 0
        returns    self
        """
        examples = [
            (hashed_words(text, self.size), label)
            for texts, label in ((good, 1.0), (bad, 0.0))
            for text in texts
        ]
        n_good = sum(label for _, label in examples)
        if not 0 < n_good < len(examples):
            raise DataError(
                f"quality classifier: {n_good:.0f} good and {len(examples) - n_good:.0f} bad texts: give some of both"
            )
        weight = {
            1.0: len(examples) / (2 * n_good),
            0.0: len(examples) / (2 * (len(examples) - n_good)),
        }
        step, steps = 0, epochs * len(examples)
        for epoch in range(epochs):
            for i in Random(seed, "quality", epoch).permutation(len(examples)):
                (rows, values), label = examples[i]
                # d(-log P(label)) / d logit = P(good) - label
                slope = (
                    weight[label]
                    * (self._probability(rows, values) - label)
                    * lr
                    * (1 - step / steps)
                )
                self.weights[rows] -= slope * values
                self.bias -= 0.1 * slope  # the bias is in every example: a smaller step
                step += 1
        return self

    def _probability(self, rows, values):
        return 1 / (1 + np.exp(-np.clip(self.weights[rows] @ values + self.bias, -500, 500)))

    def probability(self, text):
        """P(good | text)."""
        return float(self._probability(*hashed_words(text, self.size)))

    def keeps(self, least=0.5):
        """The rule that a text is good with probability `least` or more."""
        return lambda text: self.probability(text) >= least

    def keeps_some(self, alpha=9.0, seed=0):
        """GPT-3's rule: keep if a Pareto number exceeds 1 - P(good).   (Brown et al. 2020: alpha =
        9)

        P(kept) = (2 - P(good))**-alpha: 1 at P(good) = 1, and 2**-alpha at 0. The draw belongs to
        the text, not to its place: the same text gets the same answer.
        """

        def rule(text):
            u = float(
                Random(seed, "pareto", zlib.crc32(text.encode("utf-8", "replace"))).uniform(
                    (), np.float64
                )
            )
            return (1 - u) ** (-1 / alpha) - 1 > 1 - self.probability(
                text
            )  # numpy.random.pareto's form

        return rule
