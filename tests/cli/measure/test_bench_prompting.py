"""`tinylm bench prompting`: the two ways do the same work, and their ratio is reported."""

import json

import pytest

from tests.prompt.small import text_model
from tinylm.cli.measure import bench_prompting
from tinylm.cli.measure.bench_prompting import (
    generation,
    labeled_reviews,
    line,
    review_prompts,
    row,
    scoring,
)
from tinylm.errors import DataError, TinylmError


@pytest.fixture
def short(monkeypatch):
    """Turns that a tiny model takes at once."""
    monkeypatch.setattr(bench_prompting, "SCORED", 3)
    monkeypatch.setattr(bench_prompting, "SCORED_PLAIN", 2)


def test_prompts_differ_in_their_last_review_alone():
    first, second = review_prompts(2, shots=3)
    assert first.count("Review: ") == second.count("Review: ") == 4
    assert first.split("\n\n")[:3] == second.split("\n\n")[:3] and first != second
    assert first.endswith("Sentiment:")


def test_reviews_of_a_file_are_all_labelled_but_those_shown(tmp_path, short, monkeypatch):
    file = tmp_path / "reviews.txt"
    file.write_text("".join(f"Number {i}.\t{i % 2}\n" for i in range(6)))
    examples = labeled_reviews(file, shots=2)
    prompts = review_prompts(4, 2, examples)
    shown = "Review: Number 0.\nSentiment: negative\n\nReview: Number 1.\nSentiment: positive\n\n"
    assert prompts == [f"{shown}Review: Number {i}.\nSentiment:" for i in range(2, 6)]
    lm, counted = text_model(context=512), []
    score_batch = lm.score_batch
    monkeypatch.setattr(
        lm, "score_batch", lambda p, labels: counted.append(len(p)) or score_batch(p, labels)
    )
    scoring(lm, rounds=1, shots=2, examples=examples)
    assert counted == [4, 2]  # with the store, and without it
    with pytest.raises(DataError, match="has 6 reviews: give more than the 4"):
        labeled_reviews(file, shots=4)
    file.write_text("Good.\t3\n")
    with pytest.raises(DataError, match="0, negative, and 1"):
        labeled_reviews(file)


def test_both_ways_are_timed_and_agree(short):
    slow, fast, theirs = scoring(text_model(context=512), rounds=2, shots=1)
    assert len(slow) == len(fast) == 2 and min(slow + fast) > 0 and theirs == []
    slow, fast, theirs = generation(text_model(context=512), rounds=1, tokens=3)
    assert len(slow) == len(fast) == 1 and theirs == []


def test_other_work_is_noticed(short, monkeypatch):
    lm = text_model(context=512)
    other = text_model(context=512, seed=1)
    monkeypatch.setattr(lm, "without_store", lambda: other)
    with pytest.raises(TinylmError, match="scores without the store differ"):
        scoring(lm, rounds=1, shots=1)


def test_a_model_that_ends_its_stories_at_once_is_no_measurement(monkeypatch):
    lm = text_model(context=512)
    monkeypatch.setattr(lm, "complete_batch", lambda prompts, max_tokens: [Ended()] * len(prompts))
    with pytest.raises(TinylmError, match="ends most of its stories at once"):
        generation(lm, rounds=1, tokens=4)


class Ended:
    """A reply of one token."""

    tokens = (256,)


def test_a_ratio_is_that_of_its_round():
    found = row("work", "ms", [2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    assert (found["ratio_min"], found["ratio_median"], found["ratio_max"]) == (2.0, 3.0, 4.0)
    assert (found["slow"], found["fast"]) == (4.0, 1.0)
    assert line(found) == "  work: 4000.0 and 1000.0 ms, 3.00 times as fast (2.00 .. 4.00)"


def test_the_command_prints_json(short, monkeypatch, capsys):
    from tinylm.cli import main

    monkeypatch.setattr(
        bench_prompting,
        "bench",
        lambda name, rounds, peers, data: [row(name, "ms", [1.0] * rounds, [0.5])],
    )
    assert main(["bench", "prompting", "model", "--rounds", "1", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == "model" and found["ratio_median"] == 2.0
    assert main(["bench", "prompting", "a", "b"]) == 1
    assert "prompting or align alone" in capsys.readouterr().err
