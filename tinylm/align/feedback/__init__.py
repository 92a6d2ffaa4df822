"""Preferences and where they come from   (book sections 4.3.2, 4.4.3).

formats.py       comparisons, ratings and rankings, and what each makes of the others
annotators.py    labels from a hidden gold reward, with noise and bias
ai_feedback.py   a model labels: hard and soft labels, both orders, agreement
constitution.py  a model corrects its answers by written principles
pairs.py         preferences as token ids
refusals.py      requests to be declined, and requests that only look like them
beyond_demonstrations.py  the best response that no demonstration holds
"""

from tinylm.align.feedback.ai_feedback import (
    PreferencePrompt,
    hard_labels,
    rating_rewards,
    soft_labels,
)
from tinylm.align.feedback.annotators import SimulatedAnnotator, collect_preferences
from tinylm.align.feedback.constitution import CONSTITUTION, revise
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
    "CONSTITUTION",
    "EncodedPair",
    "LeftOut",
    "PreferencePrompt",
    "Ranking",
    "Rating",
    "SimulatedAnnotator",
    "WeighedPreference",
    "collect_preferences",
    "encode_pairs",
    "hard_labels",
    "pairs_of_ranking",
    "pairs_of_ratings",
    "ranking_of_ratings",
    "rating_of_stars",
    "rating_rewards",
    "revise",
    "soft_labels",
]
