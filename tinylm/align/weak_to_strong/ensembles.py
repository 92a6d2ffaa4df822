"""Several small models together: averages, votes, stacking   (book section 4.2.5, Fig. 4.5d).

    arithmetic   p(y) = sum_k w_k p_k(y)          its cross-entropy is at most the members' mean
    geometric    p(y) = prod_k p_k(y)^{w_k} / Z
    vote         the label that most members find best
    stacking     a model on the members' predictions, trained on held-out examples

Averages are those of prompt/ensemble/means.py, on (n, K) probabilities of labels. For texts there
are model_vote and EnsembleLM in prompt/ensemble/models.py. Read next: cascade.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.fitting import fit
from tinylm.finetune.tasks.probe import Probe, VectorClassification
from tinylm.prompt.ensemble.means import arithmetic_mean, check_weights


def average(
    logs: np.ndarray, weights: Sequence[float] | None = None, mean: Callable = arithmetic_mean
) -> np.ndarray:
    """The average of M distributions: log-probabilities (M, ..., V) -> (..., V).

    weights  (M,) shares, 0 or more; equal unless given
    mean     arithmetic_mean or geometric_mean
    """
    return mean(logs, check_weights(weights, len(logs)))


def majority_vote(labels: np.ndarray, classes: int | None = None) -> np.ndarray:
    """The label with the most votes: (M, n) integers from 0 -> (n,).

    Of equal numbers of votes the smallest label is taken.

    classes  their number; by default as many as were voted for
    raises   ShapeError for another shape, or without voters
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not len(labels):
        raise ShapeError(f"majority_vote: labels {labels.shape}; need (M, n) of one voter or more")
    if classes is None:
        classes = int(labels.max(initial=0)) + 1
    votes = (labels[:, :, None] == np.arange(classes)).sum(axis=0)  # (M, n, K) -> (n, K)
    return votes.argmax(axis=1)


def jury(accuracies: Sequence[float]) -> float:
    """The probability that a majority of independent voters is right, of two labels   (Condorcet)

    The number of right votes has the distribution of a sum of independent bits; a tie is decided by
    a coin. With equal accuracies it is the binomial tail (majority_law of
    prompt/ensemble/self_consistency.py): above 1/2 it rises to 1 with more voters, below it falls.

    accuracies  (M,) of the voters, each from 0 to 1
    returns     float
    raises      ConfigError without voters, or for what is no probability
    """
    accuracies = np.asarray(accuracies, np.float64)
    if not len(accuracies) or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise ConfigError(
            f"jury: accuracies {accuracies.tolist()} must be from 0 to 1, one or more"
        )
    law = np.ones(1)  # law[k] = Pr(k right votes), of no voter yet
    for p in accuracies:
        law = np.convolve(law, [1 - p, p])
    M = len(accuracies)
    tail = law[M // 2 + 1 :].sum()  # more than half
    if M % 2 == 0:
        tail += law[M // 2] / 2
    return float(tail)


class Stacking:
    """A logistic regression on the log-probabilities of M models   (Wolpert 1992)

    It learns which model to trust for which label. Its examples must not be those that the models
    were trained on, where they all look good.

    classes  K labels;  members M models
    """

    def __init__(self, members: int, classes: int, seed: int = 0) -> None:
        self.members, self.classes, self.seed = members, classes, seed
        self.probe = Probe(members * classes, classes, seed=seed, dtype=np.float64)

    def fit(
        self,
        logs: np.ndarray,
        labels: np.ndarray,
        epochs: int = 100,
        learning_rate: float = 0.05,
        **options: Any,
    ) -> "Stacking":
        """Learn from the members' log-probabilities (M, n, K) and labels (n,). Returns self.

        options  of finetune.fit; all examples are one batch unless batch_size is given
        """
        features = self._features(logs)
        if len(labels) != len(features):
            raise ShapeError(f"Stacking: {len(labels)} labels for {len(features)} examples")
        examples = list(zip(features, labels))
        options = {"batch_size": len(examples), "weight_decay": 0.0, "seed": self.seed, **options}
        fit(
            self.probe,
            VectorClassification(),
            examples,
            epochs=epochs,
            learning_rate=learning_rate,
            **options,
        )
        return self

    def logits(self, logs: np.ndarray) -> np.ndarray:
        """Scores of the labels: (M, n, K) -> (n, K)."""
        return to_cpu(self.probe(self._features(logs)).data)

    def predict(self, logs: np.ndarray) -> np.ndarray:
        """The best label of each example: (M, n, K) -> (n,)."""
        return self.logits(logs).argmax(axis=1)

    def _features(self, logs):
        logs = np.asarray(logs, np.float64)
        if logs.ndim != 3 or logs.shape[::2] != (self.members, self.classes):
            raise ShapeError(
                f"Stacking: logs {logs.shape}; need ({self.members}, n, {self.classes})"
            )
        # log 0 has no coefficient: 1e-12 stands for it.
        clipped = np.maximum(logs, np.log(1e-12))
        return clipped.transpose(1, 0, 2).reshape(logs.shape[1], -1)  # (n, M K)
