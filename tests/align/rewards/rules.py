"""The losses of scores once more, in loops over numbers, and the same with one error each.

A gradient check finds a wrong derivative, not a wrong loss. So each loss has a rule here, which the
test compares it with, and wrong versions, which that comparison must reject.
"""

import math

import numpy as np

from tinylm.align.rewards.pairwise import (
    pairwise_loss,
    pairwise_loss_with_ties,
    soft_pairwise_loss,
)
from tinylm.align.rewards.pointwise import hinge_loss, pointwise_loss
from tinylm.align.rewards.rankings import (
    listnet_loss,
    listwise_pairwise_loss,
    pair_targets,
    plackett_luce_loss,
    ranknet_loss,
)

A, B = [2.0, -1.0, 0.5], [1.0, 0.5, 0.25]
MARGIN, P, OUTCOME = [0.0, 1.0, 2.0], [1.0, 0.25, 0.5], [1, 0, -1]
# the first ranking has 4 responses, the second 2: its last places are empty
LISTS = [[2.0, 1.0, 0.5, -1.0], [0.3, 0.9, 7.0, -7.0]]
COUNTED = [[True, True, True, True], [True, True, False, False]]
RELEVANCE = [[3, 1, 1, 0], [0, 2, 1, 5]]
SHARES = [[0.5, 0.25, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0]]
LABELS = [[1, -1, -1, 1], [1, -1, 0, 0]]


def cost(d):
    """-log sigma(d)."""
    return math.log1p(math.exp(-d))


def mean(terms):
    terms = list(terms)
    return sum(terms) / len(terms)


def pairwise():
    pairs = list(zip(A, B, MARGIN))
    return mean(cost(a - b - m) for a, b, m in pairs) + 0.3 * mean(
        (a + b) ** 2 for a, b, _ in pairs
    )


def soft_pairwise():
    return mean(p * cost(a - b) + (1 - p) * cost(b - a) for a, b, p in zip(A, B, P))


def ties():
    def chance(a, b, outcome):
        weights = {1: math.exp(a), 0: 0.7 * math.exp((a + b) / 2), -1: math.exp(b)}
        return weights[outcome] / sum(weights.values())

    return mean(-math.log(chance(a, b, o)) for a, b, o in zip(A, B, OUTCOME))


def rankings():
    """The scores of each ranking without its empty places."""
    return [[r for r, there in zip(row, held) if there] for row, held in zip(LISTS, COUNTED)]


def listwise():
    def one(r):
        n = len(r)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        return sum(cost(r[i] - r[j]) for i, j in pairs) / (n * (n - 1))

    return mean(one(r) for r in rankings())


def plackett_luce():
    def one(r):
        total = 0.0
        for k in range(len(r)):
            total -= r[k] - math.log(sum(math.exp(s) for s in r[k:]))
        return total

    return mean(one(r) for r in rankings())


def ranknet():
    terms = []
    for r, relevance in zip(LISTS, RELEVANCE):
        for i in range(4):
            for j in range(i + 1, 4):
                p = 0.5 + 0.5 * np.sign(relevance[i] - relevance[j])
                terms.append(p * cost(r[i] - r[j]) + (1 - p) * cost(r[j] - r[i]))
    return mean(terms)


def listnet():
    def one(r, shares):
        total = sum(math.exp(s) for s in r)
        return -sum(t * math.log(math.exp(s) / total) for s, t in zip(r, shares))

    return mean(one(r, shares) for r, shares in zip(LISTS, SHARES))


def counted_terms(given, term):
    return mean(
        term(r, label)
        for row, labels, held in zip(LISTS, given, COUNTED)
        for r, label, there in zip(row, labels, held)
        if there
    )


def pointwise():
    return counted_terms(RELEVANCE, lambda r, rating: (rating - r) ** 2)


def hinge():
    return counted_terms(LABELS, lambda r, label: max(0.0, 1 - r * label))


