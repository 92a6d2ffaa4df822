"""Catastrophic forgetting: what fine-tuning on one task does to another   (book section 1.4)

    R[i, j] = accuracy on task j after tasks 0 .. i were learnt    (Lopez-Paz & Ranzato 2017)

After every task of a sequence all tasks are measured. The diagonal of R is the accuracy right after
learning, below it stands what is left later, above it the accuracy before the task was learnt. Read
next: anchors.py and rehearsal.py, the remedies; freezing.py.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.errors import ShapeError


def accuracy_matrix(
    tasks: Sequence[list[tuple]], learn: Callable, accuracy: Callable
) -> np.ndarray:
    """Learn tasks one after the other, and measure all after each.

    tasks     list
    learn     called as learn(i, task): trains the model, in place
    accuracy  called as accuracy(j, task) -> float
    returns   R (n, n): R[i, j] the accuracy on tasks[j] after tasks[0..i] were learnt
    """
    R = np.zeros((len(tasks), len(tasks)))
    for i, task in enumerate(tasks):
        learn(i, task)
        R[i] = [accuracy(j, other) for j, other in enumerate(tasks)]
    return R


def _square(R):
    """R as a float64 matrix; ShapeError if it is not square."""
    R = np.asarray(R, np.float64)
    if R.ndim != 2 or R.shape[0] != R.shape[1] or not len(R):
        raise ShapeError(
            f"forgetting: R has shape {R.shape}; it must be square: "
            "every task measured after every task"
        )
    return R


def forgetting(R: np.ndarray) -> np.ndarray:
    """R[j, j] - R[-1, j], the accuracy lost since task j was learnt: (n, n) -> (n - 1,).

    For every task but the last; below 0 where later tasks helped. Minus its mean is the "backward
    transfer" of Lopez-Paz & Ranzato 2017.
    """
    R = _square(R)
    return np.diag(R)[:-1] - R[-1, :-1]


def final_accuracy(R: np.ndarray) -> float:
    """Mean accuracy over all tasks after the last."""
    return float(_square(R)[-1].mean())
