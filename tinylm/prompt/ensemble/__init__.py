"""Several answers instead of one, and one out of several   (book section 3.2.4).

combine.py           the vote and the greatest overlap, with their rules for ties (eq. 3.6)
prompts.py           one model, several prompts: answers are combined
means.py             arithmetic and geometric mean of distributions
models.py            several models: distributions averaged, or answers voted on
tokens.py            several prompts choose every token together (eq. 3.7)
marginal.py          the prompt as a hidden variable: exact sum and Monte Carlo (eq. 3.8)
diversity.py         five ways to different prompts; error and ambiguity
wrapped.py           a prompt with demonstrations of its own, or in another language
voters.py            errors that go together, weights of voters, variances of a grid
paths.py             sampled chains of thought, and the answers that they reach
outputs.py           several outputs, samples or a beam's, ranked by a score: best of n
grid.py              models, prompts and samples together
self_consistency.py  sampled chains of thought vote; the law of the vote
bayes_risk.py        the answer with the smallest expected loss (eq. 3.9)
"""

from tinylm.prompt.ensemble.bayes_risk import least_risk, minimum_risk
from tinylm.prompt.ensemble.combine import max_overlap, vote
from tinylm.prompt.ensemble.grid import grid_vote
from tinylm.prompt.ensemble.marginal import marginal_answer
from tinylm.prompt.ensemble.models import EnsembleLM, ModelEnsemble, model_vote
from tinylm.prompt.ensemble.outputs import beam_outputs, best_of_n, rerank
from tinylm.prompt.ensemble.prompts import prompt_ensemble
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.ensemble.tokens import decode_jointly, token_ensemble

__all__ = [
    "EnsembleLM",
    "ModelEnsemble",
    "beam_outputs",
    "best_of_n",
    "decode_jointly",
    "grid_vote",
    "least_risk",
    "marginal_answer",
    "max_overlap",
    "minimum_risk",
    "model_vote",
    "prompt_ensemble",
    "rerank",
    "self_consistency",
    "token_ensemble",
    "vote",
]
