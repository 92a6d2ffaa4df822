"""Which language a text is in, from the letters that follow each other in it.

Cavnar & Trenkle 1994 noticed that the commonest character n-grams of a language give it away in a
line or two of text. Here each language is a distribution over n-grams of one to three characters,
and Bayes' rule with equal priors chooses among them: the log-probabilities of the n-grams of the
text are summed per language. Book section 2.2.1 (filtering what was collected from the web). Read
next: quality.py.
"""

from collections import Counter

import numpy as np
import regex

from tinylm.data.clean.language_samples import SAMPLES
from tinylm.errors import ConfigError, DataError
from tinylm.writing import composed

_NOT_LETTERS = regex.compile(r"[^\p{L}\p{M}]+")
ORDERS = (1, 2, 3)


def character_ngrams(text, orders=ORDERS):
    """How often each n-gram of characters stands in the words of a text, borders of words being
    part of them.

    returns  Counter {str: occurrences}; letters in lower case, all else a space
    """
    words = " " + _NOT_LETTERS.sub(" ", composed(text).lower()).strip() + " "
    counts = Counter()
    for n in orders:
        counts.update(words[i : i + n] for i in range(len(words) - n + 1))
    counts.pop(" ", None)  # how long words are is what longer n-grams tell
    return counts


class LanguageId:
    """Naive Bayes over character n-grams.

    samples  {language: text}; by default seventeen languages from language_samples.py
    add      counted for every n-gram of any sample before the samples are, so that nothing is
             impossible
    most     characters of a text that are looked at: the first ones
    raises   ConfigError for fewer than two languages or a sample without letters
    """

    def __init__(self, samples=None, add=0.5, most=1000):
        if samples is None:
            samples = SAMPLES
        if len(samples) < 2:
            raise ConfigError(
                f"language id: {len(samples)} languages leave no choice: give samples of two or more"
            )
        counts = {language: character_ngrams(text) for language, text in samples.items()}
        empty = [language for language, text in samples.items() if not regex.search(r"\p{L}", text)]
        if empty:
            raise ConfigError(f"language id: the sample of {empty[0]!r} has no letters")
        self.languages, self.most = tuple(samples), most
        self._row = {ngram: i for i, ngram in enumerate(sorted(set().union(*counts.values())))}
        table = np.full(
            (len(self._row) + 1, len(counts)), float(add)
        )  # the last row: n-grams never seen
        for column, counted in enumerate(counts.values()):
            for ngram, n in counted.items():
                table[self._row[ngram], column] += n
        self._log = np.log(table / table.sum(0))  # (N + 1, languages)

    def log_probabilities(self, text):
        """log P(language | text) for equal priors: (languages,) float64, in the order of
        `self.languages`.

        Overlapping n-grams are no independent witnesses: the probabilities are surer of themselves
        than they should be.
        """
        counts = character_ngrams(text[: self.most])
        unseen = len(self._row)
        rows = np.fromiter(
            (self._row.get(ngram, unseen) for ngram in counts), np.int64, len(counts)
        )
        scores = np.fromiter(counts.values(), np.float64, len(counts)) @ self._log[rows]
        return scores - np.logaddexp.reduce(scores)

    def detect(self, text):
        """(language, its probability). A text without letters is (None, 0.0)."""
        if not regex.search(r"\p{L}", text[: self.most]):
            return None, 0.0
        scores = self.log_probabilities(text)
        best = int(scores.argmax())
        return self.languages[best], float(np.exp(scores[best]))

    def keeps(self, *languages, least=0.5):
        """A rule for a pipeline: True for text in one of `languages`, with probability `least` or
        more.

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
