"""How much of one training text does a model know by heart?

Put a random secret, a *canary*, into the training text, and see how high the trained model ranks it
among all secrets that could have been (Carlini et al. 2019):

    exposure(s) = log2 (number of candidates) - log2 (rank of s by loss)

A canary that was never seen ranks anywhere, and has exposure 1.44 = log2 e on average; one that
ranks first has log2 of the number of candidates, all its bits. Exposure grows with the copies,
which is why near duplicates and personal data are removed (book section 2.2.1; clean/dedup.py,
clean/privacy.py). A model is any function text -> loss.
"""

import math

import numpy as np

from tinylm.backend import Random


def canaries(count, template="My secret number is {}.", digits=6, seed=0):
    """Sentences that differ in a number: `count` distinct ones, drawn at random.

    returns  list of str
    """
    total = 10**digits
    numbers = dict.fromkeys(Random(seed, "canaries").integers(0, total, (4 * count + 64,)).tolist())
    return [template.format(f"{number:0{digits}d}") for number in list(numbers)[:count]]


def with_canary(documents, canary, copies, seed=0):
    """A corpus with `copies` of a canary at random places. Returns list of str."""
    documents = list(documents)
    places = np.sort(Random(seed, "places").integers(0, len(documents) + 1, (copies,)))
    for place in places[::-1].tolist():
        documents.insert(place, canary)
    return documents


def exposure(loss, canary, candidates):
    """log2 of the number of candidates over the rank of the canary among them, the smallest loss
    being rank 1.

    loss        function text -> number, such as minus the log-probability
    canary      str
    candidates  the other secrets it might have been, drawn as the canary was
    returns     bits, from 0 to log2(len(candidates) + 1); candidates of the same loss count half
    """
    own = loss(canary)
    losses = [loss(other) for other in candidates if other != canary]
    rank = 1 + sum(1.0 if other < own else 0.5 if other == own else 0.0 for other in losses)
    return math.log2(len(losses) + 1) - math.log2(rank)
