"""How different are the texts of a set? Three measures   (book sections 4.2.2.1 and 4.2.4).

    distinct-n          different n-grams / n-grams                   Li et al. 2016
    pairwise overlap    mean ROUGE-L of two different texts           Wang et al. 2023
    dispersion          mean distance of two different embeddings, 1 - cosine

Data that differ make a model robust and help it with tasks it was not tuned on. No measure sees
whether a text is good: random words are very diverse. Read next: pool.py.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.clean.words import words
from tinylm.data.measure.answers import rouge_l
from tinylm.errors import ConfigError, ShapeError


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Different n-grams over all n-grams of all texts   (Li et al. 2016)

    texts    list of str
    returns  0 .. 1; 0 if no text has n words
    raises   ConfigError for n below 1
    """
    if n < 1:
        raise ConfigError(f"distinct_n: n-grams of n={n} words; n must be 1 or more")
    grams = []
    for text in texts:
        found = words(text)
        grams += zip(*(found[i:] for i in range(n)))  # (w_1 .. w_n), (w_2 .. w_n+1), ..
    if not grams:
        return 0.0
    return len(set(grams)) / len(grams)


def text_overlap(a: str, b: str) -> float:
    """ROUGE-L of two texts, in words without case and punctuation: 0 .. 1, symmetric."""
    return rouge_l(words(a), words(b))


def pairwise_overlap(texts: Sequence[str]) -> float:
    """The mean ROUGE-L of all pairs of different texts: 0 .. 1, small for diverse ones.

    raises   ConfigError for fewer than two texts
    """
    _two("pairwise_overlap", texts)
    pairs = itertools.combinations(texts, 2)
    return float(np.mean([text_overlap(a, b) for a, b in pairs]))


def dispersion(vectors: ArrayLike) -> float:
    """The mean of 1 - cos(v_i, v_j) over pairs i < j: 0 (all alike) to n / (n - 1).

        mean over i < j of cos = (|sum_i u_i|^2 - n) / (n (n - 1)),     u_i = v_i / |v_i|

    vectors  (n, D) embeddings, none of them 0
    raises   ShapeError for another shape, or a vector of zeros; ConfigError for fewer than two
    """
    vectors = np.asarray(vectors, np.float64)
    _two("dispersion", vectors)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if vectors.ndim != 2 or not lengths.all():
        raise ShapeError(
            f"dispersion: vectors {vectors.shape} must be (n, D), and none of them all zeros"
        )
    n = len(vectors)
    whole = (vectors / lengths).sum(axis=0)  # (D,) sum_i u_i
    return 1 - float((whole @ whole - n) / (n * (n - 1)))


def diversity(texts: Sequence[str], embed: Callable | None = None) -> dict[str, float]:
    """The measures of a set of texts: {"distinct_1", "distinct_2", "overlap", "dispersion"}.

    embed    function from n texts to (n, D); without it there is no "dispersion"
    """
    texts = list(texts)
    found = {
        "distinct_1": distinct_n(texts, 1),
        "distinct_2": distinct_n(texts, 2),
        "overlap": pairwise_overlap(texts),
    }
    if embed is not None:
        found["dispersion"] = dispersion(embed(texts))
    return found


def _two(name, items):
    if len(items) < 2:
        raise ConfigError(f"{name}: {len(items)} items; pairs need two or more")
