"""`tinylm eval --task`: accuracy on multiple-choice questions."""

import json

import pytest

from tinylm.cli import main


def test_accuracies_are_printed_with_the_prompt(prompted, items_file, capsys):
    assert main(["eval", prompted, "--task", "choice", "--data", items_file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{prompted} on choice: 3 questions, 0 demonstrations"
    assert lines[2:4] == ["    | Question: the one?", "    | Answer:"]
    assert lines[4].startswith("  acc, by log-probability ") and lines[4].endswith("<- customary")
    assert lines[6].startswith("  acc_norm, a character") and "customary" not in lines[6]
    assert lines[-2].split() == ["a", "guess", "0.500"]
    assert lines[-1].startswith("  expected calibration error")


def test_the_report_as_json(prompted, items_file, capsys):
    given = ["--task", "piqa", "--data", items_file, "--json", "--shots", "1", "--limit", "1"]
    assert main(["eval", prompted, *given]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["count"], result["shots"], result["customary"]) == (1, 1, "character")
    assert set(result["accuracy"]) == set(result["right"]) and result["left_out"] == 0
    assert result["prompt"].startswith("Question: the one?\nAnswer: cat\n\nQuestion: the two?")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--task", "arc"], "no task 'arc'"),
        (["--task", "choice"], "give a file of them with --data"),
        (["--task", "choice", "--data", "FILE", "--shots", "3"], "no question is left"),
        (["--data", "FILE", "--out", "scores.jsonl"], "give it with --task"),
        (["--limit", "2", "--shots", "1"], "--limit and --shots would change nothing: they are of"),
        (["--skip-bad"], "--skip-bad would change nothing: it is of the lines of --data"),
    ],
)
def test_what_cannot_be_scored_is_refused(words, message, prompted, items_file, capsys):
    words = [{"FILE": items_file}.get(word, word) for word in words]
    assert main(["eval", prompted, *words]) == 1
    assert message in capsys.readouterr().err


def test_a_run_is_resumed_from_its_file(prompted, items_file, tmp_path, capsys):
    out = str(tmp_path / "scores.jsonl")
    going = ["eval", prompted, "--task", "choice", "--data", items_file, "--out", out]
    assert main([*going, "--limit", "1"]) == 0
    capsys.readouterr()
    assert main(going) == 0
    resumed = capsys.readouterr().out
    assert main(going[:-2]) == 0
    assert capsys.readouterr().out == resumed
    with open(out) as lines:
        about = json.loads(next(lines))["about"]
    assert about["model"] == prompted and about["shots"] == 0 and len(about["weights"]) == 16
    assert main([*going, "--shots", "1"]) == 1
    assert "shots was 0 and is 1" in capsys.readouterr().err


def test_what_had_no_room_is_reported(prompted, tmp_path, capsys):
    file = tmp_path / "items.jsonl"
    words = ["one"] + ["twelve " * 6] + ["two", "long " * 40]  # bytes: the context is 120
    items = [{"question": f"{word}?", "answer": "cat", "options": ["cat", "dog"]} for word in words]
    file.write_text("".join(json.dumps(item) + "\n" for item in items))
    asked = ["eval", prompted, "--task", "choice", "--data", str(file), "--shots", "2"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "choice: 2 questions, 2 demonstrations" in out
    assert "  1 prompts had no room for all demonstrations: up to 1 of 2 were dropped" in out
    assert "  not answered, and counted as wrong: 1 of 2\n       2  long long" in out
    assert main([*asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["dropped"] == [[0, 1]] and result["failed"][0][0] == 1 and result["count"] == 2


def test_prompts_that_are_read_at_a_time(prompted, items_file, monkeypatch, capsys):
    from tinylm.prompt import TextModel

    seen = []
    opened = TextModel.open.__func__

    def noted(cls, *given, **settings):
        seen.append(settings)
        return opened(cls, *given, **settings)

    monkeypatch.setattr(TextModel, "open", classmethod(noted))
    for words in (["--batch-size", "3"], []):
        assert main(["eval", prompted, "--task", "choice", "--data", items_file, *words]) == 0
    assert seen == [{"chat": False, "batch_size": 3}, {"chat": False}]
