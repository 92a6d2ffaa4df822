"""Diversity of n-best lists: what there is to choose from   (book section 4.4.5).

The strings of a list often differ in a word or two, and a reward model has then little to choose.
A higher temperature, or the lists of several models, give more different candidates of lower
quality each; the best of the list may rise all the same, up to a point. Read next: rejection.py.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.inference.law import expected_best
from tinylm.data.measure.answers import edit_distance


@dataclass(frozen=True)
class Diversity:
    """Of one list: the share of different candidates; the mean edit distance of two candidates as a
    share of the longer one; the number of candidates.
    """

    distinct: float
    distance: float
    count: int


def list_diversity(candidates: Sequence[tuple[int, ...]]) -> Diversity:
    """Diversity of a list of sequences of tokens.

    A list of one has distance 0.
    """
    candidates = [tuple(one) for one in candidates]
    n = len(candidates)
    # Equal strings have distance 0 and need no table.
    pairs = [
        edit_distance(a, b) / max(len(a), len(b)) if a != b else 0.0
        for a, b in itertools.combinations(candidates, 2)
    ]
    mean = 0.0
    if pairs:
        mean = float(np.mean(pairs))
    return Diversity(len(set(candidates)) / max(n, 1), mean, n)


def joined_lists(lists: Sequence[list[str]]) -> list[str]:
    """The candidates of several lists, as of several models: each once, in the order of ranks."""
    found = {}
    for rank in range(max(map(len, lists), default=0)):
        for candidates in lists:
            if rank < len(candidates):
                found.setdefault(candidates[rank])
    return list(found)


def tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    """The law p^(1/T) / Z of whole responses: (K,) -> (K,).

    Sampling tokens at temperature T gives it exactly for responses of one token, and nearly
    otherwise.
    """
    p = np.asarray(p, float)
    with np.errstate(divide="ignore"):  # log 0 = -inf stays probability 0
        logs = np.log(p) / temperature
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def expected_distinct(p: np.ndarray, n: int) -> float:
    """The expected number of different responses among n independent samples: float.

    sum over y of 1 - (1 - p(y))^n
    """
    return float(np.sum(1 - (1 - np.asarray(p, float)) ** n))


def temperature_sweep(
    p: np.ndarray, rewards: np.ndarray, n: int, temperatures: Sequence[float]
) -> list[dict[str, float]]:
    """Diversity against quality of n samples, exactly: list of dict, one for each temperature.

    p         (K,) probabilities of all responses at temperature 1;  rewards (K,)
    returns   temperature, distinct (expected number of n), mean (expected reward of a sample), best
              (expected reward of the best of n)
    """
    rows = []
    for temperature in temperatures:
        q = tempered(p, temperature)
        rows.append(
            {
                "temperature": temperature,
                "distinct": expected_distinct(q, n),
                "mean": float(q @ np.asarray(rewards, float)),
                "best": expected_best(q, rewards, n),
            }
        )
    return rows
