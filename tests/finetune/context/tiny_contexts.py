"""A tiny GPT in float64, and examples with contexts and questions of different lengths."""

import numpy as np

from tinylm.finetune.context.contexts import ContextExample, make_batch
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready

V = 7


def gpt(seed=0, **changes):
    """A model whose derivatives are large enough to be seen."""
    sizes = (
        dict(vocab_size=V, context=24, n_layer=2, n_head=2, d_model=8, d_hidden=12, dropout=0.0)
        | changes
    )
    return ready(GPT(GPTConfig(**sizes), seed, np.float64).eval())


EXAMPLES = [
    ContextExample((3, 1, 4, 1, 5), (2, 6), (5, 3), short=(6,)),
    ContextExample((2, 0), (1, 4, 1), (6,), short=(2, 2, 5)),
    ContextExample((6, 6, 1), (0,), (1, 2, 3)),
]
ONES = [
    make_batch([example]) for example in EXAMPLES
]  # each example in a batch of its own: no padding at all
BATCH = make_batch(EXAMPLES)


def rows_alone(read, model):
    """What read(model, batch) gives each example without padding: list of (n, V) arrays."""
    return [read(model, one).data[0] for one in ONES]


def assert_padding_changes_nothing(read, model):
    """A row among others gives what it gives alone, to rounding."""
    together = read(model, BATCH).data
    for row, alone in zip(together, rows_alone(read, model)):
        np.testing.assert_allclose(row[: len(alone)], alone, rtol=0, atol=1e-12)
