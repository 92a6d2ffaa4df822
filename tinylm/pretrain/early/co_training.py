"""Co-training: two models that see different sides of the same thing teach each other   (Blum &
Mitchell 1998; book section 1.1.1)

A web page is described by its words and by the words of the links to it; either suffices. If the
two are independent given the class, an example that one model is sure of is, for the other, an
ordinary example with a right label: new words beside known ones. With one view a model has only
itself to learn from, and this is self-training by the most confident. Read next: self_training.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def most_confident(probabilities: np.ndarray, per_class: int) -> list[tuple[float, int, int]]:
    """For each class the rows that are most probably of it.

    probabilities  (n, C) array
    returns        list of (probability, row, label), at most per_class for every label
    """
    found = []
    for label in range(probabilities.shape[1]):
        column = probabilities[:, label]  # (n,)
        for row in np.argsort(-column, kind="stable")[:per_class]:
            found.append((float(column[row]), int(row), label))
    return found


def together(learned: Sequence[np.ndarray]) -> np.ndarray:
    """The geometric mean of several models' probabilities, normalized: (n, C) arrays -> (n, C).

    Its most probable class is that of the product, which Blum and Mitchell use; models that agree
    keep their probabilities.
    """
    # (p_1 ... p_m)^(1/m) in logarithms; 1e-300 stands for 0, whose logarithm is none.
    product = np.exp(sum(np.log(np.maximum(p, 1e-300)) for p in learned) / len(learned))
    return product / product.sum(axis=1, keepdims=True)


def co_training(
    learn: Callable,
    views: Sequence[Callable],
    labeled: Sequence[tuple[Any, int]],
    unlabeled: Sequence,
    per_class: int = 1,
    rounds: int = 30,
    pool: int | None = 75,
    seed: int = 0,
) -> tuple[Callable, list[Callable], list[dict[int, int]]]:
    """In each round every view's model labels the examples it is surest of, for all models.

    learn      examples -> probabilities, as in self_training()
    views      functions from an input to the part of it that one model sees
    labeled    list of (input, label);  unlabeled list of inputs
    per_class  how many examples a view labels for each class and round
    pool       unlabeled inputs to choose from in a round, drawn at random and refilled; None: all
    returns    (probabilities: the models' combined by together(), [probabilities of each model, of
               its view], one dict row of unlabeled -> label for each round)
    """
    if not labeled or not views:
        raise ConfigError(
            f"co_training: {len(labeled)} labeled examples and {len(views)} views: "
            "there must be some of both"
        )
    waiting = Random(seed, "pool").permutation(len(unlabeled)).tolist()
    examples, history = list(labeled), []

    def learn_views():
        return [learn([(view(x), label) for x, label in examples]) for view in views]

    models = learn_views()
    for _ in range(rounds):
        near = sorted(waiting[:pool])  # refilled by what was behind it; [:None] is all
        if not near:
            break
        picks = []
        for model, view in zip(models, views):
            p = model([view(unlabeled[row]) for row in near])  # (pool, C)
            picks += most_confident(p, per_class)
        labels = {}
        for _, place, label in sorted(picks, key=lambda pick: -pick[0]):
            labels.setdefault(near[place], label)  # where two models differ, the surer one
        history.append(labels)
        examples += [(unlabeled[row], label) for row, label in labels.items()]
        waiting = [row for row in waiting if row not in labels]
        models = learn_views()

    def probabilities(inputs):
        return together([model([view(x) for x in inputs]) for model, view in zip(models, views)])

    return probabilities, models, history
