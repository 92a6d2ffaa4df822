"""Gradient-check cases of divergences and of models that read contexts through vectors.

All are composed of recorded operations.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import concatenate
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.finetune.context.auto_compressor import AutoCompressor, SegmentedLM
from tinylm.finetune.context.contexts import ContextBatch, ContextExample, make_batch
from tinylm.finetune.context.gist import GistCompressor
from tinylm.finetune.context.soft_context import SoftContext, random_context
from tinylm.finetune.divergence import kl, reverse_kl
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready
from tinylm.nn.module import Module

ONCE = "its parts are checked to second order one by one; whole, that would only take long"
MASK = np.array([[True, False, True]])  # the second of three positions does not count
# Two rows of different lengths in every part, so that contexts, questions and answers are padded.
BATCH = make_batch([ContextExample((1, 3, 2), (0,), (2, 1)), ContextExample((2,), (3, 1), (1,))])
FIELDS = (
    BATCH.inputs,
    BATCH.targets,
    BATCH.real,
    BATCH.context,
    BATCH.context_real,
    BATCH.short,
    BATCH.short_real,
)


def gpt(rng: np.random.Generator, **changes: int) -> Any:
    """A GPT of one layer with large weights."""
    sizes = dict(vocab_size=4, context=9, n_layer=1, n_head=1, d_model=3, d_hidden=2, dropout=0.0)
    config = GPTConfig(**sizes | changes)
    return ready(GPT(config, int(rng.integers(99)), np.float64).eval())


for _name, _divergence in (("kl", kl), ("reverse_kl", reverse_kl)):
    register(
        f"finetune.{_name}",
        _divergence,
        lambda rng: [
            call(normal(rng, 3, 4), normal(rng, 3, 4)),
            call(normal(rng, 1, 3, 2), normal(rng, 1, 3, 2), temperature=2.0, mask=MASK),
        ],
        covers=(),
        source="book eq. 3.16",
    )


def reading(model: Module, *fields: Any) -> Any:
    """The answers' logits of a compressor, from the fields of a ContextBatch."""
    return model.read(ContextBatch(*fields))


def learner(make: Callable, **changes: int) -> Any:
    """Case maker: one compressor with random parameters, and the batch that it reads."""
    return lambda rng: [call(ready(make(gpt(rng, **changes))), *FIELDS)]


register(
    "finetune.GistCompressor",
    reading,
    learner(lambda model: GistCompressor(model, 1), n_layer=2),
    order=1,
    reason=ONCE,
    covers=(),
    source="Mu et al. 2023",
)
register(
    "finetune.SoftContext",
    reading,
    learner(lambda model: SoftContext(model, random_context(model, 2))),
    order=1,
    reason=ONCE,
    covers=(),
    source="book eqs. 3.23-3.25",
)


def compressed(
    model: Module, ids: np.ndarray, targets: np.ndarray, real: np.ndarray, *fields: Any
) -> Any:
    """Both uses of an AutoCompressor: logits over segments of two tokens, and answers."""
    states = [h for h, _ in model.segments(ids, real, [1, 3])]  # columns 0, 1 .. 2, 3 .. 4
    return model.model.logits(concatenate(states, axis=1)), model.read(ContextBatch(*fields))


TEXTS = SegmentedLM(2).make_batch([(1, 0, 3, 2, 2), (3, 1, 0)])
for _mode in ("replace", "accumulate"):
    register(
        f"finetune.AutoCompressor({_mode})",
        compressed,
        lambda rng, mode=_mode: [
            call(
                ready(AutoCompressor(gpt(rng), 1, mode, bptt=None, segment=2)),
                TEXTS.inputs,
                TEXTS.targets,
                TEXTS.real,
                *FIELDS,
            )
        ],
        order=1,
        reason=ONCE,
        covers=(),
        source="Chevalier et al. 2023",
    )
