"""Which demonstrations, and in which order: at random, the nearest, or different ones   (book
section 3.3.1; Liu et al. 2022).

Demonstrations near to the question help more than random ones. Near means words in common (BM25) or
a small angle between embeddings. The nearest are often copies of each other: maximal marginal
relevance takes distance from those already chosen into account (Carbonell and Goldstein 1998).

    next = argmax over d of  t sim(d, q) - (1 - t) max over chosen c of sim(d, c)

A selector is a function of the question and k. It returns the most similar demonstration last, next
to the question, so that few_shot.py drops it last. The question itself is never among them. Read
next: learned_retriever.py, clusters.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import Random
from tinylm.data.clean.words import words
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.generate.retrieval.neighbors import knn_search


def text_of(item: Item) -> str:
    """What items are compared by: passage and question."""
    return "\n".join(filter(None, [item.context, item.question]))


def others(pool: Sequence[Item], item: Item) -> np.ndarray:
    """The numbers of the demonstrations that do not have the question itself: (n,) integers."""
    asked = text_of(item)
    return np.array([i for i, demo in enumerate(pool) if text_of(demo) != asked], np.int64)


def first_allowed(order: np.ndarray, pool: Sequence[Item], item: Item, k: int) -> list[Item]:
    """The first k demonstrations of a ranking, the best one last.

    order    numbers of demonstrations, best first
    returns  list of Items; fewer if the pool has no more
    """
    if k < 0:
        raise ConfigError(f"the number of demonstrations must be 0 or more, not {k}")
    allowed = set(others(pool, item).tolist())
    chosen = [int(i) for i in order if int(i) in allowed][:k]
    return [pool[i] for i in reversed(chosen)]


def random_demonstrations(pool: Sequence[Item], item: Item, k: int, seed: int = 0) -> list[Item]:
    """k different demonstrations in random order: what a selection is compared with."""
    return first_allowed(Random(seed, "demonstrations").permutation(len(pool)), pool, item, k)


class NearestByWords:
    """The demonstrations whose questions share the rarest words with a question: BM25.

    pool   list of Items with answers;  k1, b  as in InvertedIndex
    """

    def __init__(self, pool: Sequence[Item], k1: float = 1.2, b: float = 0.75) -> None:
        self.pool = list(pool)
        self.index = InvertedIndex([text_of(demo) for demo in self.pool], k1, b)

    def ranked(self, item: Item) -> np.ndarray:
        """All demonstrations, best first: (n,) integers; of equal scores the earlier first."""
        return np.argsort(-self.index.scores(text_of(item)), kind="stable")

    def __call__(self, item: Item, k: int) -> list[Item]:
        return first_allowed(self.ranked(item), self.pool, item, k)


class NearestByEmbedding:
    """The demonstrations nearest to a question among embeddings   (Liu et al. 2022, KATE)

    pool    list of Items with answers
    embed   function from a list of n texts to (n, D) floating point
    metric  "cosine": the angle; "l2": Euclidean distance
    """

    def __init__(self, pool: Sequence[Item], embed: "BagOfWords", metric: str = "cosine") -> None:
        if metric not in ("cosine", "l2"):
            raise ConfigError(f"NearestByEmbedding: metric {metric!r} is not 'cosine' or 'l2'")
        self.pool, self.embed, self.metric = list(pool), embed, metric
        self.keys = self.vectors([text_of(demo) for demo in self.pool])  # (n, D)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings of texts, of length 1 for angles: (n, D) float64."""
        vectors = np.asarray(self.embed(texts), np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ShapeError(
                f"embed returned {vectors.shape} for {len(texts)} texts; it must be one row each"
            )
        if self.metric == "cosine":  # |a - b|^2 = 2 - 2 cos: both metrics are one search
            return directions(vectors)
        return vectors

    def ranked(self, item: Item) -> np.ndarray:
        """All demonstrations, nearest first: (n,) integers; of equals the earlier first."""
        return knn_search(self.vectors([text_of(item)]), self.keys, len(self.pool))[1][0]

    def __call__(self, item: Item, k: int) -> list[Item]:
        return first_allowed(self.ranked(item), self.pool, item, k)


class Diverse(NearestByEmbedding):
    """Near demonstrations that differ from each other: maximal marginal relevance of cosines.

    trade_off  t of the formula: 1 is NearestByEmbedding, 0 looks at the question for the first
               demonstration only
    """

    def __init__(self, pool: Sequence[Item], embed: "BagOfWords", trade_off: float = 0.5) -> None:
        super().__init__(pool, embed)
        if not 0 <= trade_off <= 1:
            raise ConfigError(f"Diverse: trade_off {trade_off} must be from 0 to 1")
        self.trade_off = trade_off

    def __call__(self, item: Item, k: int) -> list[Item]:
        allowed = others(self.pool, item)
        keys = self.keys[allowed]  # (n, D)
        query = self.vectors([text_of(item)])[0]  # (D,)
        chosen = marginal_relevance(keys @ query, keys @ keys.T, k, self.trade_off)
        return first_allowed(allowed[chosen], self.pool, item, k)


def marginal_relevance(
    relevance: np.ndarray, similarity: np.ndarray, k: int, trade_off: float = 0.5
) -> list[int]:
    """The order in which maximal marginal relevance chooses   (Carbonell and Goldstein 1998)

    relevance   (n,) similarity to the question
    similarity  (n, n) of the candidates
    returns     list of at most k indices; the first is the most relevant, and of equals the earlier
    """
    n = len(relevance)
    closest = np.zeros(n)  # to any chosen one; the first is chosen by relevance alone
    left = np.ones(n, bool)
    chosen = []
    for _ in range(min(k, n)):
        scores = trade_off * relevance - (1 - trade_off) * closest
        if not chosen:
            scores = relevance
        best = int(np.where(left, scores, -np.inf).argmax())
        chosen.append(best)
        left[best] = False
        closest = similarity[:, chosen].max(axis=1)
    return chosen


def arranged(demonstrations: Sequence[Item], order: str = "nearest last", seed: int = 0) -> list:
    """What a selector chose, in another order.

    order   "nearest last", as selectors return it; "nearest first"; "random", by the seed
    raises  ConfigError for another
    """
    demonstrations = list(demonstrations)
    if order == "nearest last":
        return demonstrations
    if order == "nearest first":
        return demonstrations[::-1]
    if order == "random":
        return [demonstrations[i] for i in Random(seed, "order").permutation(len(demonstrations))]
    raise ConfigError(f"no order {order!r}: 'nearest last', 'nearest first' or 'random'")


def directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, D) divided by their lengths; the zero vector stays."""
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return vectors / np.where(lengths > 0, lengths, 1.0)


class BagOfWords:
    """An embedding without a model: counts of words, rare words weighted up by BM25's idf.

    texts   whose words are the axes, in alphabetical order; other words are not counted
    """

    def __init__(self, texts: Sequence[str]) -> None:
        index = InvertedIndex(texts)
        vocabulary = sorted({word for text in index.documents for word in words(text)})
        self.axes = {word: axis for axis, word in enumerate(vocabulary)}
        self.weights = np.array([index.idf(word) for word in vocabulary])  # (V,)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Texts as vectors: (n, V) float64."""
        vectors = np.zeros((len(texts), len(self.axes)))
        for row, text in enumerate(texts):
            for word in words(text):
                if word in self.axes:
                    vectors[row, self.axes[word]] += 1
        return vectors * self.weights
