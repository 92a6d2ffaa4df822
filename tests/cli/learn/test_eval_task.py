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
    ],
)
def test_what_cannot_be_scored_is_refused(words, message, prompted, items_file, capsys):
    words = [{"FILE": items_file}.get(word, word) for word in words]
    assert main(["eval", prompted, *words]) == 1
    assert message in capsys.readouterr().err
