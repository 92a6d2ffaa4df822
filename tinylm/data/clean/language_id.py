"""Which language a text is in, by its character n-grams.

Cavnar & Trenkle 1994 found that the commonest character n-grams identify a language from a line or
two of text. Here each language is a distribution over n-grams of one to three characters, and
Bayes' rule with equal priors chooses among them:

    log P(language | text) = sum over n-grams of count * log P(n-gram | language) + constant

Book section 2.2.1 (filtering of web text). Read next: quality.py.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import regex

from tinylm.data.clean.language_samples import SAMPLES
from tinylm.errors import ConfigError, DataError
from tinylm.writing import composed

_NOT_LETTERS = regex.compile(r"[^\p{L}\p{M}]+")
ORDERS = (1, 2, 3)


def character_ngrams(text: str, orders: tuple[int, ...] = ORDERS) -> Counter:
    """Counts of the character n-grams of a text, spaces between words included.

    returns  Counter {str: occurrences}; letters in lower case, all else a space
    """
    words = " " + _NOT_LETTERS.sub(" ", composed(text).lower()).strip() + " "
    counts = Counter()
    for n in orders:
        counts.update(words[i : i + n] for i in range(len(words) - n + 1))
    counts.pop(" ", None)  # the share of spaces, or length of words, is in the longer n-grams too
    return counts


class LanguageId:
    """Naive Bayes over character n-grams.

    samples  {language: text}; by default seventeen languages from language_samples.py
    add      added to the count of every n-gram in every language, so that none has probability 0
    most     characters of a text that are read: the first ones
    raises   ConfigError for fewer than two languages or a sample without letters
    """

    def __init__(
        self, samples: dict[str, str] | None = None, add: float = 0.5, most: int = 1000
    ) -> None:
        if samples is None:
            samples = SAMPLES
        if len(samples) < 2:
            raise ConfigError(
                f"language id: {len(samples)} languages leave no choice: "
                "give samples of two or more"
            )
        counts = {language: character_ngrams(text) for language, text in samples.items()}
        empty = [language for language, text in samples.items() if not regex.search(r"\p{L}", text)]
        if empty:
            raise ConfigError(f"language id: the sample of {empty[0]!r} has no letters")
        self.languages, self.most = tuple(samples), most
        self._row = {ngram: i for i, ngram in enumerate(sorted(set().union(*counts.values())))}
        # Counts of each n-gram (row) in each language (column); the last row is of unseen n-grams.
        table = np.full((len(self._row) + 1, len(counts)), float(add))
        for column, counted in enumerate(counts.values()):
            for ngram, n in counted.items():
                table[self._row[ngram], column] += n
        self._log = np.log(table / table.sum(0))  # (N + 1, languages), log P(n-gram | language)

    def log_probabilities(self, text: str) -> np.ndarray:
        """log P(language | text) for equal priors: (languages,) float64, as in `self.languages`.

        Overlapping n-grams are not independent, as the sum supposes: the probabilities are too
        close to 0 and 1.
        """
        counts = character_ngrams(text[: self.most])
        unseen = len(self._row)
        rows = [self._row.get(ngram, unseen) for ngram in counts]
        occurrences = np.fromiter(counts.values(), np.float64, len(counts))  # (N,)
        scores = occurrences @ self._log[np.array(rows, np.int64)]  # (N,) @ (N, languages)
        return scores - np.logaddexp.reduce(scores)  # normalized

    def detect(self, text: str) -> tuple[str | None, float]:
        """(language, its probability). A text without letters is (None, 0.0)."""
        if not regex.search(r"\p{L}", text[: self.most]):
            return None, 0.0
        scores = self.log_probabilities(text)
        best = int(scores.argmax())
        return self.languages[best], float(np.exp(scores[best]))

    def keeps(self, *languages: str, least: float = 0.5) -> Callable:
        """The rule that a text is in one of `languages`, with probability `least` or more.

        raises  DataError for a language without a sample
        """
        unknown = [language for language in languages if language not in self.languages]
        if unknown:
            raise DataError(
                f"language id: no sample of {unknown[0]!r}; there are {', '.join(self.languages)}"
            )

        def in_language(text):
            language, probability = self.detect(text)
            return language in languages and probability >= least

        return in_language
