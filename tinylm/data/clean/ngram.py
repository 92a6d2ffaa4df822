"""A language model small enough to score every document of a corpus: counts of character n-grams.

CCNet (Wenzek et al. 2020) ranks web pages by their perplexity under a model of Wikipedia: it is low
for prose like the reference, high for tables, spam and other languages. This model interpolates
character n-grams of all orders (Witten & Bell 1991):

    P(c | h) = (count(hc) + kinds(h) P(c | shorter h)) / (count(h) + kinds(h))

where kinds(h) is the number of different characters that followed h. Read next: classifier.py, the
other way to learn what is good; measure/memorization.py.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tinylm.errors import ConfigError, DataError


class CharNGram:
    """An interpolated model of the next character.

    texts     str, or iterable of str: the training texts
    order     characters of a context and its continuation together, 1 or more
    alphabet  number of possible characters, unseen ones included: below the lowest order all are
              equally likely, P(c) = 1 / alphabet
    raises    ConfigError for a bad order, DataError if there is no text
    """

    def __init__(self, texts: str | Iterable[str], order: int = 5, alphabet: int = 1 << 16) -> None:
        if order < 1:
            raise ConfigError(f"n-gram model: order is {order}; it must be 1 or more")
        self.order, self.alphabet = order, alphabet
        self.counts = Counter()  # of n-grams hc, of all lengths up to `order`
        self.total, self.kinds = Counter(), Counter()  # of contexts h: count(h) and kinds(h)
        if isinstance(texts, str):
            texts = [texts]
        for text in texts:
            text = "\0" * (order - 1) + text  # the beginning is a context of its own
            for n in range(1, order + 1):
                self.counts.update(text[i - n : i] for i in range(order, len(text) + 1))
        for ngram, n in self.counts.items():
            self.total[ngram[:-1]] += n
            self.kinds[ngram[:-1]] += 1
        if not self.counts:
            raise DataError("n-gram model: no text to count")

    def probability(self, context: str, character: str) -> float:
        """P(character | context), which reads the last order - 1 characters of the context."""
        p = 1 / self.alphabet
        total, kinds, counts = self.total, self.kinds, self.counts
        # From the empty context to longer ones: each interpolates with the one before.
        for start in range(len(context), len(context) - self.order, -1):
            h = context[start:]
            if start < 0 or (seen := total.get(h)) is None:
                break  # no longer context was seen either
            p = (counts.get(h + character, 0) + kinds[h] * p) / (seen + kinds[h])
        return p

    def log_probability(self, text: str) -> float:
        """log of the probability of a text, in nats."""
        text = "\0" * (self.order - 1) + text
        return sum(
            math.log(self.probability(text[i - self.order + 1 : i], text[i]))
            for i in range(self.order - 1, len(text))
        )

    def bits_per_character(self, text: str) -> float:
        """-log2 Pr(text) / length, or 0 for an empty text; 2 to that power is the perplexity."""
        if text:
            return -self.log_probability(text) / math.log(2) / len(text)
        return 0.0


def cheap_enough(score: Callable, most: float, characters: int = 2000) -> Callable:
    """The rule that the score of a text is at most `most`.

    score       function text -> number: `CharNGram(...).bits_per_character`, or the loss of any
                language model
    most        the largest score to keep; `threshold` finds it from texts known to be good
    characters  of the text that are scored: the first ones
    """
    return lambda text: score(text[:characters]) <= most


def threshold(
    score: Callable, texts: Sequence[str], part: float = 0.95, characters: int = 2000
) -> float:
    """The quantile of the scores of good texts: the share `part` of them is not above it."""
    scores = sorted(score(text[:characters]) for text in texts)
    if not scores or not 0 < part <= 1:
        raise ConfigError(
            f"threshold: {len(scores)} texts and part {part}: give texts, and a part in (0, 1]"
        )
    # 1e-9: a product that is whole but for rounding, as .07 * 100, is not rounded up
    rank = max(1, math.ceil(part * len(scores) - 1e-9))
    return scores[rank - 1]
