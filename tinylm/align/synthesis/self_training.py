"""Self-training: a model labels what has no label, and learns from what it is sure of   (book
section 4.2.2.2; Charniak 1997; Yarowsky 1995).

    learn from labeled -> label the rest -> keep labels with confidence >= c -> learn again

From a small set of a domain it makes a large one; its own errors come back as truth, which the
threshold bounds. Back-translation does the same for translation: there the model writes the source
for a given target (output_first.py). For any model: it is given as a function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError


def confident(labels: Sequence[str], confidences: ArrayLike, threshold: float) -> np.ndarray:
    """The numbers of the labels whose confidence is `threshold` or more: (n,) int.

    labels       (n,) list;  confidences (n,) numbers, such as probabilities
    raises       ShapeError for another number of confidences
    """
    confidences = np.asarray(confidences, np.float64)
    if confidences.shape != (len(labels),):
        raise ShapeError(
            f"confident: {len(labels)} labels and confidences {confidences.shape}; give one each"
        )
    return np.flatnonzero(confidences >= threshold)


@dataclass(frozen=True)
class SelfTrained:
    """What self-training made.

    predict   the last model: function list of x -> (labels, confidences)
    pseudo    list of pairs (x, label) that it gave itself, in the order of acceptance
    accepted  list: how many pairs each round accepted
    """

    predict: object
    pseudo: list
    accepted: list


def self_training(
    learn: Callable,
    labeled: Sequence[tuple[float, str]],
    unlabeled: Sequence[float],
    threshold: float = 0.9,
    rounds: int = 1,
) -> SelfTrained:
    """Learn from labeled examples and from labels of one's own   (book section 4.2.2.2)

    learn      function: list of pairs (x, y) -> predict, function list of x -> (labels,
               confidences). It begins anew each time
    labeled    list of pairs (x, y)
    unlabeled  list of x; what was accepted is not labeled again
    threshold  least confidence of an accepted label; above the highest none is accepted
    rounds     of labeling and learning; they end early when nothing is accepted
    returns    SelfTrained
    raises     ConfigError for fewer than one round
    """
    if rounds < 1:
        raise ConfigError(f"self_training: rounds={rounds} must be 1 or more")
    predict, rest = learn(list(labeled)), list(unlabeled)
    pseudo, accepted = [], []
    for _ in range(rounds):
        if not rest:
            break
        labels, confidences = predict(rest)
        sure = confident(labels, confidences, threshold).tolist()
        accepted.append(len(sure))
        if not sure:
            break
        pseudo += [(rest[i], labels[i]) for i in sure]
        rest = [x for i, x in enumerate(rest) if i not in set(sure)]
        predict = learn([*labeled, *pseudo])
    return SelfTrained(predict, pseudo, accepted)
