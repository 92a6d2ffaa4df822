"""Self-training: a model labels text and learns from its own sure labels   (book section 1.1.1)

Labeled seeds -> model -> labels for the rest -> model -> ..., until nothing changes. The model is
its own teacher: a confident mistake is learnt, and becomes more confident. That is why only labels
above a threshold count, and why every round labels everything anew instead of keeping the labels of
an early model. Self-supervised pretraining needs no first model. Read next: co_training.py, where
two models teach each other; decision_list.py for the origin of the idea.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError


def pseudo_labels(probabilities: np.ndarray, threshold: float) -> dict[int, int]:
    """The most probable label of every row that reaches the threshold.

    probabilities  (n, C) array
    returns        dict row -> label
    """
    best = probabilities.argmax(axis=-1)  # (n, C) -> (n,)
    sure = np.flatnonzero(probabilities.max(axis=-1) >= threshold)
    return {int(row): int(best[row]) for row in sure}


def self_training(
    learn: Callable,
    labeled: Sequence[tuple[Any, int]],
    unlabeled: Sequence,
    threshold: float = 0.9,
    rounds: int = 10,
) -> tuple[Callable, list[dict[int, int]]]:
    """Learn from labeled examples and from the model's own labels, round after round.

    learn      examples -> probabilities, a function from a list of inputs to an (n, C) array;
               examples is a list of (input, label). Every call starts afresh, or from a
               pretrained model
    labeled    list of (input, label)
    unlabeled  list of inputs
    threshold  least probability of a label that counts; above 1 none does, and at 0 all do
    rounds     most rounds; it ends sooner when labels repeat
    returns    (probabilities of the last model, one dict row -> label for each round that labeled
               anything)
    """
    if not labeled:
        raise ConfigError(
            "self_training: no labeled example: there must be a first model to label the rest"
        )
    probabilities, history, labels = learn(labeled), [], {}
    if not unlabeled:
        return probabilities, history
    for _ in range(rounds):
        new = pseudo_labels(probabilities(unlabeled), threshold)
        if new == labels:  # a fixed point: the next round would change nothing
            break
        labels = new
        history.append(labels)
        examples = labeled + [(unlabeled[row], label) for row, label in labels.items()]
        probabilities = learn(examples)
    return probabilities, history
