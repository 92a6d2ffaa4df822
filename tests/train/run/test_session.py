"""What a session tells: to the user, to the log, and when it fails."""

import signal

import pytest

from tests.train.tiny import tiny_config
from tinylm.errors import TrainingError
from tinylm.train import TrainConfig, checkpoint, train_run
from tinylm.train import log as logs
from tinylm.train.trainer import Trainer


def test_the_user_is_told_what_is_trained_and_what_came_out(tmp_path, capsys):
    said = []
    summary = train_run(tiny_config(tmp_path), None, said.append)
    assert "tokens to learn from" in said[0]
    assert (
        f"model: {summary['parameters']:,} parameters; 1 worker; 8 steps of 4 x 8 tokens" in said[1]
    )
    assert f"validation loss {summary['validation_loss']:.4f}" in said[-1] and "8 steps" in said[-1]
    captured = capsys.readouterr()
    assert captured.out == ""  # what is reported goes where the caller says
    assert "step 4: validation loss" in captured.err and "8/8" in captured.err


def test_a_run_that_is_done_says_how_to_go_further(tmp_path):
    train_run(tiny_config(tmp_path, steps=2), None, lambda line: None)
    said = []
    summary = train_run(TrainConfig(resume=str(tmp_path / "run")), None, said.append)
    assert "all 2 steps are done: give --steps a larger number to go further" in said
    assert summary["step"] == 2 and summary["loss"] is None and summary["validation_loss"] > 0


@pytest.mark.parametrize("broken, saved", [(2, "nothing"), (5, "step-000003")])
def test_a_failure_says_what_is_saved(tmp_path, monkeypatch, broken, saved):
    advance = Trainer.advance

    def fail(self, stop):
        if self.step == broken:
            raise TrainingError(f"step {broken + 1}: the loss is nan")
        return advance(self, stop)

    monkeypatch.setattr(Trainer, "advance", fail)
    with pytest.raises(
        TrainingError, match=rf"step {broken + 1}: the loss is nan\. Saved so far: .*{saved}"
    ):
        train_run(tiny_config(tmp_path), None, lambda line: None)
    assert (
        logs.read(tmp_path / "run")[-1]["step"] == broken
    )  # the log reaches to the last finished step


def test_a_short_run_warms_up_for_less_and_says_so(tmp_path):
    said = []
    config = tiny_config(tmp_path, steps=20, warmup=100, lr=1e-2, checkpoint_every=0)
    train_run(config, None, said.append)
    assert "warm-up: 100 steps are not fewer than the 20 to train, so 2 steps warm up" in said
    rates = [event["lr"] for event in logs.read(tmp_path / "run") if event["event"] == "step"]
    assert max(rates) == 1e-2 == rates[2] and rates[-1] < 2e-3  # a tenth at the end


def test_a_second_sigterm_does_not_cut_off_the_saving(tmp_path, monkeypatch):
    real = checkpoint.save_step

    def hit(*args):
        signal.raise_signal(signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(checkpoint, "save_step", hit)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # which raises
    try:
        train_run(tiny_config(tmp_path, steps=2, checkpoint_every=0), None, lambda line: None)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(checkpoint.steps(tmp_path / "run")) == [2]
