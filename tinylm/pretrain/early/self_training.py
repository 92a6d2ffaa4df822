"""Self-training: a model labels text without labels and learns from what it is sure of   (book
section 1.1.1)

Labeled seeds -> model -> labels for the rest -> model -> ..., until nothing changes. The model is
the only teacher: what it takes for sure and is wrong about, it will believe the more. That is why
only confident labels count, and why every round labels everything anew instead of keeping what an
early model said. Self-supervised pretraining needs no first model. Read next: co_training.py, where
two models teach each other; decision_list.py for where the idea comes from.
"""

import numpy as np

from tinylm.errors import ConfigError


def pseudo_labels(probabilities, threshold):
    """The most probable label of every row that reaches the threshold.

    probabilities  (n, C) array
    returns        dict row -> label
    """
    best = probabilities.argmax(axis=-1)
    sure = np.flatnonzero(probabilities.max(axis=-1) >= threshold)
    return {int(row): int(best[row]) for row in sure}


def self_training(learn, labeled, unlabeled, threshold=0.9, rounds=10):
    """Learn from labeled examples and from one's own labels, round after round.

    learn      examples -> probabilities, a function from a list of inputs to an (n, C) array;
               examples is a list of (input, label). It starts afresh every time, or from a
               pretrained model
    labeled    list of (input, label)
    unlabeled  list of inputs
    threshold  least probability of a label that is believed; above 1 none is, and at 0 all are
    rounds     most rounds; it ends sooner when labels repeat
    returns    (probabilities of the last model, one dict row -> label for each round that labeled
               anything)
    """
    if not labeled:
        raise ConfigError(
            "self_training: no labeled example: there must be a first model to label the rest"
        )
    probabilities, history, believed = learn(labeled), [], {}
    for _ in range(rounds):
        now = pseudo_labels(probabilities(unlabeled), threshold) if unlabeled else {}
        if now == believed:
            break
        believed = now
        history.append(now)
        probabilities = learn(labeled + [(unlabeled[row], label) for row, label in now.items()])
    return probabilities, history
