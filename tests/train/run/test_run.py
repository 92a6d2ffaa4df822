"""A run from its configuration to its end: what it leaves behind, and that it goes on as if it had
never stopped.
"""

import dataclasses
import errno
import json
import math
import os
import re
import signal
import sys

import numpy as np
import pytest

from tests.train.tiny import TEXT, same_bits, tiny_config
from tinylm.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    TinylmError,
    TrainingError,
    WorkerError,
)
from tinylm.parallel import launch, obstacle
from tinylm.tokenizers import ByteTokenizer
from tinylm.train import TrainConfig, checkpoint, load_run, prepare_run, train_run
from tinylm.train import log as logs
from tinylm.train.run.run import new_objective

needs_fork = pytest.mark.skipif(obstacle() is not None, reason="this system cannot fork safely")


def quiet(line):
    pass


def train(config, comm=None):
    return train_run(config, comm, quiet)


def final(run):
    """(arrays, trainer state) of a run's newest checkpoint."""
    saved = checkpoint.load(checkpoint.latest(run))
    return saved.arrays, saved.state["trainer"]


def same_run(a, b):
    """True if two runs ended in the same bits (parameters, moments, random streams, step) and had
    the same losses.
    """
    (arrays, state), (others, other) = final(a), final(b)
    return (
        state == other
        and losses(a) == losses(b)
        and all(same_bits(arrays[file], others[file]) for file in arrays)
    )


