"""Verifiers: is a path right? A number that chooses among the paths of another model   (book
section 3.2.4, "predict, then verify").

paths.py     a question and a path as ids, and what is known of the path: its outcome, its steps
outcome.py   one label for the whole path, learnt at every token or at the last
scorers.py   score(question, path) for the methods of tinylm.prompt: best of n, votes, tree search
selection.py how often the choice among n paths is right

A verifier that judges steps is the model of rewards/process_model.py; its labels come from the
marks of real solutions (rewards/step_labels.py).
"""

from tinylm.align.verifiers.outcome import OutcomeVerification, OutcomeVerifier, verification_loss
from tinylm.align.verifiers.paths import JudgedPath, judged_path, labeled_parts, text_reader
from tinylm.align.verifiers.scorers import PathScorer, outcome_judge, process_judge
from tinylm.align.verifiers.selection import best_is_right, vote_is_right

__all__ = [
    "JudgedPath",
    "OutcomeVerification",
    "OutcomeVerifier",
    "PathScorer",
    "best_is_right",
    "judged_path",
    "labeled_parts",
    "outcome_judge",
    "process_judge",
    "text_reader",
    "verification_loss",
    "vote_is_right",
]