HELD = np.array(COUNTED)
# name: (loss, scores, options, rule)
LOSSES = {
    "pairwise": (pairwise_loss, [A, B], {"margin": np.array(MARGIN), "center": 0.3}, pairwise),
    "soft pairwise": (soft_pairwise_loss, [A, B], {"probability": np.array(P)}, soft_pairwise),
    "ties": (pairwise_loss_with_ties, [A, B], {"outcome": np.array(OUTCOME), "tie": 0.7}, ties),
    "listwise": (listwise_pairwise_loss, [LISTS], {"counted": HELD}, listwise),
    "Plackett-Luce": (plackett_luce_loss, [LISTS], {"counted": HELD}, plackett_luce),
    "RankNet": (ranknet_loss, [LISTS], {"targets": pair_targets(RELEVANCE)}, ranknet),
    "ListNet": (listnet_loss, [LISTS], {"targets": np.array(SHARES)}, listnet),
    "pointwise": (
        pointwise_loss,
        [LISTS],
        {"ratings": np.array(RELEVANCE), "counted": HELD},
        pointwise,
    ),
    "hinge": (hinge_loss, [LISTS], {"labels": np.array(LABELS), "counted": HELD}, hinge),
}

# (loss, the error, function: (scores, options) -> changed scores and options, factor of the loss)
EVERY_PAIR = ("pairwise", "soft pairwise", "ties")
WRONG = [(name, "the sign", None, -1.0) for name in LOSSES]
WRONG += [(name, "a sum for a mean over pairs", None, 3.0) for name in EVERY_PAIR]
WRONG += [(name, "a sum for a mean over rankings", None, 2.0) for name in ("listwise", "ListNet")]
WRONG += [
    (name, "chosen and rejected exchanged", lambda s, o: (s[::-1], o), 1.0) for name in EVERY_PAIR
]


def without(option):
    """The loss without one of its options."""
    return lambda s, o: (s, {key: value for key, value in o.items() if key != option})


def changed(**changes):
    """The loss with options changed."""
    return lambda s, o: (s, {**o, **{key: change(o[key]) for key, change in changes.items()}})


WRONG += [
    ("pairwise", "the margin forgotten", without("margin"), 1.0),
    ("pairwise", "the margin added", changed(margin=np.negative), 1.0),
    ("pairwise", "no regularizer", without("center"), 1.0),
    ("pairwise", "the regularizer with a minus", changed(center=lambda c: -c), 1.0),
    ("soft pairwise", "the probability of the other", changed(probability=lambda p: 1 - p), 1.0),
    ("soft pairwise", "labels made hard", changed(probability=np.round), 1.0),
    ("ties", "wins of the other", changed(outcome=np.negative), 1.0),
    ("ties", "nu forgotten", without("tie"), 1.0),
    ("listwise", "empty places counted", without("counted"), 1.0),
    ("listwise", "the worst first", lambda s, o: ([np.array(s[0])[:, ::-1]], {}), 1.0),
    ("listwise", "C(N, 2) for N(N-1)", None, 2.0),
    ("Plackett-Luce", "empty places counted", without("counted"), 1.0),
    ("Plackett-Luce", "labels one place later", lambda s, o: ([np.roll(s[0], 1, 1)], o), 1.0),
    ("RankNet", "targets transposed", changed(targets=lambda t: t.transpose(0, 2, 1)), 1.0),
    ("RankNet", "ties as wins", changed(targets=np.ceil), 1.0),
    ("RankNet", "a mean over N^2 pairs", None, 12 / 32),
    ("ListNet", "targets one place later", changed(targets=lambda t: np.roll(t, 1, 1)), 1.0),
    ("pointwise", "empty places counted", without("counted"), 1.0),
    ("pointwise", "divided by all places", None, 6 / 8),
    ("pointwise", "half of the square", None, 0.5),
    ("hinge", "divided by all places", None, 6 / 8),
    ("hinge", "the sides exchanged", changed(labels=np.negative), 1.0),
]
