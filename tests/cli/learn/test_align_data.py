"""What `tinylm align` reads, leaves out, counts and holds back."""

import gzip
import json
import re

import numpy as np
import pytest

from tests.cli.learn.pairs import PAIRS, write
from tinylm.align.preference import tuning, with_others
from tinylm.cli import main
from tinylm.train.log import read


def test_samples_that_teach_nothing_are_left_out_with_their_lines(align, tmp_path):
    bad = [
        {"prompt": "Who?", "chosen": "the cat", "rejected": "the cat"},
        {"prompt": "Who?", "chosen": " ", "rejected": "the cat"},
        {"prompt": "Who? " * 12, "chosen": "a", "rejected": "b"},  # 60 of 48 tokens
        {"prompt": "x" * 30, "chosen": "y" * 20 + "1", "rejected": "y" * 20 + "2"},
        {"prompt": "Who?", "chosen": "z" * 60, "rejected": "b"},
        {"prompt": "And?", "chosen": "no", "rejected": "yes"},
    ]
    _, said = align("dpo", file=write(tmp_path / "bad.jsonl", PAIRS + bad))
    assert "data: 12 pairs read, 8 kept" in said
    for line in (
        "both answers of a pair are the same: 1 (line 7)",
        "an answer is empty: 1 (line 8)",
        "the prompt leaves no room for an answer: 1 (line 9)",
        "both answers are the same once they are cut: 1 (line 10)",
        "cut: 1 (line 11)",
        "the same pair is also there in the other order: 1 (line 12)",
        "the model reads 49 tokens at most",
    ):
        assert line in said


def test_a_record_without_a_field_is_an_error_with_its_line_or_counted(align, tmp_path):
    file = write(tmp_path / "bad.jsonl", [*PAIRS, {"prompt": "a", "chosen": "b"}])
    _, said = align("dpo", file=file, status=1)
    assert "line 7: a pair has the fields 'chosen' and 'rejected'" in said and "--skip-bad" in said
    _, said = align("dpo", "--skip-bad", file=file)
    assert "left out 1 bad line" in said and "data: 6 pairs read" in said


@pytest.mark.parametrize("method, read", [("dpo", "2 pairs"), ("reward", "2 pairs"), ("kto", "4")])
def test_a_prompt_that_was_found_in_both_texts_is_counted(method, read, align, tmp_path):
    implicit = {"chosen": "2 + 2? four", "rejected": "2 + 2? five"}
    file = write(tmp_path / "implicit.jsonl", [PAIRS[0], implicit])
    _, said = align(method, file=file, settings=["--steps=1", "--val-fraction=0"])
    assert f"data: {read}" in said
    assert "without a field 'prompt': it is what both texts begin with: 1 (line 2)" in said


@pytest.mark.parametrize("method", ["sft", "dpo", "kto", "reinforce"])
def test_what_the_tokenizer_cannot_write_has_its_line_or_is_counted(
    method, text, tiny, align, tmp_path
):
    """A tokenizer of the characters of its text, which have no question mark."""
    base = str(tmp_path / "chars")
    settings = [word for word in tiny if "context" not in word and "tokenizer" not in word]
    more = ["--context=48", "--tokenizer=chars"]
    assert main(["train", "--data", str(text), "--out", base, *settings, *more]) == 0
    records = [
        {"prompt": "the cat" + "s" * i, "chosen": "sat", "rejected": "o" * (i + 1)}
        for i in range(4)
    ]
    file = write(tmp_path / "odd.jsonl", [*records, {**records[0], "prompt": "the cat?"}])
    mine = tmp_path / "mine.py"
    mine.write_text("def f(prompt, answer):\n    return len(answer)\n")
    settings = ["--steps=1", "--val-fraction=0"]
    if method == "reinforce":
        settings += [f"--reward={mine}:f", "--max-tokens=2"]
    given = {"model": base, "file": file, "settings": settings}
    _, said = align(method, status=1, **given)
    assert re.search(r"odd.jsonl', line 5: character '\?' .* is not among .* \(--skip-bad", said)
    _, said = align(method, "--skip-bad", out="two", **given)
    lines = {"kto": "2 (line 5, line 5)"}.get(method, "1 (line 5)")
    assert f"the tokenizer or the template has no form for it: {lines}" in said


