"""Preferences and where they come from   (book sections 4.3.2, 4.4.3).

formats.py      comparisons, ratings and rankings, and what each makes of the others
annotators.py   labels from a hidden gold reward, with noise and bias
pairs.py        preferences as token ids
"""

from tinylm.align.feedback.annotators import SimulatedAnnotator, collect_preferences
from tinylm.align.feedback.formats import (
    Ranking,
    Rating,
    WeighedPreference,
    pairs_of_ranking,
    pairs_of_ratings,
    ranking_of_ratings,
    rating_of_stars,
)
from tinylm.align.feedback.pairs import EncodedPair, LeftOut, encode_pairs

__all__ = [
    "EncodedPair",
    "LeftOut",
    "Ranking",
    "Rating",
    "SimulatedAnnotator",
    "WeighedPreference",
    "collect_preferences",
    "encode_pairs",
    "pairs_of_ranking",
    "pairs_of_ratings",
    "ranking_of_ratings",
    "rating_of_stars",
]
