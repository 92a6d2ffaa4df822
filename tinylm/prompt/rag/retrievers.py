"""Which passages belong to a question: by words, by meaning, by both, and by a second look
(book section 3.2.5, the second step of RAG).

A retriever has `documents`, a list of texts, and `search(query, k)`, which returns the k best as
(number, score), best first. InvertedIndex (generate/retrieval/bm25.py) compares words. Dense
compares vectors of meaning, and finds a passage that says the same in other words; it misses names
and numbers that it never saw. Hybrid takes what both find. Reranked scores the best few again with
a slow and better function. Read next: prompt.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval.neighbors import knn_search
from tinylm.models.published.sentence_encoder import load_sentence_encoder, unit
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.rag.chunks import Passage, merged
from tinylm.prompt.rag.prompt import longest_beginning

BATCH = 32  # texts embedded at a time


@dataclass(frozen=True)
class FoundTexts:
    """What a retriever found.

    passages  list of Passage, the most relevant first
    ranking   list of (number, score) as the retriever gave them
    """

    passages: list
    ranking: list

    @property
    def texts(self) -> list[str]:
        """The texts of the passages: list of str."""
        return [passage.text for passage in self.passages]

    @property
    def best(self) -> Any:
        """The highest score; minus infinity if nothing was found."""
        return max((score for _, score in self.ranking), default=-np.inf)


def find_texts(retriever: Any, query: str, k: int) -> FoundTexts:
    """The k best texts for a query: FoundTexts. k = 0 does not call the retriever.

    A retriever with `passages`, such as an index of files, may find neighbors that overlap: those
    become one text. The passages of another one are its documents, named by their numbers.
    """
    ranking = []
    if k > 0:
        ranking = retriever.search(query, k)
    passages = getattr(retriever, "passages", None)
    if passages is not None:
        # Neighbors share sentences: as one text nothing is read twice.
        found = merged([passages[i] for i, _ in ranking])
    else:
        texts = [(i, retriever.documents[i]) for i, _ in ranking]
        found = [Passage(i, 0, len(text), text) for i, text in texts]
    return FoundTexts(found, ranking)


class Dense:
    """Passages as vectors; the score of a passage is the cosine of its angle to the query.

    documents  list of str
    embed      function from a list of N str to (N, D) vectors of any length; None:
               all-MiniLM-L6-v2, which reads the first 256 tokens of a text
    vectors    (N, D) vectors of the documents, if they are already there
    raises     ShapeError if there is not one vector for each document
    """

    def __init__(
        self,
        documents: Sequence[str],
        embed: Callable | None = None,
        vectors: np.ndarray | None = None,
    ) -> None:
        self.documents = list(documents)
        self.embed = embed
        if embed is None:
            self.embed = load_sentence_encoder("minilm")
        if vectors is None:
            vectors = embed_all(self.embed, self.documents)
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or len(vectors) != len(self.documents):
            raise ShapeError(
                f"Dense: vectors {vectors.shape} for {len(self.documents)} documents; "
                "give one row for each"
            )
        # Of unit length, so that inner products are cosines: (N, D) @ (D,)
        self.vectors = unit(vectors)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k documents nearest to the query: list of (number, cosine), best first."""
        if k < 1 or not self.documents:
            return []
        query = unit(np.asarray(self.embed([query]), np.float64))  # (1, D)
        k = min(k, len(self.documents))
        distances, numbers = knn_search(query, self.vectors, k, "ip")  # minus the cosine
        return [(int(i), float(-d)) for i, d in zip(numbers[0], distances[0])]


def embed_all(embed: Callable, texts: Sequence[str]) -> np.ndarray:
    """Vectors of many texts: (N, D) float64. Texts of similar length share a batch."""
    if not texts:
        return np.zeros((0, 1))
    # Texts of a batch are padded to the longest of them.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = [
        np.asarray(embed([texts[i] for i in order[start : start + BATCH]]), np.float64)
        for start in range(0, len(order), BATCH)
    ]
    vectors = np.concatenate(parts)
    found = np.empty_like(vectors)
    # Row i belongs to text order[i].
    found[order] = vectors
    return found


def reciprocal_rank_fusion(
    results: Sequence[list[tuple]], constant: int = 60
) -> list[tuple[int, float]]:
    """One ranking from several: score(d) = sum over rankings of 1 / (constant + rank of d)

    Only ranks count, so the scores of different retrievers need not be comparable. The constant
    limits what a single first place is worth; 60 is the value of the paper.

    results  lists of (number, score), best first
    returns  list of (number, fused score), best first; of equal scores the lower number
    source   Cormack, Clarke & Buettcher 2009
    """
    fused = {}
    for result in results:
        # A document that a list does not hold gets nothing, as from an infinite rank.
        for rank, (number, _) in enumerate(result, 1):
            fused[number] = fused.get(number, 0.0) + 1 / (constant + rank)
    return _ordered(fused)


