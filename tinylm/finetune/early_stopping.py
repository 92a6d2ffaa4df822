"""Early stopping: fine-tuning ends when held-out examples say that it no longer helps   (book
section 1.4)

A pretrained model is large and labeled data are few, so it soon fits them to the letter. What it is
like on examples that it does not learn from tells when; the parameters of the best moment are kept.
The held-out accuracy it chose by is too good by the choice, so a third set must say how good the
model is. Read next: fitting.py, whose after_epoch this is.
"""

import math

from tinylm.errors import ConfigError


class EarlyStopping:
    """For fit(after_epoch=...): stop when `patience` epochs in a row were no better, and go back to
    the best.

    model     whose parameters are kept
    measure   () -> float of held-out examples, larger is better: accuracy, or minus the loss
    patience  epochs without improvement that are waited for; at least 1

    history   what was measured after each epoch;  best  the largest of it
    """

    def __init__(self, model, measure, patience=2):
        if patience < 1:
            raise ConfigError(f"EarlyStopping: patience {patience} must be at least 1 epoch")
        self.model, self.measure, self.patience = model, measure, patience
        self.history, self.best, self.kept = [], -math.inf, None

    def __call__(self, epoch, losses):
        """Measure after an epoch. Returns True to stop."""
        self.history.append(float(self.measure()))
        if self.history[-1] > self.best:
            self.best, self.kept = self.history[-1], self.model.state_dict()
        return len(self.history) - self.best_epoch >= self.patience

    @property
    def best_epoch(self):
        """The epoch, from 1, after which it was best first; 0 if nothing was measured."""
        if self.kept is not None:
            return self.history.index(self.best) + 1
        return 0

    def restore(self):
        """Give the model back the parameters of its best epoch. Returns the model."""
        if self.kept is not None:
            self.model.load_state_dict(self.kept)
        return self.model
