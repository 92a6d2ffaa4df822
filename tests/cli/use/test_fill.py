"""Hidden places are filled by whatever kind of model was trained to."""

import json
import sys

import pytest

from tinylm.cli import main

ALPHABET = "abcdef"
SMALL = (
    "--tokenizer=chars --n-layer=1 --n-head=2 --d-model=16 --context=12 --batch-size=16 "
    "--warmup=0 --workers=1 --lr=1e-2"
).split()


def trained(folder, objective, steps, *more):
    path, data = folder / objective, folder / "text.txt"
    data.write_text(ALPHABET * 200)
    argv = ["train", "--objective", objective, "--data", str(data), "--out", str(path)]
    assert main([*argv, *SMALL, f"--steps={steps}", *more]) == 0
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fill")


@pytest.fixture(scope="module")
def masked(folder):
    """An encoder that has learnt the alphabet: a hidden letter follows from its neighbors."""
    return trained(folder, "mlm", 160)


@pytest.fixture(scope="module")
def sentinels(folder):
    return trained(folder, "t5", 2)


def filled(capsys, *argv):
    assert main(["fill", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_encoder_fills_what_it_has_learnt(masked, capsys):
    found = filled(capsys, masked, "abc[MASK]efab[MASK]def")
    best = [place[0] for place in found["places"]]
    assert [one["text"] for one in best] == ["d", "c"] and found["texts"] == ["abcdefabcdef"]
    assert min(one["probability"] for one in best) > 0.5


def test_candidates_are_shown_with_probabilities_and_what_the_mask_is(masked, capsys):
    assert main(["fill", masked, "abc[MASK]ef", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # 6 letters, then [CLS], [SEP], [MASK]
    assert lines[0] == "place 1" and lines[1].startswith("  'd' ") and lines[1].endswith(" %")
    assert len([line for line in lines if line.endswith(" %")]) == 2
    note = "([MASK] is id 8 of the model, behind the 6 ids of its tokenizer)"
    assert lines[-3:] == ["abcdef", "", note]


def test_probabilities_of_a_place_sum_to_one(masked, capsys):
    found = filled(capsys, masked, "abc[MASK]ef", "--top", "100")
    total = sum(one["probability"] for one in found["places"][0])
    assert total == pytest.approx(1, abs=1e-6)  # float32 logits


def test_several_places_are_said_to_be_predicted_alone(masked, capsys):
    notes = filled(capsys, masked, "a[MASK]c[MASK]")["notes"]
    assert any("each place is predicted by itself" in note for note in notes)
    assert len(filled(capsys, masked, "a[MASK]c")["notes"]) == 1


def test_a_dash_reads_the_text_from_the_standard_input(masked, capsys, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("ab[MASK]def\n"))
    assert filled(capsys, masked, "-")["texts"] == ["abcdef"]


def test_spans_are_written_by_an_encoder_decoder(sentinels, capsys):
    found = filled(capsys, sentinels, "ab[MASK]ef<mask>", "--top", "3", "--max-tokens", "4")
    assert found["places"] == [] and 1 <= len(found["whole"]) <= 3
    assert all(len(one["texts"]) == 2 for one in found["whole"])
    chances = [one["probability"] for one in found["whole"]]
    assert chances == sorted(chances, reverse=True) and 0 < chances[0] < 1
    first, second = found["whole"][0]["texts"]
    assert found["texts"][0] == f"ab{first}ef{second}"
    assert found["notes"][0].startswith("[MASK] is read as the sentinel [X], [Y]:")


@pytest.mark.parametrize(
    "objective, words",
    [
        ("bert-style", "[MASK] is id 8 of the model"),
        ("token-masking", "[MASK] is id 8 of the model"),
        ("text-infilling", "the model writes the whole text anew"),
        ("fim", "[MASK] may be any number of tokens"),
        ("xlnet", "[MASK] is not read: an XLNet predicts"),
        ("electra", "[MASK] is id 8 of the model"),
        ("ul2", "[MASK] is read as the sentinel [X]"),
    ],
)
def test_other_objectives_fill_in_their_own_way(objective, words, folder, capsys):
    path = trained(folder, objective, 2)
    capsys.readouterr()
    assert main(["fill", path, "abc[MASK]ef", "--top", "2", "--max-tokens", "3"]) == 0
    shown = capsys.readouterr().out
    assert words in shown and " %" in shown
    assert shown.split("\n\n")[-2].startswith("abc")  # the notes are last


def test_an_exported_encoder_fills_masks_too(tmp_path, folder, capsys):
    # A BERT's positions are a table.
    run = trained(tmp_path, "mlm", 160, "--positions=learned")
    assert main(["export", run, str(folder / "published")]) == 0
    capsys.readouterr()
    found = filled(capsys, str(folder / "published"), "abc[MASK]ef")
    assert found["places"][0][0]["text"] == "d" and found["notes"] == []
    assert main(["generate", str(folder / "published"), "abc"]) == 1
    assert "`tinylm fill " in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, words",
    [
        ("abc", "no [MASK] in 'abc': put [MASK] where the model is to guess"),
        ("", "no [MASK] in ''"),
        ("ab[MASK]" + "abcdef" * 3, "the text has 22 tokens with its marks, and"),
    ],
)
def test_a_text_that_cannot_be_filled_is_one_line(text, words, masked, capsys):
    assert main(["fill", masked, text]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_more_places_than_sentinels_are_refused(sentinels, capsys):
    assert main(["fill", sentinels, "[MASK]" * 8]) == 1
    assert "8 hidden places: " in capsys.readouterr().err


def test_models_that_fill_no_masks_say_what_they_do(run, folder, capsys):
    assert main(["fill", str(run), "a [MASK]"]) == 1
    assert f"{run} continues texts, it does not fill masks: `tinylm generate" in (
        capsys.readouterr().err
    )
    path = trained(folder, "token-deletion", 2)
    capsys.readouterr()
    assert main(["fill", path, "a[MASK]"]) == 1
    assert "objective token-deletion writes texts: `tinylm generate" in capsys.readouterr().err


def test_encoders_that_are_asked_to_continue_name_fill(masked, capsys):
    for verb in (["generate", masked, "abc"], ["chat", masked], ["prompt", masked, "abc"]):
        assert main(verb) == 1
        error = capsys.readouterr().err
        assert "`tinylm fill RUN" in error and error.count("\n") == 1