def losses(run):
    return {
        (e["event"], e["step"]): e["loss"]
        for e in logs.read(run)
        if e["event"] in ("step", "validation")
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 8 steps that never stopped: its directory and summary."""
    folder = tmp_path_factory.mktemp("whole")
    summary = train(tiny_config(folder))
    return folder / "run", summary


def test_a_run_leaves_everything_in_its_directory(whole):
    run, summary = whole
    assert {p.name for p in run.iterdir()} == {
        "checkpoints",
        "config.json",
        "data",
        "lock",
        "log.jsonl",
        "tokenizer.json",
    }
    assert list(checkpoint.steps(run)) == [6, 8]  # every 3 steps and the last; 2 are kept
    events = logs.read(run)
    assert [e["event"] for e in events if e["event"] != "step"] == [
        "start",
        "validation",
        "validation",
        "end",
    ]
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, 9))
    assert {"loss", "lr", "grad_norm", "tokens", "tokens_per_second", "seconds"} <= events[1].keys()
    assert events[1]["tokens"] == 4 * 8
    assert summary["step"] == 8 and not summary["interrupted"]
    assert summary["validation_loss"] == events[-2]["loss"]
    assert summary["perplexity"] == math.exp(summary["validation_loss"])
    assert json.loads((run / "config.json").read_text())["d_model"] == 16


def test_validation_covers_the_whole_validation_text_in_bits_per_byte(whole):
    """TEXT is ASCII and tokens are characters: a token is a byte, so bits per byte are nats over
    log 2.
    """
    run, summary = whole
    assert logs.read(run)[-2]["tokens"] == len(TEXT) - int(0.9 * len(TEXT)) - 1
    assert summary["bits_per_byte"] == pytest.approx(
        summary["validation_loss"] / math.log(2), rel=1e-12
    )


def test_learning_rate_follows_the_schedule(whole):
    rates = [e["lr"] for e in logs.read(whole[0]) if e["event"] == "step"]
    config = TrainConfig()
    assert rates[0] == pytest.approx(config.peak_lr / 3) and rates[2] == pytest.approx(
        config.peak_lr
    )  # 2 steps of warm-up
    # Five of the six steps from the peak to 0, which would be the rate of one more.
    assert rates[-1] == pytest.approx(config.peak_lr / 6) and config.min_lr == 0


def test_a_run_loads_as_the_model_that_was_trained(whole):
    model, tokenizer, config = load_run(whole[0])
    assert (
        not model.training
        and config.d_model == 16
        and tokenizer.decode(tokenizer.encode("the cat")) == "the cat"
    )
    arrays, _ = final(whole[0])
    assert same_bits(model.state_dict(), arrays["model"])
    older, _, _ = load_run(checkpoint.steps(whole[0])[6])
    assert not same_bits(older.state_dict(), arrays["model"])


def test_the_same_configuration_gives_the_same_bits(whole, tmp_path):
    train(tiny_config(tmp_path))
    assert same_run(tmp_path / "run", whole[0])


def test_how_often_a_run_is_looked_at_does_not_change_it(whole, tmp_path):
    train(tiny_config(tmp_path, eval_every=1, checkpoint_every=1, keep=1))
    assert same_bits(final(tmp_path / "run")[0]["model"], final(whole[0])[0]["model"])


def interrupt_at(monkeypatch, step, number=signal.SIGINT):
    """Press Ctrl-C, or send another signal, while that step is in work."""
    from tinylm.train.trainer import Trainer

    advance = Trainer.advance

    def press(self, stop):
        if self.step == step - 1:
            signal.raise_signal(number)
        return advance(self, stop)

    monkeypatch.setattr(Trainer, "advance", press)


def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch):
    said = []
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        summary = train_run(tiny_config(tmp_path), None, said.append)
    run = tmp_path / "run"
    assert summary["interrupted"] and "validation_loss" not in summary
    assert said[-1].endswith(f"to continue: tinylm train --resume {run}")
    assert checkpoint.latest(run).name == "step-000004"  # pressed in step 4
    train(TrainConfig(resume=str(run)))
    assert same_run(run, whole[0])


def test_sigterm_saves_like_ctrl_c(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4, signal.SIGTERM)
        summary = train(tiny_config(tmp_path))
    assert summary["interrupted"] and summary["signal"] == signal.SIGTERM
    train(TrainConfig(resume=str(tmp_path / "run")))
    assert same_run(tmp_path / "run", whole[0])


@needs_fork
@pytest.mark.parametrize("nth", [1, 2, 4, 5])  # the directory, a file, the last file, the rename
def test_kill_9_in_the_middle_of_a_checkpoint(whole, tmp_path, nth):
    """Killed while step 6 is being saved: the run goes on from step 3, to the bits of a run that
    never stopped.
    """
    child = os.fork()
    if child == 0:
        seen = []

        def hook(event, args):
            if event in ("open", "os.mkdir", "os.rename") and "step-000006" in str(args[0]):
                seen.append(event)
                if len(seen) == nth:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            train(tiny_config(tmp_path))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    run = tmp_path / "run"
    assert checkpoint.latest(run).name == "step-000003"
    assert logs.read(run)[-1]["step"] == 6  # steps 4 to 6 were logged, and are dropped now
    train(TrainConfig(resume=str(run)))
    assert same_run(run, whole[0])
    assert not list((run / "checkpoints").glob("*.tmp-*"))


def test_a_full_disk_stops_the_run_and_loses_nothing_saved(tmp_path, monkeypatch):
    real, saved = os.fsync, []

    def full(handle):
        if checkpoint.latest(tmp_path / "run"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="step-000006 .No space left"):
        train(tiny_config(tmp_path))
    monkeypatch.undo()
    saved = checkpoint.latest(tmp_path / "run")
    assert saved.name == "step-000003" and checkpoint.load(saved)
    assert train(TrainConfig(resume=str(tmp_path / "run")))["step"] == 8


def train_together(comm, config):
    return train_run(config, comm, quiet)


@needs_fork
def test_a_run_goes_on_with_another_number_of_workers(whole, tmp_path):
    """2 workers for 5 steps, then 1, then 3: the same numbers up to the rounding of sums in another
    order.
    """
    run = tmp_path / "run"
    config = tiny_config(tmp_path, dtype="float64", min_lr=2e-3, schedule="constant")
    launch(train_together, 2, dataclasses.replace(config, steps=5))
    train(TrainConfig(resume=str(run), steps=7))
    launch(train_together, 3, TrainConfig(resume=str(run), steps=8))
    train(dataclasses.replace(config, out=str(tmp_path / "alone")))
    (arrays, state), (expected, expected_state) = final(run), final(tmp_path / "alone")
    assert state == expected_state
    for file in expected:
        for name, array in expected[
            file
        ].items():  # 8 steps of Adam, which divides by roots of tiny numbers
            np.testing.assert_allclose(arrays[file][name], array, rtol=1e-5, atol=1e-9)


@needs_fork
def test_a_failing_worker_ends_the_run_with_its_error(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("short")
    with pytest.raises(WorkerError, match="fewer than one window"):
        launch(train_together, 2, tiny_config(tmp_path, val_fraction=0.0))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"\x00\x01\x02", "binary"),
        (b"caf\xe9 au lait", "offset 3"),
        (b"short", "too short: 4 tokens to learn from"),
    ],
)
def test_bad_text_is_one_clear_error_and_leaves_no_directory(tmp_path, content, message):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        prepare_run(tiny_config(tmp_path), quiet)
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_written_over(whole, tmp_path):
    before = (whole[0] / "log.jsonl").read_text()
    with pytest.raises(
        ConfigError, match="exists already and is not overwritten: continue it with --resume"
    ):
        train(tiny_config(whole[0].parent))
    with pytest.raises(ConfigError, match="leave out --out elsewhere"):
        train(TrainConfig(resume=str(whole[0]), out="elsewhere"))
    assert (whole[0] / "log.jsonl").read_text() == before
    there = tmp_path / "a run"  # the line is to be pasted
    config = tiny_config(tmp_path, steps=1, out=str(there))
    train(config)
    with pytest.raises(ConfigError, match=f"--resume '{re.escape(str(there))}', or choose"):
        train(config)


def test_runs_without_a_name_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny_config(tmp_path, out="")
    first, second = (prepare_run(config, quiet).directory for _ in range(2))
    assert first != second and first.parent.name == "runs"


def test_another_configuration_is_refused_with_both_values(whole):
    with pytest.raises(
        CheckpointError, match="n_layer is 2 there and 3 here, seed is 1337 there and 5 here"
    ):
        prepare_run(TrainConfig(resume=str(whole[0]), n_layer=3, seed=5), quiet)


def test_another_text_is_refused(tmp_path):
    train(tiny_config(tmp_path, steps=1))
    (tmp_path / "text.txt").write_text(TEXT + "the cat")
    (tmp_path / "run" / "data" / "train.bin").unlink()
    with pytest.raises(CheckpointError, match="trained on another text"):
        prepare_run(TrainConfig(resume=str(tmp_path / "run")), quiet)
    (tmp_path / "text.txt").write_text(TEXT)  # the tokens can be made again from the same text
    assert prepare_run(TrainConfig(resume=str(tmp_path / "run")), quiet).data.train


def test_a_fork_of_history_is_refused(whole):
    with pytest.raises(
        CheckpointError,
        match="later checkpoints, step-000008: remove them to continue from step-000006",
    ):
        prepare_run(TrainConfig(resume=str(checkpoint.steps(whole[0])[6])), quiet)


def test_a_rate_that_is_too_high_ends_with_the_step_and_the_operation(tmp_path):
    config = tiny_config(tmp_path, lr=1e30, min_lr=0.0, warmup=0, clip=0.0, steps=50)
    cause = (
        r"step \d+: the (loss|gradient norm) is (nan|inf); in rows 0 to 3 of batch \d+, first \w+\("
    )
    with pytest.raises(TrainingError, match=cause):
        train(config)


@pytest.mark.parametrize("tokenizer", ["bytes", "chars", "bpe", "file", "run"])
def test_every_kind_of_tokenizer_can_be_used(whole, tmp_path, tokenizer):
    if tokenizer == "file":
        ByteTokenizer().save(tmp_path / "bytes.json")
    name = {"file": str(tmp_path / "bytes.json"), "run": str(whole[0])}.get(tokenizer, tokenizer)
    run = prepare_run(tiny_config(tmp_path, tokenizer=name, vocab_size=270), quiet)
    letters = len(set(TEXT))
    sizes = {"bytes": 256, "chars": letters, "bpe": 270, "file": 256, "run": letters}
    assert run.tokenizer.vocab_size == sizes[tokenizer]
    assert (
        run.tokenizer.decode(np.concatenate([run.data.train.tokens, run.data.val.tokens])) == TEXT
    )


def test_an_unknown_tokenizer_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="'word' is neither chars, bytes, bpe nor an existing file"
    ):
        prepare_run(tiny_config(tmp_path, tokenizer="word"), quiet)


def test_documents_are_separated_by_an_end_of_text(tmp_path):
    (tmp_path / "texts").mkdir()
    for i in range(4):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"document {i}. " * 50)
    run = prepare_run(tiny_config(tmp_path, data=str(tmp_path / "texts"), val_fraction=0.25), quiet)
    end = run.tokenizer.special["<|endoftext|>"]
    assert [int((side.tokens[:] == end).sum()) for side in (run.data.train, run.data.val)] == [3, 1]


def test_validation_can_be_left_out(tmp_path):
    summary = train(tiny_config(tmp_path, val_fraction=0.0, steps=2))
    assert "validation_loss" not in summary and summary["loss"] > 0


def test_nothing_to_load_is_one_clear_error(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError):
            load_run(path)
    checkpoint.save(tmp_path / "step-000001", {"model": {}}, {"something": "else"})
    with pytest.raises(TinylmError, match="not a checkpoint of a training run"):
        load_run(tmp_path / "step-000001")


def test_tokens_are_not_lost_where_the_text_is_another_by_now(tmp_path):
    """The tokens are damaged and the text is gone, or has been changed: nothing is written over."""
    train(tiny_config(tmp_path, steps=2))
    file = tmp_path / "run" / "data" / "val.bin"
    whole, damaged = file.read_bytes(), file.read_bytes()[:-1]
    file.write_bytes(damaged)
    for change in (lambda path: path.write_text(TEXT[::-1]), lambda path: path.unlink()):
        change(tmp_path / "text.txt")
        with pytest.raises(TinylmError):
            train(TrainConfig(resume=str(tmp_path / "run"), steps=3))
        assert file.read_bytes() == damaged
        assert not list((tmp_path / "run").glob("data.tmp-*"))
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "run" / "data").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "data").symlink_to("../elsewhere")
    assert train(TrainConfig(resume=str(tmp_path / "run"), steps=3))["step"] == 3
    assert file.read_bytes() == whole and (tmp_path / "run" / "data").is_symlink()


def test_tokens_are_prepared_again_without_the_bad_lines(tmp_path):
    config = tiny_config(tmp_path, steps=2, skip_bad=True)
    (tmp_path / "text.txt").write_bytes(TEXT[:500].encode() + b"\ncaf\xe9\n" + TEXT[500:].encode())
    train(config)
    (tmp_path / "run" / "data" / "val.bin").write_bytes(b"")
    assert train(TrainConfig(resume=str(tmp_path / "run"), steps=3))["step"] == 3


def test_the_loss_of_experts_keeps_them_in_balance():
    def objective(**settings):
        return new_objective(TrainConfig(**settings), ByteTokenizer(), np.arange(9))

    assert objective(experts=2).balance == 0.01
    assert objective(experts=2, balance=0.0).balance == 0
    assert objective().balance == 0