def weighted_fusion(
    results: Sequence[list[tuple]], weights: tuple[float, ...]
) -> list[tuple[int, float]]:
    """One ranking from several: the weighted sum of scores, each list's scaled to 0 .. 1.

    The best of a list gets its whole weight and the last of it nothing, like documents that the
    list does not hold; where all scores are equal, all get the whole weight.

    results  lists of (number, score), best first
    weights  one for each list
    returns  as reciprocal_rank_fusion
    """
    if len(weights) != len(results):
        raise ConfigError(f"weighted_fusion: {len(weights)} weights for {len(results)} rankings")
    fused = {}
    for result, weight in zip(results, weights):
        scores = np.array([score for _, score in result])
        if not len(scores):
            continue
        # (s - min) / (max - min): a cosine is at most 1, and BM25 has no largest value.
        width = scores.max() - scores.min()
        scaled = np.ones(len(scores))
        if width > 0:
            scaled = (scores - scores.min()) / width
        for (number, _), share in zip(result, scaled):
            fused[number] = fused.get(number, 0.0) + weight * float(share)
    return _ordered(fused)


class Hybrid:
    """Several retrievers over the same documents, whose rankings are fused.

    retrievers  such as [InvertedIndex(texts), Dense(texts)]
    fuse        function from the list of their results to one: reciprocal_rank_fusion, or
                functools.partial(weighted_fusion, weights=(0.3, 0.7))
    depth       how many results of each are fused; at least k are
    """

    def __init__(
        self, retrievers: Sequence, fuse: Callable = reciprocal_rank_fusion, depth: int = 50
    ) -> None:
        self.retrievers, self.fuse, self.depth = list(retrievers), fuse, depth
        if not self.retrievers:
            raise ConfigError("Hybrid: give at least one retriever")
        self.documents = self.retrievers[0].documents
        if any(other.documents != self.documents for other in self.retrievers):
            raise ConfigError("Hybrid: the retrievers must have the same documents, in one order")

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best by the fused score: list of (number, score), best first."""
        # A passage in the middle of both lists may beat the first of one.
        depth = max(k, self.depth)
        results = [retriever.search(query, depth) for retriever in self.retrievers]
        return self.fuse(results)[:k]


class Reranked:
    """The best of a fast retriever in the order of a slow score.

    retriever  finds the candidates
    score      function (query, list of n texts) -> (n,) numbers, such as question_likelihood(lm)
    depth      how many candidates are scored; at least k are
    """

    def __init__(self, retriever: Any, score: Callable, depth: int = 20) -> None:
        self.retriever, self.score, self.depth = retriever, score, depth
        self.documents = retriever.documents
        if hasattr(retriever, "passages"):  # an index of files knows where its texts stand
            self.passages = retriever.passages

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best of the candidates by the slow score: list of (number, score), best first."""
        numbers = [number for number, _ in self.retriever.search(query, max(k, self.depth))]
        if not numbers:
            return []
        # The fast retriever only has to have the right text among its candidates.
        scores = np.asarray(self.score(query, [self.documents[i] for i in numbers]), np.float64)
        order = np.argsort(-scores, kind="stable")[:k]  # equal ones keep the order of the retriever
        return [(numbers[i], float(scores[i])) for i in order]


PASSAGE_PROMPT = "Passage: {text}\nPlease write a question based on this passage.\nQuestion:"


def question_likelihood(lm: TextLM, prompt: str = PASSAGE_PROMPT) -> Callable:
    """A score for Reranked: log Pr(question | passage) a token, under a language model.

    A passage that answers a question makes it probable; no model is trained for this. Where a
    passage and the question are longer than the model's context, the end of the passage is cut off.

    lm       TextLM
    prompt   with a slot {text} for the passage
    returns  function (query, list of n texts) -> (n,) float64, in nats a token
    source   Sachan et al. 2022
    """

    def score(query, texts):
        question = f" {query.strip()}"

        def filled(text):
            return prompt.replace("{text}", text)

        def fits(text):
            return lm.context is None or lm.length(filled(text), question) <= lm.context

        prompts = []
        for text in map(str.strip, texts):
            if not fits(text):
                text = longest_beginning(text, fits)
            prompts.append(filled(text))
        # log Pr(z | q) = log Pr(q | z) + log Pr(z) - log Pr(q), and the last is the same for all z:
        # with equal Pr(z) this ranks them by Pr(z | q).
        found = lm.score_batch(prompts, [question])
        return np.array([scores.by("token")[0] for scores in found])

    return score


def _ordered(fused):
    """A dict from numbers to scores as a ranking."""
    return sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))
