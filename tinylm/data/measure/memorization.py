"""How much of a training text does a model memorize?

Put a random secret, a *canary*, into the training text, and compute its rank under the trained
model among all secrets that could have been chosen (Carlini et al. 2019):

    exposure(s) = log2 (number of candidates) - log2 (rank of s by loss)

The rank of a canary that was never seen is uniform, and its exposure 1.44 = log2 e on average; one
that ranks first has log2 of the number of candidates, all its bits. Exposure grows with the number
of copies, which is why near duplicates and personal data are removed (book section 2.2.1;
clean/dedup.py, clean/privacy.py). A model is any function text -> loss.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import Random


def canaries(
    count: int, template: str = "My secret number is {}.", digits: int = 6, seed: int = 0
) -> list[str]:
    """Sentences that differ in a number: `count` distinct ones, drawn at random.

    returns  list of str
    """
    total = 10**digits
    # More than needed, since repeated numbers are dropped (a dict keeps the order of the rest).
    drawn = Random(seed, "canaries").integers(0, total, (4 * count + 64,)).tolist()
    numbers = list(dict.fromkeys(drawn))[:count]
    return [template.format(f"{number:0{digits}d}") for number in numbers]


def with_canary(documents: list[str], canary: str, copies: int, seed: int = 0) -> list[str]:
    """A corpus with `copies` of a canary at random places. Returns list of str."""
    documents = list(documents)
    places = np.sort(Random(seed, "places").integers(0, len(documents) + 1, (copies,)))
    for place in places[::-1].tolist():  # from the end: places before it stay valid
        documents.insert(place, canary)
    return documents


def exposure(loss: Callable, canary: str, candidates: str | Sequence[str]) -> float:
    """The exposure of a canary, in bits; the smallest loss has rank 1.

    loss        function text -> number, such as minus the log-probability
    canary      str
    candidates  the other possible secrets, drawn from the same distribution as the canary
    returns     from 0 to log2(len(candidates) + 1)
    """
    own = loss(canary)
    losses = np.array([loss(other) for other in candidates if other != canary])
    # A candidate of equal loss counts half: its order is a coin flip.
    rank = 1 + float((losses < own).sum() + 0.5 * (losses == own).sum())
    return math.log2(len(losses) + 1) - math.log2(rank)
