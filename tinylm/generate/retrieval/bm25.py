"""Full-text search: an inverted index ranked by BM25 (book section 2.3.3.2; Robertson and Zaragoza
2009).

score(q, d) = sum over words w of q of idf(w) f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|)),
where f counts w in d and idf(w) = log(1 + (N - n_w + 1/2) / (n_w + 1/2)) for n_w of N documents
that hold w. The 1 keeps it positive; without it a word in more than half of the documents would
count against a document. Read next: rag.py.
"""

import collections
import math

import numpy as np

from tinylm.data.clean.words import words
from tinylm.errors import ConfigError


def expand_query(query, related):
    """A query with the words that mean or form the same   (book section 2.3.3.2, the footnote on
    query generation)

    related  dict from a word to the words to add after it
    returns  str; each added word once
    """
    have = words(query)
    return " ".join(
        dict.fromkeys([*have, *(more for word in have for more in related.get(word, ()))])
    )


class InvertedIndex:
    """For each word the documents that hold it.

    documents  list of str
    k1         how much a word's second and third occurrence add: 0 not at all;  b from 0 to 1: how much length costs
    """

    def __init__(self, documents, k1=1.2, b=0.75):
        if k1 < 0 or not 0 <= b <= 1:
            raise ConfigError(f"InvertedIndex: k1 {k1} must be 0 or more and b {b} from 0 to 1")
        self.documents, self.k1, self.b = list(documents), k1, b
        counts = [collections.Counter(words(document)) for document in self.documents]
        self.lengths = np.array([count.total() for count in counts], np.float64)
        self.mean_length = self.lengths.mean() if len(counts) and self.lengths.any() else 1.0
        self.postings = collections.defaultdict(list)  # word -> [(document, count)]
        for i, count in enumerate(counts):
            for word, n in count.items():
                self.postings[word].append((i, n))

    def idf(self, word):
        """How telling a word is: log(1 + (N - n + 1/2) / (n + 1/2)), falling in n and never
        negative.
        """
        n = len(self.postings.get(word, ()))
        return math.log1p((len(self.documents) - n + 0.5) / (n + 0.5))

    def scores(self, query):
        """BM25 of every document: (N,) float64; zeros for a query without known words. A word said
        twice counts twice.
        """
        scores = np.zeros(len(self.documents))
        for word in words(query):
            idf = self.idf(word)
            for i, f in self.postings.get(word, ()):
                size = 1 - self.b + self.b * self.lengths[i] / self.mean_length
                scores[i] += idf * f * (self.k1 + 1) / (f + self.k1 * size)
        return scores

    def search(self, query, k):
        """The k best documents that share a word with the query: list of (document number, score),
        best first.

        Of equal scores the earlier document comes first.
        """
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:k]
        return [(int(i), float(scores[i])) for i in order if scores[i] > 0]
