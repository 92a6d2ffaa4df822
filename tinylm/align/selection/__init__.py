"""Fine-tuning with fewer and better samples   (book section 4.2.3; a small model's choice: 4.2.5).

published_sets.py  how large published sets are
quality.py         a judge's score, the longest answers, how well bad samples are found
clusters.py        the best of every cluster
influence.py       gradients that point as those of the target task
perplexity.py      what a small model finds probable
superficial.py     what tuning changes, token by token
learning_curve.py  samples that it takes to reach an accuracy

Tuning on responses alone is in ../supervised/response_only.py.
"""

from tinylm.align.selection.clusters import cluster_and_rank
from tinylm.align.selection.influence import RandomProjection, gradient_influence
from tinylm.align.selection.learning_curve import samples_to_reach
from tinylm.align.selection.perplexity import cross_entropies, perplexity_filter, rank_by_ce
from tinylm.align.selection.quality import (
    detection,
    lm_judge,
    longest,
    score_with_judge,
    top_quality,
)
from tinylm.align.selection.superficial import measure_shift

__all__ = [
    "RandomProjection",
    "cluster_and_rank",
    "cross_entropies",
    "detection",
    "gradient_influence",
    "lm_judge",
    "longest",
    "measure_shift",
    "perplexity_filter",
    "rank_by_ce",
    "samples_to_reach",
    "score_with_judge",
    "top_quality",
]
