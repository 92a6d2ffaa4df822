"""One context compressed into kappa vectors by gradient descent   (book section 3.3.2.3, eqs.
3.23-3.25; Wingate et al. 2022).

sigma (kappa, D) replaces the context c in front of the question; nothing else is trained:

    similar answers (3.23)   sigma^ = argmin s(y^, y^_sigma), not differentiable:
                             AnswerLikelihood.measure
    likelihood      (3.24)   sigma^ = argmax log Pr(y^ | sigma, z):
                             AnswerLikelihood on hard_targets()
    divergence      (3.25)   sigma^ = argmin KL(Pr(. | c, z) || Pr(. | sigma, z)):
                             ContextDistillation

Unlike the short c' of eq. 3.13 sigma need not be the embeddings of any tokens. It belongs to one
context and is fitted to questions z; its answers to other questions must be measured. Read next:
auto_compressor.py, which needs no training per context.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random, device_of, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.context.contexts import ContextBatch, answer_logits, tokens, vectors
from tinylm.finetune.fitting import fit
from tinylm.finetune.freezing import frozen
from tinylm.nn import Module


class SoftContext(Module):
    """A language model that reads sigma in place of any context.

    model    GPT
    sigma    (kappa, D) array of initial vectors; see random_context() and token_context()

    A student for the tasks of context_distillation.py; contexts and short contexts are ignored.
    """

    def __init__(self, model: Module, sigma: np.ndarray) -> None:
        self.model = model
        self.sigma = Tensor(sigma.copy(), requires_grad=True)
        D = model.tokens.weight.shape[1]
        if sigma.ndim != 2 or sigma.shape[1] != D or len(sigma) == 0:
            raise ConfigError(f"SoftContext: vectors {sigma.shape}, needs (kappa, {D}), kappa >= 1")

    def read(self, batch: ContextBatch) -> Tensor:
        """Logits of the answers of a ContextBatch, (B, n, V)."""
        question = tokens(self.model, batch.inputs, batch.real)
        prompt = [vectors(self.sigma, len(batch)), question]  # [ sigma ; z ]
        return answer_logits(self.model, prompt, batch.targets)


def random_context(model: Module, kappa: int, seed: int = 0) -> np.ndarray:
    """Vectors with mean and standard deviation of the token embeddings, (kappa, D).

    A start, and the baseline of a trained sigma.
    """
    table = model.tokens.weight.data
    rng = Random(seed, "soft context", device=device_of(table))
    noise = rng.normal((kappa, table.shape[1]), table.dtype)
    return (table.mean(axis=0) + noise * table.std(axis=0)).astype(table.dtype)


def token_context(model: Module, ids: tuple[int, ...]) -> np.ndarray:
    """The embeddings of tokens, (len(ids), D); for the ids of c, sigma equals the context."""
    table = model.tokens.weight.data
    return table[to_device(np.asarray(ids, np.int64), device_of(table))]


def compress_context(
    model: Module, task: Any, examples: Sequence, kappa: int, seed: int = 0, **settings: int
) -> SoftContext:
    """Fit sigma to the effect of a context.

    model     GPT, frozen during the call; may differ from the task's teacher, but not in vocabulary
    task      ContextDistillation(teacher) for eq. 3.25, AnswerLikelihood() for eq. 3.24
    examples  list of ContextExample with one context, different questions, and the teacher's
              answers
    kappa     number of vectors
    settings  of fit(): epochs, batch_size, learning_rate, steps ...
    returns   SoftContext
    raises    ConfigError if the examples have different contexts
    """
    if len({tuple(e.context) for e in examples}) != 1:
        raise ConfigError(
            "compress_context: the examples must share one context: sigma stands for one, "
            "gist.py and auto_compressor.py compress any"
        )
    soft = SoftContext(model, random_context(model, kappa, seed))
    # Weight decay, the default of fit(), would pull sigma towards 0.
    with frozen(model):
        fit(soft, task, examples, seed=seed, **{"weight_decay": 0.0, **settings})
    return soft
