"""Co-training: two models that see different sides of the same thing teach each other   (Blum &
Mitchell 1998; book section 1.1.1)

A web page is described by its words and by the words of the links to it; either would do. If the
two are independent given the class, what one model is sure of is, for the other, an ordinary
example with a right label: new words beside known ones. With one view there is nobody to learn from
but oneself, and this is self-training by the most confident. Read next: self_training.py.
"""

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def most_confident(probabilities, per_class):
    """For each class the rows that are most probably of it.

    probabilities  (n, C) array
    returns        list of (probability, row, label), at most per_class for every label
    """
    return [
        (float(probabilities[row, label]), int(row), label)
        for label in range(probabilities.shape[1])
        for row in np.argsort(-probabilities[:, label], kind="stable")[:per_class]
    ]


def together(learned):
    """The geometric mean of what several models say, normalized: (n, C) arrays -> (n, C).

    It chooses the class that the product chooses, which is Blum and Mitchell's; of models that
    agree it is what each says.
    """
    product = np.exp(sum(np.log(np.maximum(p, 1e-300)) for p in learned) / len(learned))
    return product / product.sum(axis=1, keepdims=True)


def co_training(learn, views, labeled, unlabeled, per_class=1, rounds=30, pool=75, seed=0):
    """Each round every view labels what it is surest of, for all.

    learn      examples -> probabilities, as in self_training()
    views      functions from an input to what one model sees of it
    labeled    list of (input, label);  unlabeled list of inputs
    per_class  how many examples a view labels for each class and round
    pool       the views choose from as many unlabeled inputs, drawn at random and refilled; None:
               from all
    returns    (probabilities: the views' answers together(), [probabilities of each view, of what
               it sees], one dict row of unlabeled -> label for each round)
    """
    if not labeled or not views:
        raise ConfigError(
            f"co_training: {len(labeled)} labeled examples and {len(views)} views: there must be some of both"
        )
    waiting = Random(seed, "pool").permutation(len(unlabeled)).tolist()
    size, examples, history = len(unlabeled) if pool is None else pool, list(labeled), []

    def learn_views():
        return [learn([(view(x), label) for x, label in examples]) for view in views]

    models = learn_views()
    for _ in range(rounds):
        near = sorted(waiting[:size])
        if not near:
            break
        chosen = [
            pick
            for model, view in zip(models, views)
            for pick in most_confident(model([view(unlabeled[row]) for row in near]), per_class)
        ]
        labels = {}
        for _, place, label in sorted(chosen, key=lambda pick: -pick[0]):
            labels.setdefault(near[place], label)  # of two opinions the surer one
        history.append(labels)
        examples += [(unlabeled[row], label) for row, label in labels.items()]
        waiting = [row for row in waiting if row not in labels]
        models = learn_views()

    def probabilities(inputs):
        return together([model([view(x) for x in inputs]) for model, view in zip(models, views)])

    return probabilities, models, history
