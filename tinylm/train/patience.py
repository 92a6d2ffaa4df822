"""When to stop: the validation loss has not fallen for a while   (book section 1.3.1; early stopping, Prechelt 1998).

More steps make the training loss fall further, but from some step on what is learnt is the training text alone. The
count is part of a checkpoint, so that a run that goes on stops where one that never stopped would. Read next: run/session.py.
"""


class Patience:
    """Counts validations since the lowest loss.

    validations  how many without a lower one are borne; 0: any number

    best_loss, best_step  of the lowest so far, None before the first
    """

    def __init__(self, validations):
        self.validations, self.best_loss, self.best_step, self.waited = validations, None, None, 0

    def sees(self, step, loss):
        """Take note of the validation loss at a step. Returns True if it is the lowest; a loss that is NaN never is."""
        if not (loss < (float("inf") if self.best_loss is None else self.best_loss)):
            self.waited += 1
            return False
        self.best_loss, self.best_step, self.waited = loss, step, 0
        return True

    @property
    def lost(self):
        """True if it is time to stop."""
        return 0 < self.validations <= self.waited

    def state(self):
        """JSON-able: what load_state takes."""
        return {"loss": self.best_loss, "step": self.best_step, "waited": self.waited}

    def load_state(self, state):
        """Take over a state(); None: nothing has been seen."""
        if state:
            self.best_loss, self.best_step, self.waited = state["loss"], state["step"], state["waited"]

    def __str__(self):
        return f"the lowest validation loss was {self.best_loss:.4f} at step {self.best_step}"
