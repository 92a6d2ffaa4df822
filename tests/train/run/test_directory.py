"""A directory is taken once, locked while it is trained, and given back as it was when the start
fails."""

import os
import subprocess
import sys

import pytest

from tests.train.tiny import tiny_config
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.train import TrainConfig, checkpoint, prepare_run, train_run
from tinylm.train.run import directory, session


def quiet(line):
    pass


def test_a_failed_start_leaves_a_directory_it_did_not_make(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError):
        prepare_run(tiny_config(tmp_path, data=str(tmp_path / "nofile")), quiet)
    assert list((tmp_path / "run").iterdir()) == []
    train_run(tiny_config(tmp_path), None, quiet)  # and it can be used afterwards


def test_a_failed_start_leaves_what_others_put_into_the_directory(tmp_path, monkeypatch):
    def fail(*args):
        (tmp_path / "run" / "notes.txt").write_text("mine")
        raise DataError("no")

    monkeypatch.setattr("tinylm.train.run.run.make_tokenizer", fail)
    with pytest.raises(DataError):
        prepare_run(tiny_config(tmp_path), quiet)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("exists", [True, False])
def test_two_starts_in_one_directory_one_is_refused(tmp_path, monkeypatch, exists):
    """The other start takes the directory just after this one has seen that it is empty, or has
    made it."""
    if exists:
        (tmp_path / "run").mkdir()
    real = os.open

    def late(path, flags, *mode):
        if str(path).endswith("lock") and flags & os.O_EXCL:
            (tmp_path / "run" / "lock").touch()
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(ConfigError, match="exists already"):
        directory.begin(str(tmp_path / "run"))
    assert (tmp_path / "run" / "lock").exists()


@pytest.mark.skipif(directory.fcntl is None, reason="this system has no file locks")
def test_a_second_resume_is_told_who_trains(tmp_path):
    train_run(tiny_config(tmp_path), None, quiet)
    run = tmp_path / "run"
    code = (
        f"from tinylm.train.run.directory import lock; held = lock({str(run)!r}); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(CheckpointError, match=f"is being trained by process {other.pid} on "):
            prepare_run(TrainConfig(resume=str(run), steps=9), quiet)
        other.kill()  # a lock that dies with its holder
        other.wait()
    assert train_run(TrainConfig(resume=str(run), steps=9), None, quiet)["step"] == 9


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "fcntl", None)
    said = []
    directory.lock(tmp_path, said.append).close()
    assert "no file locks" in said[0]


def test_a_new_run_has_its_first_checkpoint_after_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "FIRST", 0.0)  # a step takes longer
    train_run(tiny_config(tmp_path, steps=3, checkpoint_every=250), None, quiet)
    assert list(checkpoint.steps(tmp_path / "run")) == [1, 3]


def test_a_run_killed_before_its_first_checkpoint_sends_nobody_in_a_circle(tmp_path):
    begun = directory.begin(str(tmp_path / "run"))
    begun.lock.close()
    with pytest.raises(ConfigError, match="without a checkpoint.*remove the directory") as refused:
        directory.begin(str(tmp_path / "run"))
    assert "--resume" not in str(refused.value)
    with pytest.raises(CheckpointError, match="another --out, or remove this directory"):
        checkpoint.find_run(tmp_path / "run")


def test_going_on_removes_what_a_killed_process_was_writing(tmp_path):
    train_run(tiny_config(tmp_path), None, quiet)
    run = tmp_path / "run"
    for name in ("log.jsonl.tmp-77", "data/train.bin.tmp-77", "notes.tmp-77"):
        (run / name).touch()
    train_run(TrainConfig(resume=str(run), steps=9), None, quiet)
    left = [path.name for path in run.rglob("*.tmp-*")]
    assert left == ["notes.tmp-77"]  # which tinylm did not write
