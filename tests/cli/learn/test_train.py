import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.learn.showcase import some_words
from tinylm.cli.learn.train import workers_for
from tinylm.data.batches.split import split_text
from tinylm.errors import CheckpointError
from tinylm.models.early.ngram import best_by_counting
from tinylm.train import TrainConfig, checkpoint, load_run
from tinylm.train.run.config import as_json
from tinylm.train.run.recorded import from_json


def weights(run):
    return checkpoint.load(checkpoint.latest(run), files=("model",)).arrays["model"]


def test_training_ends_with_a_sample_and_the_commands_that_go_on(text, tiny, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", "--data", str(text), "--out", out, *tiny]) == 0
    said = capsys.readouterr().out
    for words in (
        "validation loss",
        "bits per byte",
        "A sample, 200 tokens after",
        f"tinylm generate {out} '",
        f"tinylm eval {out}",
        f"tinylm plot {out}",
        f"tinylm train --resume {out} --steps 6",
    ):
        assert words in said


def test_training_ends_with_the_bar_that_counting_sets(text, tiny, tmp_path, capsys):
    bits, order = best_by_counting(*split_text(text.read_text(), 0.1))
    line = f"The bar to beat: {bits:.3f} bits per byte by counting (Kneser-Ney {order}-grams"
    assert main(["train", "--data", str(text), "--out", str(tmp_path / "on"), *tiny]) == 0
    assert line in capsys.readouterr().out
    options = ["--data", str(text), "--out", str(tmp_path / "off"), "--no-ngrams"]
    assert main(["train", *options, *tiny]) == 0
    assert "The bar to beat" not in capsys.readouterr().out


def test_the_end_of_a_document_is_predicted_and_is_no_byte_of_the_text(tiny, tmp_path, capsys):
    # Eight letters at random are 3 bits each, for a model and for counting. As thirteen characters
    # that follow from one another, the names of the ends made them 2.5.
    rng = np.random.default_rng(0)
    for i in range(200):
        (tmp_path / f"{i}.txt").write_text("".join(rng.choice(list("abcdefgh"), 60)))
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *tiny]) == 0
    bits = float(re.search(r"The bar to beat: (\S+) bits", capsys.readouterr().out)[1])
    assert bits > 3


