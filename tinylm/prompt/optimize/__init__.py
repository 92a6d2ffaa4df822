"""Prompt optimization: prompts are found by a search, not by hand   (book section 3.3.1).

A search has a space, an estimate of performance and a strategy. In order: space.py, estimate.py,
search.py, bandit.py (which prompts deserve
more evaluations), evolve.py.
"""

from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.search import search
from tinylm.prompt.optimize.space import PromptSpace

__all__ = ["Found", "PromptEvaluator", "PromptSpace", "search"]
