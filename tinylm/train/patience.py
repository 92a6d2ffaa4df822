"""When to stop: the validation loss has not fallen for a while   (book section 1.3.1; early
stopping, Prechelt 1998).

More steps make the training loss fall further, but from some step on what is learnt is the training
text alone. The count is part of a checkpoint, so that a run that goes on stops where one that never
stopped would. Read next: run/session.py.
"""

from tinylm.fields import Fields, of_type


class Patience:
    """Counts validations since the lowest loss.

    validations  how many without a lower one are borne; 0: any number

    best_loss, best_step  of the lowest so far, None before the first
    """

    def __init__(self, validations):
        self.validations, self.best_loss, self.best_step, self.waited = validations, None, None, 0

    def sees(self, step, loss):
        """Take note of the validation loss at a step. Returns True if it is the lowest; a loss that
        is NaN never is.
        """
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

    def load_state(self, state, where="the checkpoint"):
        """Take over a state(); None: nothing has been seen.

        where    the file, named in errors
        raises   CheckpointError naming the field that is not one of a state()
        """
        if state is None:
            return
        fields = Fields(state, where, name="state.patience")
        self.waited = fields.integer("waited")
        fields.take("loss", lambda value: of_type(value, float | None), "a finite number or null")
        fields.take("step", lambda value: of_type(value, int | None), "a whole number or null")
        if (state["loss"] is None) != (state["step"] is None) or (state["step"] or 0) < 0:
            raise fields.wrong("step", state["step"], "the step of the loss")
        self.best_loss, self.best_step = state["loss"], state["step"]

    def __str__(self):
        return f"the lowest validation loss was {self.best_loss:.4f} at step {self.best_step}"