def test_nothing_left_is_an_error_that_says_why(align, tmp_path):
    file = write(tmp_path / "same.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "b"}])
    _, said = align("dpo", file=file, status=1)
    assert "nothing is left to learn from: data: 1 pairs read, 0 kept; left out," in said
    assert "are the same: 1 (line 1)" in said and said.count("\n") == 1


def test_prompts_are_held_back_whole():
    from tinylm.align.run.examples import Example, held_back

    examples = [Example((prompt, i), prompt) for prompt in range(10) for i in range(3)]
    train, held = held_back(examples, 0.25, seed=1)
    assert len(held) == 6 and len(train) == 24  # 7.5 examples are two prompts of 3
    assert {prompt for prompt, _ in train}.isdisjoint({prompt for prompt, _ in held})
    assert held_back(examples, 0.25, seed=1) == (train, held)
    assert held_back(examples, 0.0, seed=1)[1] == []
    assert len(held_back(examples[:3], 0.9, seed=1)[0]) == 3  # the only prompt is learnt


@pytest.mark.parametrize("method", ["dpo", "reward"])
def test_layouts_of_files(method, align, tmp_path):
    def turn(role, text):
        return {"role": role, "content": text}

    records = [
        {"instruction": "Add.", "input": "2 2", "chosen": "4", "rejected": "5"},
        {
            "prompt": [turn("user", "hi")],
            "chosen": [turn("assistant", "ho")],
            "rejected": [turn("assistant", "he")],
        },
        {
            "chosen": [turn("user", "hi"), turn("assistant", "ho")],
            "rejected": [turn("user", "hi"), turn("assistant", "hm")],
            "score_chosen": 5,
            "score_rejected": 1.0,
        },
        {"prompt": "Who?", "completions": ["a", "b", "c"], "ratings": [1, 3, 2]},
        {"prompt": "When?", "completion": "now", "rating": 1},
        {"prompt": "When?", "completion": "never", "rating": 0.5},
        {"prompt": "Alone?", "completion": "yes", "rating": 1},
    ]
    path = tmp_path / "list.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    _, said = align(method, file=str(path))
    assert "data: 7 pairs read, 7 kept" in said  # 3, 3 of a prompt rated three times, 1
    assert "has no other with another rating to be compared with: 1 (record 7)" in said


def test_single_answers_belong_to_kto(align, tmp_path):
    judged = [
        {"prompt": f"{word}?", "completion": "yes", "label": word != "b"} for word in "abcdef"
    ]
    file = write(tmp_path / "judged.jsonl", judged)
    _, said = align("dpo", file=file, status=1)
    assert "line 1: one answer with a label is no pair" in said and "tinylm align kto" in said
    _, said = align("kto", file=file, settings=["--steps=1", "--val-fraction=0"])
    assert "data: 6 answers read, 6 kept" in said
    good = write(tmp_path / "good.jsonl", [one for one in judged if one["label"]])
    _, said = align("kto", file=good, out="good", status=1)
    assert "KTO learns from good and bad answers, and here are" in said and " 0 bad ones" in said
    rated = [{"prompt": "a", "completion": "b", "rating": 1}]
    _, said = align("kto", file=write(tmp_path / "rated.jsonl", rated), out="two", status=1)
    assert "a rating does not say whether an answer is good" in said
    plain = write(tmp_path / "plain.jsonl", [{"instruction": "a", "output": "b"}])
    for method in ("kto", "dpo", "reward"):
        _, said = align(method, file=plain, out=method, status=1)
        assert "nothing among the fields 'instruction', 'output' judges an answer" in said
        assert "a 'label', true or false, or a 'rating'" in said


@pytest.mark.parametrize("method, more", [("kto", []), ("dpo", ["--loss=kto"])])
@pytest.mark.parametrize("limit, longest", [([], 49), (["--max-length=40"], 40)])
def test_a_long_prompt_gets_an_answer_to_another_one_as_far_as_it_fits(
    method, more, limit, longest, align, tmp_path, monkeypatch
):
    """Each record fits the context of 48 tokens, prompt i with answer k does not."""
    lengths = []

    def spied(pairs, limit):
        found = with_others(pairs, limit)
        lengths.extend(len(one.other) for one in found)
        return found

    monkeypatch.setattr(tuning, "with_others", spied)
    records = [
        {"prompt": "x" * 30, "chosen": "yes", "rejected": "no"},
        {"prompt": "y", "chosen": "z" * 30, "rejected": "no"},
        *PAIRS,
    ]
    file = write(tmp_path / "long.jsonl", records)
    path, said = align(method, *more, *limit, file=file)
    assert "data: 8 pairs read, 8" in said or "data: 16 answers read, 16" in said
    assert "cut" not in said and "no room" not in said and max(lengths) == longest
    assert all(np.isfinite(e["loss"]) for e in read(path) if e["event"] == "step")


def test_answers_that_are_held_back_and_not_scored_are_counted(align, tmp_path):
    judged = [{"prompt": f"{w}?", "completion": "yes", "label": w != "b"} for w in "abcdef"]
    file = write(tmp_path / "judged.jsonl", judged)
    _, said = align("kto", file=file, settings=["--steps=1", "--val-fraction=0.2"])
    assert "validation: 1 of 6 examples are held back, 5 are learnt from" in said
    assert "validation: none, 1 examples are not scored: " in said and "only one prompt" in said
