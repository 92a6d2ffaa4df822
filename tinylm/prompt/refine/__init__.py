"""Answers that are written once and then made better   (book section 3.2.3).

feedback.py     where feedback on a draft comes from: the model, a person, an oracle, a score
self_refine.py  predict, get feedback, refine, and when to stop
aspects.py      "Please refine it!", or one aspect alone; what a refinement changed
deliberate.py   name the error first, then write, in one reply; a random wrong draft
markov.py       answers won and lost by iteration: the curve and its limit
brill.py        the idea before language models: a tagger that learns rules of correction
"""

from tinylm.prompt.refine.aspects import refine_aspects
from tinylm.prompt.refine.brill import BrillTagger
from tinylm.prompt.refine.deliberate import deliberate, deliberate_negative
from tinylm.prompt.refine.feedback import (
    Feedback,
    model_feedback,
    outside_feedback,
    score_feedback,
)
from tinylm.prompt.refine.markov import RefinementChain
from tinylm.prompt.refine.self_refine import refinement, self_refine

__all__ = [
    "BrillTagger",
    "Feedback",
    "RefinementChain",
    "deliberate",
    "deliberate_negative",
    "model_feedback",
    "outside_feedback",
    "refine_aspects",
    "refinement",
    "score_feedback",
    "self_refine",
]
