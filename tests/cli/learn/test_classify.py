"""`tinylm classify`: classes are learnt, saved, named again and counted; what cannot be is said."""

import json
import re

import pytest

from tinylm.cli import main

PAIRS = [("a b a b", "a b a"), ("c d c", "d c d")]
LINES = [f"{x}\t{label}" for x, label in [("a b a b", "left"), ("d c d c", "right")] * 30]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """An encoder of one layer that has read letters."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "text.txt").write_text("a b a b a. c d c d c. " * 60)
    sizes = "--tokenizer=chars --n-layer=1 --n-head=2 --d-model=16 --context=16 --steps=2".split()
    more = ["--objective=mlm", "--workers=1", "--data", str(folder / "text.txt")]
    assert main(["train", *sizes, *more, "--out", str(folder / "run")]) == 0
    return str(folder / "run")


def labeled(folder, lines, name="labels.tsv"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / name)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    words = ["--data", labeled(folder, LINES), "--lr", "0.01", "--steps", "40"]
    assert main(["classify", base, *words, "--out", str(folder / "run")]) == 0
    return str(folder / "run")


def said(capsys, *words, status=0):
    capsys.readouterr()
    assert main(["classify", *words]) == status
    found = capsys.readouterr()
    return found.err if status else found.out


def test_classes_are_learnt_and_named_with_probabilities(trained, capsys):
    found = said(capsys, trained, "a b a b", "d c d c", "--json").splitlines()
    left, right = (json.loads(line) for line in found)
    assert left["text"] == "a b a b" and left["classes"]["left"] > 0.9
    assert right["classes"]["right"] > 0.9
    assert sum(right["classes"].values()) == pytest.approx(1)
    assert said(capsys, trained, "a b", "--top", "1").startswith("left ")


def test_the_right_ones_of_a_file_are_counted(trained, capsys, tmp_path):
    some = labeled(tmp_path, ["text\tlabel", "a b a b\tleft", "d c d c\tright", "d c d c\tleft"])
    line = said(capsys, trained, "--data", some)
    assert line.startswith("right: 66.7% of 3 texts (always left: 66.7%); Matthews correlation ")
    assert json.loads(said(capsys, trained, "--data", some, "--json"))["accuracy"] == 2 / 3


def test_what_was_held_back_is_scored_and_the_next_command_is_told(base, capsys, tmp_path):
    out = tmp_path / "out"
    words = [base, "--data", labeled(tmp_path, LINES), "--steps", "2", "--out", str(out)]
    text = said(capsys, *words, "--pool", "mean", "--val-fraction", "0.2")
    assert "data: 48 texts to learn from, 12 held back; 2 classes: left, right" in text
    assert "of 12 texts (always left: 50.0%)" in text
    assert f"tinylm classify {out} 'a b a b'" in text
    kept = json.loads((out / "config.json").read_text())
    assert kept["classifier"] == {"classes": ["left", "right"], "pool": "mean"}
    assert kept["finetune"]["steps"] == 2 and "accuracy" in kept["finetune"]["held_back"]
    # The settings of a run make it again.
    again = said(capsys, base, "--config", str(out), "--out", str(tmp_path / "again"))
    assert "12 held back" in again


def test_pairs_of_texts_have_classes_too(base, capsys, tmp_path):
    lines = [f"{a}\t{b}\tsame" for a, b in PAIRS] + ["a b\tc d\tother", "c d\tb a\tother"]
    out, data = str(tmp_path / "pairs"), labeled(tmp_path, lines * 5)
    text = said(capsys, base, "--data", data, "--steps", "1", "--out", out)
    assert text.endswith(f"tinylm classify {out} 'a b a b\ta b a'\n")
    one, two = (json.loads(said(capsys, out, pair, "--json")) for pair in ("a b\ta b", "a b a b"))
    assert set(one["classes"]) == {"same", "other"} and one["classes"] != two["classes"]


def test_texts_come_from_the_standard_input(trained, capsys, monkeypatch):
    monkeypatch.setattr("tinylm.cli.learn.classify.standard_input", lambda: "a b a\n\nd c d\n")
    lines = said(capsys, trained, "-").splitlines()
    assert len(lines) == 2 and lines[0].endswith("a b a") and lines[1].endswith("d c d")


@pytest.mark.parametrize(
    "words, message",
    [
        (["RUN"], "needs --data FILE"),
        (["RUN", "a text"], "has learnt no classes yet: tinylm classify"),
        (["TRAINED"], "needs a text: tinylm classify"),
        (["TRAINED", "a", "--lr", "0.1"], "--lr would change nothing: .* is trained already"),
        (["TRAINED", "a", "--data=ONE"], "a text and --data: one or the other"),
        (["smollm2", "--data", "ONE"], "classifiers are trained on runs of `tinylm train`"),
        (["nowhere"], "no run at 'nowhere'"),
        (["RUN", "--data", "ONE"], "1 different classes: needs 2 to 1,000"),
        (["RUN", "--data", "WIDE"], "line 1: has 4 columns: needs a text and its class"),
        (["TRAINED", "--data", "OTHER"], "'up', which is not one of left, right"),
    ],
)
def test_what_cannot_be_is_one_line(words, message, base, trained, capsys, tmp_path):
    files = {"ONE": ["a\tleft"], "WIDE": ["a\tb\tc\tleft"], "OTHER": ["a\tup"]}
    known = {"RUN": base, "TRAINED": trained}
    known |= {name: labeled(tmp_path, lines, name + ".tsv") for name, lines in files.items()}
    words = [known.get(word, word.replace("=ONE", f"={known['ONE']}")) for word in words]
    err = said(capsys, *words, status=1)
    assert err.count("\n") == 1 and re.search(message, err), err
