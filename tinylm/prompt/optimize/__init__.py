"""Prompt optimization: prompts are found by a search, not by hand   (book section 3.3.1).

A search has a space, an estimate of performance and a strategy. In order: space.py, estimate.py,
measures.py (what a prompt is worth on an example), search.py, bandit.py (which prompts deserve more
evaluations). Then the methods: proposals.py and paraphrase.py (where new prompts come from), ape.py
(a model writes the candidates), edits.py (GrIPS), feedback.py (ProTeGi), evolve.py (EvoPrompt), and
transfer.py (prompts of one model with another).
"""

from tinylm.prompt.optimize.edits import grips
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.evolve import differential, genetic
from tinylm.prompt.optimize.feedback import protegi
from tinylm.prompt.optimize.measures import LogLikelihood, TaskMetric
from tinylm.prompt.optimize.search import search_prompts
from tinylm.prompt.optimize.space import PromptSpace
from tinylm.prompt.optimize.transfer import transfer_matrix

__all__ = [
    "Found",
    "LogLikelihood",
    "PromptEvaluator",
    "PromptSpace",
    "TaskMetric",
    "differential",
    "genetic",
    "grips",
    "protegi",
    "search_prompts",
    "transfer_matrix",
]
