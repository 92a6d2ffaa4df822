"""Gradient checks of what is trained in prompting: a retriever of demonstrations, models that learn
functions in context, and a simplifier of instructions.

Vectors and examples are drawn; features, values and texts are constants, since no gradient reaches
them.
"""

from typing import Any

import numpy as np

from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random, device_of, to_cpu
from tinylm.data.read.items import Item
from tinylm.finetune.freezing import only
from tinylm.finetune.tasks.cases import loss_of
from tinylm.models.early.cases import ready
from tinylm.prompt.compress.simplifier import Simplifier, simplify_examples
from tinylm.prompt.in_context.gradient_descent import LinearSelfAttention
from tinylm.prompt.in_context.learned_retriever import Contrast, RetrievalTask, TwoEncoders
from tinylm.prompt.in_context.real_decoder import RealDecoder, squared_error

WHOLE = "the blocks of these models are checked to second order one by one; whole, that takes long"
ITEMS = [Item("please go now", "go"), Item("kindly stop it", "stop it")]
# Demonstration 2 is the positive of two questions, and of one of them a negative is a positive of
# another: both are excluded somewhere.
CONTRASTS = [Contrast(0, (2,), (3,)), Contrast(1, (2,), (4,)), Contrast(3, (4,), (0,))]
QUICK = {"n_layer": 1, "n_head": 1, "d_model": 4, "d_hidden": 3, "activation": "gelu"}


def seed(rng: np.random.Generator) -> Any:
    """A seed for weights."""
    return int(rng.integers(99))


def encoders(rng: np.random.Generator) -> Any:
    """Two maps from features of width 3 to vectors of width 2."""
    return TwoEncoders(3, 2, seed(rng), np.float64)


def attention_layer(rng: np.random.Generator) -> Any:
    """Attention without softmax over tokens of width 3, with weights of size one."""
    return LinearSelfAttention(3, seed(rng), std=1.0)


def decoder(rng: np.random.Generator) -> Any:
    """A RealDecoder of vectors of width 2, up to 3 examples; frozen but for its own two maps."""
    model = ready(RealDecoder(2, 3, seed(rng), np.float64, **QUICK))
    # The first norm divides by the deviation of four numbers: larger ones bend the loss less.
    for weight in (model.enter.weight, model.trunk.positions.table.weight):
        weight.data *= 3
    return only(model, "enter.*", "leave.*")


def simplifier(rng: np.random.Generator) -> Any:
    """The smallest T5 of the words of ITEMS, frozen but for the norm after each stack; its task."""
    sizes = {"n_layer": 1, "n_head": 1, "d_model": 4, "d_hidden": 3}
    made = Simplifier.untrained(ITEMS, seed(rng), **sizes)
    return only(ready(made.model), "*.norm.gain"), made.task


def encoded(model: TwoEncoders, questions: np.ndarray, demonstrations: np.ndarray) -> tuple:
    """The vectors of questions and of demonstrations: (n, D), (m, D)."""
    return model.question(questions), model.demonstration(demonstrations)


def retrieval_loss(model: TwoEncoders, asked: np.ndarray, shown: np.ndarray, contrasts: Any) -> Any:
    """The loss of a RetrievalTask; each Contrast has one positive and one negative to draw."""
    task = RetrievalTask(to_cpu(asked), to_cpu(shown))
    batch = task.make_batch(contrasts, Random(0, "retrieval"))
    return task.loss(model, batch.to(device_of(model.question.weight.data)))[0]


def values(model: RealDecoder, x: np.ndarray, y: np.ndarray) -> Any:
    """A RealDecoder's predictions of numbers in an array of NumPy: (B, K)."""
    return model(to_cpu(x), to_cpu(y))


def value_loss(model: RealDecoder, x: np.ndarray, y: np.ndarray) -> Any:
    """squared_error of numbers in arrays of NumPy."""
    return squared_error(model, to_cpu(x), to_cpu(y))


register(
    "prompt.TwoEncoders",
    encoded,
    lambda rng: [call(encoders(rng), normal(rng, 2, 3), normal(rng, 4, 3))],
    covers=(),
    source="Rubin et al. 2022",
)
register(
    "prompt.RetrievalTask",
    retrieval_loss,
    lambda rng: [
        call(
            encoders(rng),
            asked=normal(rng, 5, 3),
            shown=normal(rng, 5, 3),
            contrasts=CONTRASTS,
        )
    ],
    covers=(),
    source="book section 3.3.1; Rubin et al. 2022",
)
# queries that no one reads; and a context that is all there is
register(
    "prompt.LinearSelfAttention",
    lambda layer, tokens, context: layer(tokens, context),
    lambda rng: [
        call(attention_layer(rng), normal(rng, 2, 4, 3), context=context) for context in (2, 4)
    ],
    covers=(),
    source="von Oswald et al. 2023",
)
# as many examples as there are positions; and one, which is predicted from nothing
for _name, _function in (("RealDecoder", values), ("squared_error", value_loss)):
    register(
        f"prompt.{_name}",
        _function,
        lambda rng: [
            call(decoder(rng), x=normal(rng, 2, K, 2), y=normal(rng, 2, K)) for K in (3, 1)
        ],
        order=1,
        reason=WHOLE,
        covers=(),
        source="Garg et al. 2022",
    )
# texts of different lengths: rows are padded
register(
    "prompt.Simplifier",
    loss_of,
    lambda rng: [call(*simplifier(rng), simplify_examples(ITEMS))],
    order=1,
    reason=WHOLE,
    covers=(),
    source="book section 3.3.3",
)
