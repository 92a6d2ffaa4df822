"""Full-text search: an inverted index ranked by BM25 (book section 2.3.3.2; Robertson and Zaragoza
2009).

    score(q, d) = sum over words w of q of idf(w) f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|))

where f counts w in d and idf(w) = log(1 + (N - n_w + 1/2) / (n_w + 1/2)) if n_w of N documents
contain w. The 1 keeps it positive; without it a word in more than half of the documents would lower
the score. Words are compared as they are written, but for capitals: "sleeps" does not find "sleep"
unless a stemmer makes them one word; expand_query() adds single forms. Read next: rag.py.
"""

import collections
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.data.clean.words import words
from tinylm.errors import ConfigError


def expand_query(query: str, related: dict[str, list[str]]) -> str:
    """A query with synonyms and other forms of its words   (book section 2.3.3.2, the footnote on
    query generation)

    related  dict from a word to the words to add after it
    returns  str; every word once
    """
    found = words(query)
    expanded = list(found)
    for word in found:
        expanded += related.get(word, ())
    return " ".join(dict.fromkeys(expanded))  # a dict keeps the order and drops repetitions


class InvertedIndex:
    """For each word the documents that contain it.

    documents  list of str
    k1         how much a word's second and third occurrence add; 0: nothing
    b          from 0 to 1: how much a document's length lowers its score
    stem       function from a word to what is compared, such as porter_stem of
               data/clean/stem.py for English; None: the word
    """

    def __init__(
        self,
        documents: Sequence[str],
        k1: float = 1.2,
        b: float = 0.75,
        stem: Callable | None = None,
    ) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ConfigError(f"InvertedIndex: k1 {k1} must be 0 or more and b {b} from 0 to 1")
        self.documents, self.k1, self.b, self.stem = list(documents), k1, b, stem
        counts = [collections.Counter(self.terms(document)) for document in self.documents]
        lengths = [count.total() for count in counts]
        postings = collections.defaultdict(list)  # word -> [(document, count)]
        for i, count in enumerate(counts):
            for word, n in count.items():
                postings[word].append((i, n))
        self._hold(lengths, postings)

    @classmethod
    def of_postings(
        cls,
        documents: Sequence[str],
        lengths: np.ndarray,
        postings: Any,
        k1: float = 1.2,
        b: float = 0.75,
        stem: Callable | None = None,
    ) -> "InvertedIndex":
        """An index of documents whose words were counted before, such as by another run.

        lengths   (N,) words of each document
        postings  has get(word, default) -> list of (document, count); with `stem`, of stems
        """
        index = cls([], k1, b, stem)
        index.documents = list(documents)
        index._hold(lengths, postings)
        return index

    def _hold(self, lengths, postings):
        self.postings = postings
        self.lengths = np.asarray(lengths, np.float64)  # (N,)
        self.mean_length = 1.0  # divides; any number will do where there are no words
        if self.lengths.any():
            self.mean_length = self.lengths.mean()

    def terms(self, text: str) -> list[str]:
        """What is compared of a text: its words, or their stems, in order."""
        found = words(text)
        if self.stem is None:
            return found
        return [self.stem(word) for word in found]

    def idf(self, word: str) -> float:
        """Inverse document frequency, log(1 + (N - n + 1/2) / (n + 1/2)): high for rare words."""
        if self.stem is not None:
            word = self.stem(word)
        return self._idf(word)

    def _idf(self, term):
        # Of a term, which is not stemmed again: stems of stems are other words.
        n = len(self.postings.get(term, ()))
        return math.log1p((len(self.documents) - n + 0.5) / (n + 0.5))

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every document: (N,) float64. A word that is twice in the query counts twice."""
        scores = np.zeros(len(self.documents))
        for term in self.terms(query):
            idf = self._idf(term)
            for i, f in self.postings.get(term, ()):  # documents without the word get nothing
                length = 1 - self.b + self.b * self.lengths[i] / self.mean_length
                scores[i] += idf * f * (self.k1 + 1) / (f + self.k1 * length)
        return scores

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best of the documents that share a word with the query.

        returns  list of (document number, score), best first; of equal scores the earlier document
        """
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:k]
        return [(int(i), float(scores[i])) for i in order if scores[i] > 0]
