"""Small models, and tasks to train them a few steps, for tests of what makes models smaller."""

import numpy as np

from tests.finetune.tasks.heads_small import INPUTS, decoder, encoder
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier

IDS = np.array([[20, 3, 1, 2, 6, 9], [20, 5, 4, 4, 0, 7]])
MASK = np.arange(6) < np.array([[6], [4]])


def layered(layers=3, **changes):
    """An encoder of several layers in float64."""
    return encoder(n_layer=layers, **changes)


def gpt(layers=2, **changes):
    """A GPT of several layers in float64."""
    return decoder(n_layer=layers, **changes)


def classifier(layers=2, classes=2, **changes):
    """A classifier in float64, and its task."""
    return Classifier(layered(layers, **changes), classes), Classification(INPUTS)


def examples(n=12, seed=0):
    """Texts whose class is whether word 3 is in them."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 8, rng.integers(3, 8)).tolist() for _ in range(n)]
    return [(row, int(3 in row)) for row in rows]
