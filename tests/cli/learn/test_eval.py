import json
import math

import pytest

from tinylm.cli import main


def result(capsys, *argv):
    assert main(["eval", *map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_validation_text_scores_as_training_said(run, capsys):
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    last = [record for record in logged if record["event"] == "validation"][-1]
    found = result(capsys, run)
    assert (found["loss"], found["bits_per_byte"]) == (last["loss"], last["bits_per_byte"])


def test_the_three_numbers_are_one(run, text, capsys):
    found = result(capsys, run, "--data", text)
    assert (
        found["tokens"] == text.stat().st_size - 1
    )  # one byte a token, and the first is not predicted
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]), rel=1e-12)
    assert found["bits_per_byte"] == pytest.approx(found["loss"] / math.log(2), rel=1e-12)


def test_the_batch_size_does_not_change_the_score(run, text, capsys):
    losses = [result(capsys, run, "--data", text, "--batch-size", size)["loss"] for size in (1, 64)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # float32 sums in another order


def test_lines_for_people(run, capsys):
    assert main(["eval", str(run)]) == 0
    said = capsys.readouterr().out
    for words in ("validation text", "nats per token", "perplexity", "bits per byte"):
        assert words in said


def test_nothing_is_left_in_the_run(run, text, capsys):
    before = sorted(run.rglob("*"))
    result(capsys, run, "--data", text)
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    "argv, words", [(["nowhere"], "no run at 'nowhere'"), (["RUN", "--data", "none"], "none")]
)
def test_what_cannot_be_done_is_one_line(argv, words, run, capsys):
    assert main(["eval", *(str(run) if word == "RUN" else word for word in argv)]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
def test_a_text_that_was_changed_is_not_scored(text, tiny, tmp_path, capsys, name):
    argv = ["train", "--objective=masked", "--data", str(text), "--out", str(tmp_path / "run")]
    assert main([*argv, *tiny]) == 0
    file = tmp_path / "run" / "data" / name
    data = bytearray(file.read_bytes())
    data[80:82] = b"\xff\xff"  # an id that no vocabulary has
    file.write_bytes(data)
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run")]) == 1
    assert f"{name}: token id 65535" in capsys.readouterr().err


def test_a_text_that_is_gone_has_a_command_that_brings_it_back(text, tiny, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(text), "--out", run, *tiny]) == 0
    (tmp_path / "run" / "data" / "meta.json").unlink()
    capsys.readouterr()
    assert main(["eval", run]) == 1
    assert f"`tinylm train --resume {run}` prepares the text again" in capsys.readouterr().err
    assert main(["train", "--resume", run]) == 0 and main(["eval", run]) == 0
