"""Runs whose model several processes hold: by workers that are forked here, from the command."""

import os
import signal

import numpy as np
import pytest

from tests.parallel.runs import SETTINGS, assert_same, weights
from tinylm.cli import main
from tinylm.errors import ConfigError
from tinylm.parallel.mesh import Layout, parse_layout
from tinylm.parallel.run import check_ranks, micro_batches
from tinylm.train import TrainConfig
from tinylm.train.run.session import Session


@pytest.mark.parametrize("layout", ["dp=2,tp=2", "pp=2,tp=2,sequence", "cp=2"])
def test_a_layout_trains_what_one_process_trains(layout, book, single_run, tmp_path, capfd):
    out = tmp_path / "run"
    argv = ["train", "--data", str(book), "--out", str(out), *SETTINGS, "--parallel", layout]
    assert main(argv) == 0
    said, size = capfd.readouterr().out, parse_layout(layout).size
    assert f"{size} workers as {parse_layout(layout)}" in said
    assert said.count("model: ") == 1 and "A sample" in said  # rank 0 alone reports
    assert_same(out, single_run)
    assert main(["eval", str(out)]) == 0


def test_a_run_goes_on_with_another_layout_and_other_workers(book, single_run, tmp_path, capfd):
    out = tmp_path / "run"
    argv = ["train", "--data", str(book), "--out", str(out), *SETTINGS]
    assert main([*argv, "--parallel", "tp=2,pp=2", "--steps", "2"]) == 0
    assert main(["train", "--resume", str(out), "--parallel", "dp=2,zero=3", "--steps", "3"]) == 0
    assert main(["train", "--resume", str(out), "--workers", "1", "--steps", "4"]) == 0
    said = capfd.readouterr().out
    for words in ("4 workers as tp=2,pp=2", "2 workers as dp=2,zero=3", "1 worker;"):
        assert words in said
    for name, array in weights(single_run).items():
        np.testing.assert_allclose(weights(out)[name], array, rtol=0, atol=1e-8)


def lose(rank, at, size, monkeypatch):
    """Have a process of so many be killed after a step."""

    def after_step(self, step, seconds):
        ended = done(self, step, seconds)
        if (self.comm.rank, self.trainer.step, self.comm.size) == (rank, at, size):
            os.kill(os.getpid(), signal.SIGKILL)
        return ended

    done = Session.after_step
    monkeypatch.setattr(Session, "after_step", after_step)


@pytest.mark.parametrize(
    "many, rank, at, begun, ended",
    [
        (["--parallel", "dp=2,tp=2"], 3, 3, "4 workers as dp=2,tp=2", "2 workers as tp=2"),
        (["--workers", "3"], 0, 3, "3 workers;", "2 workers;"),
        (["--workers", "3"], 2, 1, "3 workers;", "from the start"),
    ],
)
def test_a_run_that_loses_a_process_goes_on_with_fewer_on_the_same_curve(
    many, rank, at, begun, ended, book, single_run, tmp_path, monkeypatch, capfd
):
    lose(rank, at, 4 if "dp" in many[1] else 3, monkeypatch)
    out = tmp_path / "run"
    argv = ["train", "--data", str(book), "--out", str(out), *SETTINGS, *many]
    assert main([*argv, "--elastic", "--checkpoint-every", "2"]) == 0
    said = capfd.readouterr().out
    assert f"worker {rank} of" in said and "SIGKILL" in said and "going on with fewer from" in said
    assert begun in said and ended in said
    assert_same(out, single_run)


def test_a_lost_process_ends_a_run_that_is_not_elastic_or_has_none_to_spare(
    book, tmp_path, monkeypatch, capfd
):
    lose(1, 3, 2, monkeypatch)
    for more, words in (
        (["--workers", "2"], "worker 1 of 2 failed: SIGKILL"),
        (["--parallel", "tp=2", "--elastic"], "there is no data rank to spare"),
    ):
        out = tmp_path / more[1]
        argv = ["train", "--data", str(book), "--out", str(out), *SETTINGS, *more]
        assert main([*argv, "--checkpoint-every", "2"]) == 1
        assert words in capfd.readouterr().err
        assert main(["train", "--resume", str(out), "--workers", "1"]) == 0


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--parallel", "dp=2", "--workers", "2"], "both say how many processes train"),
        (["--parallel", "tp=2", "--objective", "masked"], "cuts the decoder of objective causal"),
        (["--parallel", "xp=2"], "'xp=2' is not one of dp=N, tp=N"),
        (["--parallel", "tp=3"], "tp=3 cannot share 2 heads of keys and values; tp=2 can"),
        (["--parallel", "pp=4"], "2 layers are too few for 4 stages of 1 chunks; pp=2 can"),
        (
            ["--parallel", "cp=2", "--architecture", "seq2seq"],
            "architecture seq2seq: --parallel cuts the decoder",
        ),
        (["--parallel", "dp=5"], "a batch of 4 is too small for 5 data ranks with 1 micro-batches"),
        (["--parallel", "pp=2,chunks=2", "--n-layer", "4", "--micro-batch", "4"], "multiple of 2"),
        (
            ["--parallel", "tp=1000"],
            "--parallel tp=1000: 1000 processes are more than this machine bears",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing_behind(argv, words, book, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--data", str(book), "--out", str(out), *SETTINGS, *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm train: ") and error.count("\n") == 1
    assert not out.exists()


def test_ranks_that_mpiexec_started_are_as_many_as_the_settings_say():
    check_ranks(TrainConfig(), 3)
    check_ranks(TrainConfig(workers=3), 3)
    check_ranks(TrainConfig(parallel="tp=3"), 3)
    with pytest.raises(ConfigError, match="--workers 2, but mpiexec has started 3"):
        check_ranks(TrainConfig(workers=2), 3)
    with pytest.raises(ConfigError, match="needs 2 ranks, there are 3; tp=3 fits|dp=3 fits"):
        check_ranks(TrainConfig(parallel="tp=2"), 3)


@pytest.mark.parametrize(
    "layout, rows, most, micros",
    [
        (Layout(), 8, 0, 1),
        (Layout(), 8, 3, 3),
        (Layout(pp=2), 8, 0, 4),
        (Layout(pp=2), 3, 0, 3),
        (Layout(pp=3, chunks=2), 8, 0, 6),
        (Layout(pp=3, chunks=2), 5, 0, 3),
        (Layout(pp=3, chunks=2), 2, 0, 3),  # too few rows, which the trainer says
        (Layout(pp=2), 8, 1, 8),
    ],
)
def test_micro_batches_fill_the_pipeline(layout, rows, most, micros):
    assert micro_batches(layout, rows, most) == micros
