"""How training ends for each kind of model, and what eval, plot and generate make of such a run."""

import json

import pytest

from tests.train.run.test_objectives import config_for
from tests.train.run.test_run import quiet
from tinylm.cli import main
from tinylm.cli.learn.showcase import closing, excerpt, in_words, written
from tinylm.train import prepare_run, train_run


def ended(folder, name, **changes):
    """A run of 2 steps, and the lines of its closing."""
    run = prepare_run(config_for(folder, name, steps=2, **changes), quiet)
    return run, closing(run, train_run(run, None, quiet)).splitlines()


@pytest.mark.parametrize(
    "name, shown",
    [
        ("masked", "Hidden tokens, each with the model's best guesses:"),
        ("replaced", "Hidden tokens"),
        ("permuted", "Hidden tokens"),
        ("translation", "Hidden tokens"),
        ("bart", "A text, what the encoder reads, and what the decoder writes:"),
        ("mass", "A text, what the encoder reads"),
        ("prefix", "A prefix, and the model's continuation"),
        ("fim", "A text whose middle is left out"),
        ("multi-token", "A sample, 200 tokens after"),
        ("next-sentence", "Right answers on the validation text:"),
    ],
)
def test_the_end_shows_what_the_model_does(tmp_path, name, shown):
    run, lines = ended(tmp_path, name)
    assert lines[1].startswith(shown) and any(
        line.startswith("Right answers on the validation text: ") for line in lines
    )
    assert any(line.startswith("  tinylm generate") for line in lines) == (
        name in ("fim", "multi-token")
    )
    assert (
        f"  tinylm eval {run.directory}" in lines
        and f"  tinylm train --resume {run.directory} --steps 4" in lines
    )


def test_a_hidden_token_has_its_guesses_beside_it(tmp_path):
    run, lines = ended(tmp_path, "masked")
    assert lines[3].count("[MASK]") == 4 and lines[3].startswith("  [CLS] ")
    guesses = [line for line in lines if line.endswith(" %")]
    assert len(guesses) == 4 and all(line.count(" %") == 3 for line in guesses)
    right = [line.split("'")[1] for line in guesses]
    text = run.tokenizer.decode(excerpt(run, 12))
    assert right == [
        text[i - 1] for i in sorted({1 + int(11 * k / 5) for k in range(1, 5)})
    ]  # evenly spread over 12 tokens


def test_special_ids_are_written_by_their_names(tmp_path):
    run = prepare_run(config_for(tmp_path, "masked"), quiet)
    special = run.special
    ids = [special.cls, *run.tokenizer.encode("a dog"), special.mask, special.sep]
    assert written(ids, run, special) == "[CLS] a dog [MASK] [SEP]"


def test_the_other_verbs_take_such_a_run_or_say_why_not(tmp_path, capsys):
    run, _ = ended(tmp_path, "masked")
    assert main(["eval", str(run.directory), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    logged = [json.loads(line) for line in (run.directory / "log.jsonl").read_text().splitlines()]
    assert found["loss"] == [e for e in logged if e["event"] == "validation"][-1]["loss"]
    assert (
        found["objective"] == "masked"
        and 0 <= found["right"] <= 1
        and found["tokens"] == found["answers"]
    )
    assert main(["eval", str(run.directory), "--data", str(tmp_path / "text.txt")]) == 0
    said = capsys.readouterr().out
    assert "right answers" in said and "perplexity" not in said
    assert main(["plot", str(run.directory)]) == 0
    capsys.readouterr()
    assert main(["generate", str(run.directory), "the"]) == 1
    error = capsys.readouterr().err
    assert (
        "was trained with objective masked: it predicts hidden tokens" in error
        and "`tinylm fill RUN" in error
        and error.count("\n") == 1
    )


def test_pairs_of_the_user_are_scored(tmp_path, capsys):
    run, _ = ended(tmp_path, "translation")
    assert main(["eval", str(run.directory), "--data", str(tmp_path / "pairs.tsv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 0


def test_a_decoder_with_special_ids_generates_plain_text(tmp_path, capsys):
    run, _ = ended(tmp_path, "fim")
    assert main(["generate", str(run.directory), "the cat", "--max-tokens", "30"]) == 0
    assert capsys.readouterr().out.startswith("the cat")


def test_a_model_that_only_guesses_is_told_to_go_on():
    assert len(in_words(0.06, 500, 0.05)) == 1
    assert "more --steps" in in_words(0.054, 500, 0.05)[1]  # below 1.1 times the commonest
