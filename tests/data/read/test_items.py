"""Questions with answers are read from every known form of file, or refused with the place."""

import gzip
import json
from pathlib import Path

import pytest

from tinylm.data.read.items import Item, read_items
from tinylm.errors import DataError
from tinylm.reading import BadLines

SHARED = Path(__file__).parents[4] / "shared" / "data"


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_an_item_is_a_question_and_what_is_known_about_it():
    item = Item("Where?")
    assert (item.answer, item.options, item.context, item.rationale, item.task) == (
        None,
        (),
        "",
        "",
        "",
    )
    assert Item("Which?", "b", ("a", "b", "c")).gold == 1
    assert Item("Which?", options=("a", "b")).answer is None
    assert len({Item("Q", "A"), Item("Q", "A"), Item("Q", "B")}) == 2  # items can be compared


@pytest.mark.parametrize("item", [Item("Q", "A"), Item("Q", options=("a", "b"))])
def test_without_options_or_an_answer_nothing_is_gold(item):
    with pytest.raises(DataError, match="no gold option"):
        item.gold  # noqa: B018


@pytest.mark.parametrize(
    "values, reason",
    [
        ((" \n",), "needs a question"),
        (("Q", " "), "is empty"),
        (("Q", "a", ["a", "b"]), "must be a tuple"),
        (("Q", "a", "ab"), "must be a tuple"),
        (("Q", "a", ("a",)), "two or more"),
        (("Q", "a", ("a", " ")), "two or more"),
        (("Q", "a", ("a", "b", "a")), "are the same"),
        (("Q", "aa", ("aa", "aa ")), "are the same"),
        (("Q", "c", ("a", "b")), "'c' is none of"),
    ],
)
def test_an_item_that_cannot_be_scored_is_refused(values, reason):
    with pytest.raises(DataError, match=reason):
        Item(*values)


def test_own_items_have_the_fields_of_an_item(tmp_path):
    full = {
        "question": "Which?",
        "answer": "b",
        "options": ["a", "b"],
        "context": "c",
        "rationale": "r",
        "task": "t",
    }
    path = write(tmp_path / "trial.v2.jsonl", full, {"question": "Who?", "answer": None})
    assert read_items(path) == [
        Item("Which?", "b", ("a", "b"), "c", "r", "t"),
        Item("Who?", task="trial"),  # the name of the file, where no task is given
    ]


@pytest.mark.parametrize(
    "second, reason",
    [
        ({"question": "Q", "anwser": "A"}, "the field 'anwser' is not read"),
        ({"question": "Q", "answer": 4}, "'answer' must be text"),
        ({"answer": "A"}, "'question' is missing"),
        ({"question": "Q", "options": "ab"}, "must be a list"),
        ({"question": "Q", "options": ["a", 2]}, r"options\[1\].* must be text"),
        ({"question": "Q", "context": ["c"]}, "'context' must be text"),
        ({"question": " "}, "needs a question"),
        (["Q"], "an object with fields"),
    ],
)
def test_a_record_that_is_no_item_is_refused_with_its_line(tmp_path, second, reason):
    path = write(tmp_path / "items.jsonl", {"question": "Q", "answer": "A"}, second)
    with pytest.raises(DataError, match=rf"items.jsonl, line 2: .*{reason}"):
        read_items(path)
    bad = BadLines(skip=True)
    assert read_items(path, bad) == [Item("Q", "A", task="items")] and bad.count == 1


def test_a_list_in_one_file_and_gzip_are_read_too(tmp_path):
    path = tmp_path / "items.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"question": "Q"}, {"question": "R"}]).encode()))
    assert read_items(path) == [Item("Q", task="items"), Item("R", task="items")]


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"text": "Q"}, "the fields 'text' are of no form that is known"),
        ({}, r"\(none\) are of no form"),
        (3, "an object with fields, not 3"),
    ],
)
def test_an_unknown_form_is_named(tmp_path, record, reason):
    with pytest.raises(DataError, match=f"line 1: .*{reason}"):
        read_items(write(tmp_path / "x.jsonl", record))


def test_a_file_without_items_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"x.jsonl holds no item$"):
        read_items(write(tmp_path / "x.jsonl"))
    with pytest.raises(DataError, match="holds no item that can be read"):
        read_items(write(tmp_path / "x.jsonl", 3), BadLines(skip=True))


def test_the_first_record_decides_the_kind_of_the_file(tmp_path):
    solved = {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\n#### 4"}
    with pytest.raises(DataError, match="line 2: a solution of GSM8K ends"):
        read_items(write(tmp_path / "x.jsonl", solved, {"question": "3+3?", "answer": "6"}))
    told = {"instruction": "2+2?", "input": "", "output": "4", "answer": "4.0"}
    assert read_items(write(tmp_path / "x.jsonl", told)) == [Item("2+2?", "4", task="x")]
    with pytest.raises(DataError, match="line 2: .*'question' is not read"):
        read_items(write(tmp_path / "x.jsonl", told, {"question": "Q"}))
    # With more fields, a solution with the mark is an item's own.
    own = {**solved, "task": "t"}
    assert read_items(write(tmp_path / "x.jsonl", own))[0].answer == solved["answer"]


# Sizes of the published files.
FILES = {
    "eval/ARC-Easy.json.gz": (2376, {3, 4, 5}),
    "eval/piqa.json.gz": (1838, {2}),
    "eval/boolq.json.gz": (3270, {2}),
    "eval/SVAMP.json.gz": (1000, {0}),
    "eval/MultiArith.json.gz": (600, {0}),
    "reasoning/gsm8k_test.jsonl.gz": (1319, {0}),
}


@pytest.mark.parametrize("name", FILES)
def test_every_item_of_the_published_files_is_read(name):
    if not (SHARED / name).exists():
        pytest.skip(f"needs {name}")
    count, options = FILES[name]
    items = read_items(SHARED / name)
    assert len(items) == count and {len(item.options) for item in items} == options
    assert all(item.answer for item in items)
    marks = ("Answer1", "Solution1", "Answer format", "####", "true or false")
    assert not any(mark in item.question for item in items for mark in marks)
