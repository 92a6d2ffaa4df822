"""Gradient checks of the earlier language models.

The neural n-gram model, recurrent language models, word2vec, GloVe.
"""

import numpy as np

from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import Call, call, register
from tinylm.models.early import word2vec
from tinylm.models.early.glove import GloVe
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.models.early.word2vec import CBOW, SkipGram
from tinylm.nn.module import Module

IDS = np.array([[0, 2, 2, 1], [3, 0, 1, 1]])
NGRAM = 3, 4, 2, 3  # n, V, m, h


def seed(rng: np.random.Generator) -> int:
    """A seed of a small model."""
    return int(rng.integers(99))


def ready(model: Module) -> Module:
    """A model with its small initial weights enlarged to a standard deviation of 1/2.

    With GPT-2's 0.02 many derivatives would be too small for a difference to show.
    """
    for parameter in model.parameters():
        if 0 < np.std(parameter.data) < 0.1:
            parameter.data *= 0.5 / np.std(parameter.data)
    return model


register(
    "models.FeedForwardNGramLM",
    lambda model, ids: model(ids),
    lambda rng: [
        call(ready(FeedForwardNGramLM(*NGRAM, direct, seed(rng), np.float64)), IDS)
        for direct in (True, False)
    ],
    covers=(),
    source="Bengio et al. 2003",
)


def recurrent_call(cell: str, n_layer: int, rng: np.random.Generator) -> Call:
    """Three tokens through n_layer layers of a cell, V = 4 and D = 3; one layer has a tied head."""
    config = RecurrentConfig(4, 3, n_layer, cell, 2, tied=n_layer == 1)
    model = RecurrentLM(config, seed(rng), np.float64)
    return call(ready(model), IDS[:1, :3])


for _cell in ("rnn", "gru", "lstm", "mamba"):
    # One layer of mamba; its block is checked by itself in nn/recurrence/cases.py.
    _depths = (1,) if _cell == "mamba" else (1, 2)
    register(
        f"models.RecurrentLM({_cell})",
        lambda model, ids: model(ids),
        lambda rng, cell=_cell, depths=_depths: [recurrent_call(cell, n, rng) for n in depths],
        covers=(),
        source="book section 2.3.3",
    )

# Words occur twice, so that gradients of a row of the tables add up.
CENTERS = np.array([0, 1, 1])
AROUND = np.array([2, 3, 0])
DRAWN = np.array([[1, 3], [0, 0], [2, 1]])
register(
    "models.SkipGram",
    lambda model, centers, around, drawn: (
        model.loss(centers, around, drawn),
        model.softmax_loss(centers, around),
    ),
    lambda rng: [call(SkipGram(4, 3, seed(rng), np.float64), CENTERS, AROUND, DRAWN)],
    covers=(),
    source="Mikolov et al. 2013",
)
register(
    "models.CBOW",
    lambda model, around, centers, drawn: (
        model.loss(around, centers, drawn),
        model.softmax_loss(around, centers),
    ),
    lambda rng: [call(CBOW(4, 3, seed(rng), np.float64), DRAWN, CENTERS, DRAWN + 0)],
    covers=(),
    source="Mikolov et al. 2013",
)
register(
    "negative_sampling_loss",
    word2vec.negative_sampling_loss,
    lambda rng: [call(normal(rng, 3, 2), normal(rng, 3, 2), normal(rng, 3, 4, 2))],
    covers=(),
    source="Mikolov et al. 2013, eq. 4",
)
register(
    "models.word2vec.expected_loss",
    lambda scores, **options: word2vec.expected_loss(scores, **options),
    lambda rng: [
        call(
            normal(rng, 3, 3),
            counts=uniform(rng, 1, 5, 3, 3),
            negatives=2,
            noise=np.array([0.5, 0.3, 0.2]),
        )
    ],
    covers=(),
    source="Levy & Goldberg 2014",
)
register(
    "log_sigmoid",
    word2vec.log_sigmoid,
    lambda rng: [call(normal(rng, 5)), call(uniform(rng, -30, -5, 3))],
    covers=(),
)


I = np.array([0, 1, 1, 3])
J = np.array([2, 2, 0, 3])
X = np.array([1.5, 40.0, 2.0, 300.0])  # the last is above `most`: its weight is 1
register(
    "models.GloVe",
    lambda model, i, j, counts: model.loss(i, j, counts),
    lambda rng: [call(ready(GloVe(4, 3, seed(rng), np.float64)), I, J, counts=X)],
    covers=(),
    source="Pennington et al. 2014, eq. 8",
)
