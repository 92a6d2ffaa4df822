"""A strong model learns from the labels of a weak one   (book section 4.2.5, eq. 4.10, Fig. 4.5a;
Burns et al. 2023).

    y^ = argmax over y of Pr_w(y | x)          theta~ = argmax over theta of sum_x log Pr_s(y^ | x)

Models may come to know more than those who supervise them; a weak model in the place of people is
the experiment on it. The strong model can imitate the weak one's errors, or do better than its
teacher. Answers of a weak language model: synthesis/teacher.py. Read next: recovered.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.weak_to_strong.recovered import pgr
from tinylm.backend import ArrayLike
from tinylm.errors import DataError, ShapeError


def pseudo_label(probabilities: Sequence[list[float]]) -> np.ndarray:
    """The most probable label of each input under the weak model: (n, K) -> (n,) integers.

    Of equal probabilities the first label is taken.

    probabilities  (n, K) Pr_w(y | x), or anything in their order, such as logits
    raises         ShapeError for another shape, or no labels
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or not probabilities.shape[1]:
        raise ShapeError(f"pseudo_label: probabilities {probabilities.shape}; need (n, K), K >= 1")
    return probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Imitation:
    """How a strong model treats the errors of its weak teacher.

    agreement  share of inputs on which the two give the same label
    repeated   share of the weak model's errors that the strong one makes too; nan without errors
    corrected  share of the weak model's errors that the strong one has right; nan without errors
    """

    agreement: float
    repeated: float
    corrected: float


def imitation(weak: ArrayLike, strong: ArrayLike, gold: Sequence[int]) -> Imitation:
    """Compare the labels of two models with each other and with the truth: Imitation.

    weak, strong, gold  (n,) labels
    raises              DataError for unequal numbers, or none
    """
    weak, strong, gold = (np.asarray(labels) for labels in (weak, strong, gold))
    if not len(gold) or not weak.shape == strong.shape == gold.shape:
        raise DataError(
            f"imitation: labels {weak.shape}, {strong.shape} and {gold.shape}; need (n,) for all"
        )
    wrong = weak != gold
    repeated = corrected = float("nan")
    if wrong.any():
        # With three labels or more an error may also become another error.
        repeated = float((strong == weak)[wrong].mean())
        corrected = float((strong == gold)[wrong].mean())
    return Imitation(float((strong == weak).mean()), repeated, corrected)


@dataclass(frozen=True)
class WeakToStrong:
    """The experiment: accuracies on held-out inputs, and what was recovered.

    weak, strong, ceiling  accuracy of the weak model, of the strong one that learnt from it, and of
                           the strong one that learnt from the truth
    recovered              performance gap recovered, see pgr()
    imitation              Imitation of the weak model by the strong one
    """

    weak: float
    strong: float
    ceiling: float
    recovered: float
    imitation: Imitation


def weak_to_strong(
    weak: Callable,
    learn: Callable,
    inputs: Sequence[int],
    gold: Sequence[int],
    test: Sequence[int],
    test_gold: Sequence[int],
) -> WeakToStrong:
    """Train a strong model on weak labels and on the truth, and compare   (Burns et al. 2023)

    weak       function: list of inputs -> labels (n,)
    learn      function: (inputs, labels) -> the same kind of function, of a strong model that began
               at its pre-trained parameters
    inputs     list, without labels for the first strong model;  gold  (n,) their true labels
    test, test_gold  held-out inputs and labels, on which everything is measured
    returns    WeakToStrong
    raises     DataError where the ceiling is the weak accuracy, see pgr()
    """
    strong = learn(inputs, weak(inputs))
    ceiling = learn(inputs, gold)
    given, learnt, best = (np.asarray(model(test)) for model in (weak, strong, ceiling))
    accuracies = [
        float((labels == np.asarray(test_gold)).mean()) for labels in (given, learnt, best)
    ]
    return WeakToStrong(*accuracies, pgr(*accuracies), imitation(given, learnt, test_gold))
