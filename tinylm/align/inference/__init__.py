"""Alignment at inference: the model stays, the choice among its outputs changes   (book section
4.4.5).

In order: law.py (the exact law, gain and price of best-of-n), best_of_n.py, rerank.py, errors.py
(model error or search error), nbest.py (diversity of lists), rejection.py (samples of the optimal
policy), tuning.py (fine-tuning on the best of n), guided.py (a value steers every token).
"""

from tinylm.align.inference.best_of_n import (
    GENERATORS,
    Best,
    Candidate,
    best_candidate,
    best_of_n,
    every_response,
)
from tinylm.align.inference.errors import exact_errors, list_errors
from tinylm.align.inference.guided import ValueGuided, soft_values
from tinylm.align.inference.law import (
    best_of_n_kl,
    best_of_n_law,
    expected_best,
    kl_bound,
    over_optimization_curve,
)
from tinylm.align.inference.nbest import (
    expected_distinct,
    joined_lists,
    list_diversity,
    temperature_sweep,
    tempered,
)
from tinylm.align.inference.rejection import (
    acceptance,
    accepted_candidates,
    rejection_law,
    statistical_rejection_sample,
)
from tinylm.align.inference.rerank import log_linear, rerank, reward_vote
from tinylm.align.inference.tuning import (
    best_of_each,
    iterated_law,
    random_of_each,
    rejection_sampling_finetune,
)
