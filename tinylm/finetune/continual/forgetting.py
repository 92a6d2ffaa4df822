"""Catastrophic forgetting: what fine-tuning on one task does to another   (book section 1.4)

After every task of a sequence all tasks are measured. The matrix R[i, j], the accuracy on task j
after the i-th was learnt, holds all there is to say: its diagonal is what was learnt, what is below
is what is left of it, what is above was known before it was taught (Lopez-Paz & Ranzato 2017). Read
next: anchors.py and rehearsal.py, the remedies; freezing.py.
"""

import numpy as np

from tinylm.errors import ShapeError


def accuracy_matrix(tasks, learn, accuracy):
    """Learn tasks one after the other and measure all after each.

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
    R = np.asarray(R, np.float64)
    if R.ndim != 2 or R.shape[0] != R.shape[1] or not len(R):
        raise ShapeError(
            f"forgetting: R has shape {R.shape}; it must be square: every task measured after every task"
        )
    return R


def forgetting(R):
    """R[j, j] - R[-1, j] for every task but the last: what was lost since it was learnt. Returns (n
    - 1,).

    Below 0 where later tasks helped.
    """
    R = _square(R)
    return np.diag(R)[:-1] - R[-1, :-1]


def forgetting_from_peak(R):
    """max_{i < n-1} R[i, j] - R[-1, j] for every task but the last   (Chaudhry et al. 2018).
    Returns (n - 1,).
    """
    R = _square(R)
    return R[:-1, :-1].max(axis=0, initial=-np.inf) - R[-1, :-1]


def backward_transfer(R):
    """Mean of R[-1, j] - R[j, j] over the tasks but the last; 0 for a single task   (Lopez-Paz &
    Ranzato 2017)
    """
    lost = forgetting(R)
    if len(lost):
        return float(-lost.mean())
    return 0.0


def forward_transfer(R, before):
    """Mean of R[j-1, j] - before[j] over the tasks but the first: what earlier tasks taught about
    later ones.

    before   (n,) accuracies of the untrained model;  0 for a single task
    """
    R, before = _square(R), np.asarray(before, np.float64)
    if len(R) > 1:
        return float((np.diag(R, 1) - before[1:]).mean())
    return 0.0


def final_accuracy(R):
    """Mean accuracy over all tasks after the last."""
    return float(_square(R)[-1].mean())
