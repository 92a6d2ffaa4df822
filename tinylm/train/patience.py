"""When to stop: the validation loss has not fallen for a while   (book section 1.3.1; early
stopping, Prechelt 1998).

More steps make the training loss fall further, but from some step on what is learnt is the training
text alone. The count is part of a checkpoint, so that a resumed run ends where one that was never
interrupted does. Read next: run/session.py.
"""

from pathlib import Path

from tinylm.fields import Fields, of_type


class Patience:
    """Counts validations since the lowest loss.

    validations  how many without a lower loss end the run; 0: any number are allowed

    best_loss, best_step  of the lowest so far, None before the first
    """

    def __init__(self, validations: int) -> None:
        self.validations = validations
        self.best_loss = None
        self.best_step = None
        self.waited = 0  # validations since the lowest

    def sees(self, step: int, loss: float) -> bool:
        """Count the validation loss at a step. Returns True if it is the lowest so far."""
        lowest = float("inf")
        if self.best_loss is not None:
            lowest = self.best_loss
        if not loss < lowest:  # also where the loss is NaN
            self.waited += 1
            return False
        self.best_loss, self.best_step, self.waited = loss, step, 0
        return True

    @property
    def lost(self) -> bool:
        """True if it is time to stop."""
        return 0 < self.validations <= self.waited

    def state(self) -> dict[str, float | None]:
        """A JSON-able dict for load_state."""
        return {"loss": self.best_loss, "step": self.best_step, "waited": self.waited}

    def load_state(
        self, state: dict[str, float | None], where: str | Path = "the checkpoint"
    ) -> None:
        """Restore a state(); None: no validation has been counted.

        where    the file, named in errors
        raises   CheckpointError naming a field that is missing or impossible
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

    def __str__(self) -> str:
        return f"the lowest validation loss was {self.best_loss:.4f} at step {self.best_step}"