def test_of_a_long_text_the_beginning_is_counted(text, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tinylm.cli.learn.showcase.COUNTED", 100)
    train, held_out = split_text(text.read_text(), 0.1)
    bits, _ = best_by_counting(train[:100], held_out[:100])
    assert main(["train", "--data", str(text), "--out", str(tmp_path / "run"), *tiny]) == 0
    said = capsys.readouterr().out
    assert f"The bar to beat: {bits:.3f} bits" in said and "the first 100 characters" in said


def test_a_text_is_several_files_folders_and_patterns(tmp_path, tiny, capsys):
    for name in ("book.txt", "src/a.py", "src/b.py", "src/image.bin", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}. " * 40)
    out, paths = str(tmp_path / "run"), ["book.txt", "src", "*.md", "src/a.py"]
    data = [str(tmp_path / path) for path in paths]
    assert main(["train", "--data", *data, "--out", out, *tiny]) == 0
    said = capsys.readouterr().out
    assert "4 files of text; left out 1 file not named like a text: 1 .bin" in said
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"] == data
    assert main(["eval", out, "--data", *data[:2]]) == 0
    assert main(["train", "--resume", out, "--steps", "5"]) == 0


def test_a_configuration_of_an_older_run_with_one_path_is_read(tmp_path):
    saved = {**as_json(TrainConfig()), "data": "book.txt"}
    assert from_json(saved, "run").data == ("book.txt",)
    assert TrainConfig(data="").data == TrainConfig(data=None).data == ()
    for wrong in 5, ["a", 5], {"a": 1}:
        with pytest.raises(CheckpointError):
            from_json({**saved, "data": wrong}, "run")


def test_a_file_without_its_option_is_shown_with_it(text, capsys):
    assert main(["train", str(text)]) == 1
    assert f"--data {text}" in capsys.readouterr().err


def test_the_command_that_the_end_prints_for_going_on_works(run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(run, again)
    assert main(["train", "--resume", str(again), "--steps", "6"]) == 0
    steps = [
        json.loads(line).get("step") for line in (again / "log.jsonl").read_text().splitlines()
    ]
    assert max(steps) == 6


def test_a_resumed_run_keeps_the_bits_of_one_that_never_stopped(text, tiny, tmp_path):
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    settings = [
        "--data",
        str(text),
        *tiny,
        "--schedule",
        "constant",
    ]  # a schedule that does not look at the end
    assert main(["train", "--out", whole, *settings, "--steps", "4"]) == 0
    assert main(["train", "--out", parts, *settings, "--steps", "2"]) == 0
    assert main(["train", "--resume", parts, "--steps", "4"]) == 0
    assert all(
        np.array_equal(a, b)
        for a, b in zip(weights(whole).values(), weights(parts).values(), strict=True)
    )


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--lr", "inf"], "lr must be a finite number above 0, not inf"),
        (["--data", "none.txt"], "none.txt"),
        (["--n-head", "3"], "d_model 128 does not divide into 3 heads"),
        (["--resume", "nowhere"], "no run at 'nowhere'"),
        (["--learning-rate", "1"], "did you mean --lr or --min-lr"),
        (["--device", "tpu"], "no device named 'tpu'"),
        (["--workers", "17"], "17 workers cannot share a batch of 8"),
        (["RUN"], "takes no plain words, but got 'RUN'"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing_behind(
    argv, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm train: ") and error.count("\n") == 1
    assert list(tmp_path.rglob("checkpoints")) == [] and list(tmp_path.glob("runs/*")) == []


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty"),
        (b"\x00\x01\x02" * 99, "is a binary file"),
        (b"caf\xe9 " * 99, "byte 0xe9 at offset 3"),
        (b"short", "too short: 4 tokens to learn from, 1 to validate"),
    ],
)
def test_a_text_that_is_none_is_one_line(data, words, tiny, tmp_path, capsys):
    (tmp_path / "bad.txt").write_bytes(data)
    assert (
        main(["train", "--data", str(tmp_path / "bad.txt"), "--out", str(tmp_path / "run"), *tiny])
        == 1
    )
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_run_is_not_written_over(run, text, tiny, capsys):
    before = weights(run)
    assert main(["train", "--data", str(text), "--out", str(run), *tiny]) == 1
    assert f"continue it with --resume {run}" in capsys.readouterr().err
    assert all(
        np.array_equal(a, b) for a, b in zip(before.values(), weights(run).values(), strict=True)
    )


def test_going_on_with_another_model_names_what_differs(run, capsys):
    assert main(["train", "--resume", str(run), "--n-layer", "2"]) == 1
    assert "n_layer is 1 there and 2 here" in capsys.readouterr().err


def test_ctrl_c_saves_and_ends_with_130(text, tiny, tmp_path, monkeypatch, capsys):
    from tinylm.train.trainer import Trainer

    def stop_at_once(
        self, steps, after_step=None, **others
    ):  # what the trainer does after the first Ctrl-C
        return False

    monkeypatch.setattr(Trainer, "run", stop_at_once)
    assert main(["train", "--data", str(text), "--out", str(tmp_path / "run"), *tiny]) == 130
    assert f"to continue: tinylm train --resume {tmp_path / 'run'}" in capsys.readouterr().out


def test_show_config_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--n-layer", "2", "--show-config"]) == 0
    assert capsys.readouterr().out.count(" = ") >= len(vars(TrainConfig()))
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_workers_is_said_when_it_is_chosen():
    said = []
    assert workers_for(TrainConfig(workers=3), said.append) == 3 and said == []
    assert workers_for(TrainConfig(batch_size=1), said.append) == 1  # one row cannot be shared
    assert said[0].startswith("workers: 1 (")
    assert workers_for(TrainConfig(device="gpu"), said.append) == 1


@pytest.mark.parametrize(
    "text, prompt",
    [
        ("ly cut. The dog sat on", "The dog sat"),
        ("abcdefghijkl", "abcdefgh"),
        ("x\n\tif alone\n", "if alone"),
        ("\ufffdab", "ab"),
    ],
)
def test_the_prompt_of_the_sample_is_a_piece_of_the_text(text, prompt):
    class Run:
        class data:
            class val(list):
                tokens = [0]

            val = val([0])

        class tokenizer:
            vocab_size = 1
            decode = staticmethod(lambda ids: text)

    assert some_words(Run) == prompt
    *before, _ = prompt.split(" ")
    hidden = " ".join([*before, "[MASK]"]) if before else prompt + "[MASK]"
    assert some_words(Run, hidden=True) == hidden


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="holds no complete checkpoint"):
        checkpoint.find_run(tmp_path)


class Job:
    """`tinylm train` with no end in sight, which has trained some steps; ended when the block is
    left.
    """

    def __init__(self, text, tiny, out, workers, **options):
        self.out = out
        settings = [f"--workers={workers}", "--steps=1000000", "--eval-every=0"]
        settings += ["--checkpoint-every=0", "--data", str(text), "--out", str(out)]
        command = [sys.executable, "-m", "tinylm", "train", *tiny, *settings]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, **options}
        self.process = subprocess.Popen(command, text=True, **options)

    def __enter__(self):
        log = self.out / "log.jsonl"
        while '"step": 5,' not in (log.read_text() if log.exists() else ""):
            assert self.process.poll() is None
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def workers(self):
        """The process ids of the workers, rank 0 first."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]

    def ended(self):
        """(exit code, what it said), once it has ended by itself."""
        said = self.process.stdout.read() if self.process.stdout else ""
        return self.process.wait(), said


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux has it")


def no_nohup():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def nohup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@needs_fork
@pytest.mark.parametrize(
    "workers, name, code",
    [("1", "SIGTERM", 143), ("2", "SIGTERM", 143), ("1", "SIGHUP", 129), ("2", "SIGHUP", 129)],
)
def test_a_signal_to_end_saves_first(text, tiny, tmp_path, workers, name, code):
    """The process is started as a scheduler starts it, and the signal comes to it alone."""
    out = tmp_path / "run"
    with Job(text, tiny, out, workers, preexec_fn=no_nohup) as job:
        job.process.send_signal(getattr(signal, name))
        status, said = job.ended()
    assert status == code and f"saved; to continue: tinylm train --resume {out}" in said
    assert checkpoint.latest(out)


def test_bad_lines_of_a_text_are_left_out_and_counted(tmp_path, tiny, capsys):
    book = tmp_path / "book.txt"
    book.write_bytes(
        b"the cat sat on the mat\n" * 20 + b"caf\xe9\n" + b"the dog sat on the log\n" * 20
    )
    argv = ["train", "--data", str(book), "--out", str(tmp_path / "run"), *tiny]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert "line 21" in error and "--skip-bad" in error and not (tmp_path / "run").exists()
    assert main([*argv, "--skip-bad"]) == 0
    told = capsys.readouterr().out
    assert "left out 1 bad line" in told and "book.txt, line 21: byte 0xe9" in told
    assert main(["eval", str(tmp_path / "run"), "--data", str(book)]) == 1
    assert "--skip-bad" in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "run"), "--data", str(book), "--skip-bad"]) == 0
    assert "left out 1 bad line" in capsys.readouterr().out


def test_bad_pairs_are_left_out_and_counted(tmp_path, tiny, capsys):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("the cat\tdie katze\n" * 20 + "no translation\n" + "the dog\tder hund\n" * 20)
    argv = [
        "train",
        "--data",
        str(pairs),
        "--objective=translation",
        "--out",
        str(tmp_path / "run"),
        *tiny,
        "--context=64",
    ]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert "line 21" in error and "--skip-bad" in error
    assert main([*argv, "--skip-bad"]) == 0
    assert "left out 1 bad line" in capsys.readouterr().out


def test_a_vocabulary_is_learnt_without_the_bad_lines(tmp_path, capsys):
    book, out = tmp_path / "book.txt", str(tmp_path / "tokenizer.json")
    book.write_bytes(b"the cat sat on the mat\n" * 20 + b"caf\xe9\n")
    assert main(["tokenize", "--train", str(book), "--out", out]) == 1
    assert "--skip-bad" in capsys.readouterr().err
    assert main(["tokenize", "--train", str(book), "--out", out, "--skip-bad"]) == 0
    assert "left out 1 bad line" in capsys.readouterr().out


def test_a_run_of_before_bad_lines_could_be_left_out_is_read(run, tmp_path):
    values = json.loads((run / "config.json").read_text())
    del values["skip_bad"]
    assert from_json(values, "run").skip_bad is False


@needs_fork
@needs_proc
def test_a_signal_to_one_worker_alone_saves_too(text, tiny, tmp_path):
    with Job(text, tiny, tmp_path / "run", "2") as job:
        os.kill(job.workers()[1], signal.SIGTERM)
        status, said = job.ended()
    assert status == 143 and "saved; to continue" in said and checkpoint.latest(tmp_path / "run")


@needs_fork
def test_a_run_under_nohup_goes_on_without_its_terminal(text, tiny, tmp_path):
    with Job(text, tiny, tmp_path / "run", "2", preexec_fn=nohup) as job:
        job.process.send_signal(signal.SIGHUP)
        job.process.send_signal(signal.SIGTERM)
        assert job.ended()[0] == 143  # SIGHUP, which came first, would have given 129


@needs_fork
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_is_closed_does_not_keep_a_run_from_saving(text, tiny, tmp_path, workers):
    import pty

    ours, theirs = pty.openpty()
    streams = {"stdout": theirs, "stderr": theirs, "stdin": theirs, "start_new_session": True}
    with Job(text, tiny, tmp_path / "run", workers, preexec_fn=no_nohup, **streams) as job:
        os.close(theirs), os.close(ours)  # from now on all output is an error
        job.process.send_signal(signal.SIGHUP)
        assert job.ended()[0] == 129
    assert checkpoint.latest(tmp_path / "run")


def test_a_worker_ended_before_it_trains_gives_its_code(text, tiny, tmp_path, monkeypatch, capsys):
    from tinylm.errors import WorkerError

    class Ended(WorkerError):
        type = "SIGTERM"

    def ended(function, workers):
        raise Ended("worker 1 of 2 failed: SIGTERM: the process was killed")

    monkeypatch.setattr("tinylm.parallel.launcher.launch", ended)
    assert main(["train", "--data", str(text), "--out", str(tmp_path / "run"), *tiny]) == 143
    assert "worker 1 of 2 failed" in capsys.readouterr().out


def test_a_run_ended_before_anything_is_saved_can_be_begun_again(text, tiny, tmp_path, monkeypatch):
    from tinylm.machine import Terminated

    def ended(function, workers):
        raise Terminated

    argv = ["train", "--data", str(text), "--out", str(tmp_path / "run"), *tiny]
    with monkeypatch.context() as patched:
        patched.setattr("tinylm.parallel.launcher.launch", ended)
        assert main(argv) == 143
    assert not (tmp_path / "run").exists()
    assert main(argv) == 0


def test_a_signal_while_the_model_is_made_finds_a_step_to_finish(text, tiny, tmp_path, monkeypatch):
    from tinylm.train.run import run

    real = run.new_model

    def hit(*args):
        signal.raise_signal(signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(run, "new_model", hit)
    argv = ["train", "--data", str(text), "--out", str(tmp_path / "run"), *tiny]
    assert main([*argv, "--steps=1000000"]) == 143
    assert list(checkpoint.steps(tmp_path / "run")) == [1]


def test_a_name_that_the_run_could_not_record_is_refused_at_once(tmp_path, tiny, capsys):
    argv = ["train", "--data", "\udce9.txt", "--out", str(tmp_path / "run"), *tiny]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert "data must be a name in UTF-8" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_short_text_is_learnt_in_short_rows(tmp_path, capsys):
    data = tmp_path / "short.txt"
    data.write_text("a text of a few words, " * 3)  # 69 bytes
    small = "--n-layer=1 --n-head=1 --d-model=8 --batch-size=2 --steps=1 --workers=1".split()
    for name, more, context in (("gpt", [], 31), ("mlm", ["--objective=mlm"], 31)):
        out = str(tmp_path / name)
        argv = ["train", "--data", str(data), "--tokenizer=bytes", "--out", out, *small, *more]
        assert main(argv) == 0
        said = capsys.readouterr().out
        assert f"context: {context} tokens instead of " in said
        assert load_run(out)[2].context == context
