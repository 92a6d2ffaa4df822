"""Early stopping: when it stops, what it keeps, and that a run that goes on stops at the same step."""

import dataclasses
import math

import pytest

from tests.train.run.test_run import final, quiet, same_bits
from tests.train.tiny import tiny_config
from tinylm.errors import CheckpointError, ConfigError
from tinylm.train import TrainConfig, checkpoint, train_run
from tinylm.train.patience import Patience
from tinylm.train.run.session import Session


def test_it_is_lost_after_so_many_validations_without_a_lower_loss():
    patience = Patience(2)
    assert [
        (patience.sees(step, loss), patience.lost)
        for step, loss in enumerate((3.0, 2.0, 2.0, 1.9, 2.5, math.nan), 1)
    ] == [
        (True, False),
        (True, False),
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    assert (patience.best_loss, patience.best_step) == (1.9, 4)


def test_one_validation_without_a_lower_loss_may_be_enough():
    patience = Patience(1)
    assert patience.sees(1, 2.0) and not patience.lost
    assert not patience.sees(2, 2.0) and patience.lost


def test_without_limit_it_is_never_lost():
    patience = Patience(0)
    for step in range(100):
        patience.sees(step, 1.0)
    assert not patience.lost


def test_it_goes_on_from_its_state():
    one, other = Patience(2), Patience(2)
    one.sees(1, 2.0), one.sees(2, 2.0)
    other.load_state(one.state())
    assert not other.lost and not other.sees(3, 2.0) and other.lost
    other.load_state(None)  # a checkpoint from before there was patience
    assert other.lost


@pytest.mark.parametrize(
    "loss, step", [(None, 3), (1.5, None), (1.5, -1)], ids=["no loss", "no step", "negative step"]
)
def test_a_state_whose_loss_has_no_step_is_refused(loss, step):
    with pytest.raises(CheckpointError, match="step"):
        Patience(2).load_state({"loss": loss, "step": step, "waited": 1})
    at_once = Patience(2)
    at_once.load_state({"loss": 1.5, "step": 0, "waited": 1})  # validated before the first step
    assert (at_once.best_loss, at_once.best_step, at_once.waited) == (1.5, 0, 1)


@pytest.fixture
def scripted(monkeypatch):
    """Validation losses by step, in place of real ones: lowest at step 4."""
    losses = {2: 3.0, 4: 2.0, 6: 2.5, 8: 2.2}
    real = Session.validate

    def validate(self, batches):
        found = real(self, batches)
        return {**found, "validation_loss": losses.get(self.trainer.step, 9.0)}

    monkeypatch.setattr(Session, "validate", validate)


def settings(folder, **changes):
    return tiny_config(
        folder,
        steps=40,
        patience=2,
        eval_every=2,
        checkpoint_every=3,
        schedule="constant",
        **changes,
    )


def test_a_run_stops_and_keeps_the_best_checkpoint(scripted, tmp_path):
    said = []
    summary = train_run(settings(tmp_path, keep=1), None, said.append)
    # Lowest at step 4; the validations of 6 and 8 are the two that were borne.
    assert summary["step"] == 8 and summary["best"]["step"] == 4 and not summary["interrupted"]
    assert list(checkpoint.steps(tmp_path / "run")) == [4, 8]
    assert said[-1].endswith(
        f"lowest validation loss was 2.0000 at step 4: {tmp_path}/run/checkpoints/step-000004"
    )
    again = []
    assert train_run(TrainConfig(resume=str(tmp_path / "run")), None, again.append)["step"] == 8
    assert any(
        "the run ended at step 8, the lowest validation loss was 2.0000 at step 4: give a larger --patience"
        in line
        for line in again
    )


def test_a_run_that_goes_on_stops_at_the_same_step(scripted, tmp_path):
    (tmp_path / "whole").mkdir(), (tmp_path / "parts").mkdir()
    train_run(settings(tmp_path / "whole"), None, quiet)
    train_run(
        dataclasses.replace(settings(tmp_path / "parts"), steps=7), None, quiet
    )  # one of the two validations borne
    assert (
        train_run(TrainConfig(resume=str(tmp_path / "parts" / "run"), steps=40), None, quiet)[
            "step"
        ]
        == 8
    )
    (arrays, state), (others, other) = (
        final(tmp_path / name / "run") for name in ("parts", "whole")
    )
    assert state == other and same_bits(arrays["model"], others["model"])


def test_it_needs_validations():
    for changes in ({"eval_every": 0}, {"val_fraction": 0.0}):
        with pytest.raises(ConfigError, match="patience waits for a lower validation loss"):
            TrainConfig(patience=1, **changes).check()
