"""Weak and small models for strong ones   (book section 4.2.5, Fig. 4.5).

pseudo_labels.py  a strong model learns from labels of a weak one (a)
recovered.py      the performance gap recovered
confidence.py     a student that may disagree: the confidence loss
distillation.py   KL(weak || strong) beside the loss of the data, annealed (b)
ensembles.py      averages, votes and stacking of small models (d)
cascade.py        the small model first, the large one if need be (e)

Data selected by a small model (c) is in ../selection/perplexity.py.
"""

from tinylm.align.weak_to_strong.cascade import Cascade, curve, expected_cost
from tinylm.align.weak_to_strong.confidence import (
    ConfidentTask,
    confidence_loss,
    hardened,
    rising,
)
from tinylm.align.weak_to_strong.distillation import anneal, combined_loss, kd_loss
from tinylm.align.weak_to_strong.ensembles import Stacking, average, jury, majority_vote
from tinylm.align.weak_to_strong.pseudo_labels import imitation, pseudo_label, weak_to_strong
from tinylm.align.weak_to_strong.recovered import pgr

__all__ = [
    "Cascade",
    "ConfidentTask",
    "Stacking",
    "anneal",
    "average",
    "combined_loss",
    "confidence_loss",
    "curve",
    "expected_cost",
    "hardened",
    "imitation",
    "jury",
    "kd_loss",
    "majority_vote",
    "pgr",
    "pseudo_label",
    "rising",
    "weak_to_strong",
]
