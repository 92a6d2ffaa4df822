"""Early stopping: fine-tuning ends when the score on held-out examples no longer rises   (book
section 1.4)

A pretrained model is large and labeled data are few, so it soon overfits. The score on held-out
examples shows when; the parameters of the best epoch are kept. A score that was the criterion of
the choice is too optimistic, so a third set of examples must measure the final model. Read next:
fitting.py, which calls this as after_epoch.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm.errors import ConfigError
from tinylm.nn.module import Module


class EarlyStopping:
    """For fit(after_epoch=...): stop after `patience` epochs in a row without improvement.

    restore() then gives the model the parameters of its best epoch.

    model     whose parameters are kept
    measure   () -> float of held-out examples, larger is better: accuracy, or minus the loss
    patience  epochs without improvement that end the training; at least 1

    history   the measure after each epoch;  best  its maximum
    """

    def __init__(self, model: Module, measure: Callable, patience: int = 2) -> None:
        if patience < 1:
            raise ConfigError(f"EarlyStopping: patience {patience} must be at least 1 epoch")
        self.model, self.measure, self.patience = model, measure, patience
        self.history, self.best, self.kept = [], -math.inf, None

    def __call__(self, epoch: int, losses: np.ndarray) -> bool:
        """Measure after an epoch; arguments as fit() gives them. Returns True to stop."""
        self.history.append(float(self.measure()))
        if self.history[-1] > self.best:
            self.best, self.kept = self.history[-1], self.model.state_dict()
        return len(self.history) - self.best_epoch >= self.patience

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 1, with the best measure; 0 if nothing was measured."""
        if self.kept is not None:
            return self.history.index(self.best) + 1
        return 0

    def restore(self) -> Module:
        """Load the parameters of the best epoch into the model. Returns the model."""
        if self.kept is not None:
            self.model.load_state_dict(self.kept)
        return self.model
