"""Reward models: a number for a prompt and a response   (book sections 4.3.2, 4.4.1, 4.4.4).

Losses of scores, pure functions:

pairwise.py   which of two is better: Bradley-Terry, with a margin, with ties, with soft labels
rankings.py   a ranking of N: all pairs, Plackett-Luce, RankNet, ListNet
pointwise.py  a rating, or a side: regression, hinge
"""

from tinylm.align.rewards.pairwise import (
    pairwise_loss,
    preference_accuracy,
    preference_probability,
    soft_pairwise_loss,
)
from tinylm.align.rewards.pointwise import hinge_loss, pointwise_loss
from tinylm.align.rewards.rankings import (
    listnet_loss,
    listwise_pairwise_loss,
    plackett_luce_loss,
    ranknet_loss,
)

__all__ = [
    "hinge_loss",
    "listnet_loss",
    "listwise_pairwise_loss",
    "pairwise_loss",
    "plackett_luce_loss",
    "pointwise_loss",
    "preference_accuracy",
    "preference_probability",
    "ranknet_loss",
    "soft_pairwise_loss",
]
