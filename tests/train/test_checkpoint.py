"""A checkpoint is either whole or not there, and what was changed after it was written is noticed."""

import errno
import json
import os
import pickle
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tinylm.errors import CheckpointError
from tinylm.train import checkpoint

ARRAYS = {
    "model": {"blocks.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "gain": np.ones(3)},
    "optimizer": {"m": np.linspace(0, 1, 7), "empty": np.zeros((0, 2), np.float32)},
}
STATE = {"config": {"lr": 0.1, "name": "straße"}, "position": 12, "betas": [0.9, 0.99]}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "step-000001"
    checkpoint.save(path, ARRAYS, STATE)
    return path


def assert_whole(found):
    assert found.state == STATE
    for file, members in ARRAYS.items():
        for name, array in members.items():
            assert found.arrays[file][name].dtype == array.dtype and np.array_equal(
                found.arrays[file][name], array
            )


def test_what_is_saved_is_what_is_loaded(saved):
    assert_whole(checkpoint.load(saved))
    assert checkpoint.load(saved, files=("model",)).arrays.keys() == {"model"}


def test_arrays_of_every_device_can_be_saved(tmp_path, device):
    from tinylm.backend import to_device

    checkpoint.save(tmp_path / "c", {"model": {"w": to_device(np.arange(3.0), device)}}, {})
    assert checkpoint.load(tmp_path / "c").arrays["model"]["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("file", ["model.npz", "optimizer.npz", "state.json"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_truncated_file_is_named(saved, file, kept):
    data = (saved / file).read_bytes()
    (saved / file).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(CheckpointError, match=f"{file} is damaged"):
        checkpoint.load(saved)


@pytest.mark.parametrize("file", ["model.npz", "optimizer.npz", "state.json"])
def test_any_changed_byte_of_content_is_noticed(saved, file):
    """Bytes of zip headers that no reader looks at may change without harm; whatever loads must be
    what was saved.
    """
    original = (saved / file).read_bytes()
    noticed = 0
    for at in range(
        0, len(original), 7
    ):  # 7 has no factor in common with the records' alignment of 64
        (saved / file).write_bytes(
            original[:at] + bytes([original[at] ^ 0x20]) + original[at + 1 :]
        )
        try:
            assert_whole(checkpoint.load(saved))
        except CheckpointError as error:
            noticed += 1
            assert file in str(error)
    assert noticed > 0


def test_edited_array_is_named(saved):
    members = dict(np.load(saved / "model.npz"))
    members["gain"][1] = 2
    np.savez(saved / "model.npz", **members)
    with pytest.raises(CheckpointError, match="array 'gain' has sha256"):
        checkpoint.load(saved)
    np.savez(saved / "model.npz", **{**members, "gain": np.ones(4)})
    with pytest.raises(
        CheckpointError, match=r"array 'gain' has shape \[4\], but state.json has \[3\]"
    ):
        checkpoint.load(saved)
    np.savez(saved / "model.npz", gain=np.ones(3))
    with pytest.raises(CheckpointError, match="blocks.0.weight"):
        checkpoint.load(saved)


def test_edited_configuration_is_noticed(saved):
    content = json.loads((saved / "state.json").read_text())
    content["state"]["config"]["lr"] = 0.2
    (saved / "state.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="state.json is damaged.*edited"):
        checkpoint.load(saved)


class Bomb:
    """Unpickling this would create the file it names."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_are_refused_and_not_run(saved, tmp_path):
    crater = tmp_path / "crater"
    np.savez(
        saved / "model.npz",
        **{
            "blocks.0.weight": ARRAYS["model"]["blocks.0.weight"],
            "gain": np.array([Bomb(str(crater))], object),
        },
    )
    with pytest.raises(
        CheckpointError, match="model.npz is refused: array 'gain' holds pickled objects"
    ):
        checkpoint.load(saved)
    (saved / "model.npz").write_bytes(pickle.dumps(Bomb(str(crater))))
    with pytest.raises(CheckpointError, match="model.npz is refused: it holds pickled objects"):
        checkpoint.load(saved)
    assert not crater.exists()
    with pytest.raises(
        CheckpointError, match="would have to be pickled"
    ):  # nor does saving ever pickle
        checkpoint.save(tmp_path / "objects", {"model": {"x": np.array([{}], object)}}, {})


def test_missing_parts_are_named(saved, tmp_path):
    (saved / "optimizer.npz").unlink()
    with pytest.raises(CheckpointError, match="optimizer.npz is damaged: it is missing"):
        checkpoint.load(saved)
    with pytest.raises(CheckpointError, match="no checkpoint at .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no run at"):
        checkpoint.find_run(tmp_path / "nowhere")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds no complete checkpoint: .*remove this"):
        checkpoint.find_run(tmp_path / "run")


def test_nobody_is_told_to_remove_a_directory_that_is_no_run(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="nor anything else of a run") as told:
        checkpoint.find_run(tmp_path)
    assert "remove this" not in str(told.value)


def test_newest_checkpoints_are_kept(tmp_path):
    for step in (
        5,
        10,
        999_995,
        1_000_000,
    ):  # numbers, not names, are ordered: the last has a digit more
        checkpoint.save_step(tmp_path, step, ARRAYS, STATE, keep=2)
    assert list(checkpoint.steps(tmp_path)) == [999_995, 1_000_000]
    assert checkpoint.find_run(tmp_path) == (tmp_path, checkpoint.latest(tmp_path))
    assert checkpoint.latest(tmp_path).name == "step-1000000"


def killed_at(event_number, action):
    """Run action() in a forked process that kills itself (kill -9) at its n-th file operation. True
    if it died so.
    """
    child = os.fork()
    if child == 0:
        seen = [0]

        def hook(event, args):
            if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
                seen[0] += 1
                if seen[0] == event_number:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@needs_fork
def test_a_crash_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    """kill -9 before every single file operation of writing step 2 over a full set of kept
    checkpoints.
    """
    died, event = 0, 0
    while True:
        event += 1
        run = tmp_path / f"run{event}"
        checkpoint.save_step(run, 1, ARRAYS, STATE, keep=1)
        if not killed_at(
            event, lambda run=run: checkpoint.save_step(run, 2, ARRAYS, STATE, keep=1)
        ):
            break
        died += 1
        assert_whole(checkpoint.load(checkpoint.latest(run)))
        for path in checkpoint.steps(run).values():  # whatever looks complete is complete
            assert_whole(checkpoint.load(path))
        checkpoint.save_step(run, 3, ARRAYS, STATE, keep=1)
        assert [p.name for p in (run / "checkpoints").iterdir()] == [
            "step-000003"
        ]  # debris is gone
    assert list(checkpoint.steps(run)) == [2]
    assert died >= 6  # mkdir, three files, rename, and the removal of step 1


@pytest.mark.parametrize(
    "call", range(6)
)  # three files, the directory, the rename's directory, none
def test_full_disk_loses_nothing_saved(tmp_path, monkeypatch, call):
    checkpoint.save_step(tmp_path, 1, ARRAYS, STATE)
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    if call < 3:
        with pytest.raises(
            CheckpointError, match="No space left on device.*earlier checkpoints are untouched"
        ):
            checkpoint.save_step(tmp_path, 2, ARRAYS, STATE)
        assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]
    else:  # a directory that cannot be synced is no failure
        checkpoint.save_step(tmp_path, 2, ARRAYS, STATE)
        assert_whole(checkpoint.load(checkpoint.latest(tmp_path)))
    assert_whole(checkpoint.load(checkpoint.steps(tmp_path)[1]))


def test_unwritable_directory_is_one_clear_error(tmp_path, monkeypatch):
    """Tests may run as root, whom no permission stops, so the refusal is injected."""

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Python 3.10's paths keep the os.mkdir that they found when they were imported.
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CheckpointError, match="cannot write .*step-000001.*Permission denied"):
        checkpoint.save_step(tmp_path, 1, ARRAYS, STATE)


def test_a_file_in_the_way_is_reported(tmp_path):
    (tmp_path / "checkpoints").write_text("not a directory")
    with pytest.raises(CheckpointError, match="cannot write"):
        checkpoint.save_step(tmp_path, 1, ARRAYS, STATE)


def test_nothing_is_written_over(saved):
    with pytest.raises(CheckpointError, match="exists already"):
        checkpoint.save(saved, ARRAYS, {})
    assert_whole(checkpoint.load(saved))
    shutil.rmtree(saved)
