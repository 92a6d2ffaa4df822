"""A classifier trained on good and bad texts that decides which texts to keep.

GPT-3 (Brown et al. 2020, appendix A) filtered Common Crawl with logistic regression on hashed
words, the good texts being Wikipedia, books and pages that people link to. A fixed threshold would
keep only texts like the good ones, so a document passes if 1 - P(good) is less than a random Pareto
number: some doubtful texts are kept. Book section 2.2.1. Read next: pipeline.py.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import regex

from tinylm.backend import Random
from tinylm.data.clean.words import comparable, words
from tinylm.errors import DataError

_MARK = regex.compile(r"[^\s\p{L}\p{M}\p{N}_]")


def hashed_words(text: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The features of a text: its words, pairs of words and punctuation, by feature hashing.

    A feature is a row of a table of `size` rows, found by its hash; different words may share a row
    (Weinberger et al. 2009), and no vocabulary has to be stored.

    returns  (sorted distinct rows (n,) int64, their values (n,) float64)
    """
    found = words(text)
    pairs = [f"{a} {b}" for a, b in zip(found, found[1:])]
    marks = _MARK.findall(comparable(text))  # punctuation distinguishes good text from bad too
    features = found + pairs + marks
    hashes = [zlib.crc32(feature.encode("utf-8", "replace")) % size for feature in features]
    rows, counts = np.unique(np.array(hashes, np.int64), return_counts=True)
    # The root of a share: a vector of length 1 in which common words do not dominate rare ones.
    return rows, np.sqrt(counts / max(counts.sum(), 1))


class QualityClassifier:
    """Logistic regression on hashed words: P(good | text) = sigmoid(weights . features + bias).

    size      rows of the table
    raises    DataError from `fit` if one kind of text is missing
    """

    def __init__(self, size: int = 1 << 16) -> None:
        self.size, self.weights, self.bias = size, np.zeros(size), 0.0

    def fit(
        self,
        good: Sequence[str],
        bad: Sequence[str],
        epochs: int = 10,
        lr: float = 2.0,
        seed: int = 0,
    ) -> "QualityClassifier":
        """Learn from texts by stochastic gradient descent; both kinds have the same total weight.

        good, bad  iterables of str
        lr         step size, falling linearly to 0
        returns    self
        """
        examples = [(hashed_words(text, self.size), 1.0) for text in good]
        n_good = len(examples)
        examples += [(hashed_words(text, self.size), 0.0) for text in bad]
        n_bad = len(examples) - n_good
        if not n_good or not n_bad:
            raise DataError(
                f"quality classifier: {n_good} good and {n_bad} bad texts: give some of both"
            )
        weight = {1.0: len(examples) / (2 * n_good), 0.0: len(examples) / (2 * n_bad)}
        step, steps = 0, epochs * len(examples)
        for epoch in range(epochs):
            for i in Random(seed, "quality", epoch).permutation(len(examples)):
                (rows, values), label = examples[i]
                # d(-log P(label)) / d logit = P(good) - label
                error = self._probability(rows, values) - label
                slope = weight[label] * error * lr * (1 - step / steps)
                self.weights[rows] -= slope * values
                self.bias -= 0.1 * slope  # the bias is in every example: a smaller step
                step += 1
        return self

    def _probability(self, rows, values):
        return 1 / (1 + np.exp(-np.clip(self.weights[rows] @ values + self.bias, -500, 500)))

    def probability(self, text: str) -> float:
        """P(good | text)."""
        return float(self._probability(*hashed_words(text, self.size)))

    def keeps(self, least: float = 0.5) -> Callable:
        """The rule that a text is good with probability `least` or more."""
        return lambda text: self.probability(text) >= least

    def keeps_some(self, alpha: float = 9.0, seed: int = 0) -> Callable:
        """GPT-3's rule: keep a text if a Pareto number exceeds 1 - P(good)   (Brown et al. 2020)

        P(kept) = (2 - P(good))**-alpha: 1 at P(good) = 1, and 2**-alpha at 0. The random number is
        a function of seed and text, so the rule is deterministic.

        alpha   of the Pareto distribution; 9 in the paper
        """

        def rule(text):
            code = zlib.crc32(text.encode("utf-8", "replace"))
            u = float(Random(seed, "pareto", code).uniform((), np.float64))
            pareto = (1 - u) ** (-1 / alpha) - 1  # as numpy.random.pareto: Pr(> x) = (1 + x)^-alpha
            return pareto > 1 - self.probability(text)

        return rule
