"""A file of answers: what it continues, what it refuses, and that a refusal changes nothing."""

import json
import math

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.evaluation import answer_file
from tinylm.prompt.evaluation.answer_file import AnswerFile, file_head, fingerprint, plain
from tinylm.prompt.evaluation.runner import Record, read_record
from tinylm.prompt.in_context.few_shot import FewShotPrompt

ITEMS = [Item("one?", "1"), Item("two?", "2")]
HEAD = file_head({"model": "m"}, {"samples": 2}, [], 0)
RECORDS = [Record(i, "é", True, "é.", 1, 2, 2, 3, 0, 0.5) for i in range(2)]


def opened(path, head=HEAD, items=ITEMS):
    return AnswerFile(path, head, items, read_record)


@pytest.fixture
def file(tmp_path):
    """A file with both answers."""
    path = tmp_path / "answers.jsonl"
    with opened(path) as kept:
        for record in RECORDS:
            kept.append(record)
    return path


def test_what_was_written_is_read_again(file):
    with opened(file) as kept:
        assert kept.records == RECORDS
    with opened(file, items=ITEMS[:1]) as kept:
        assert kept.records == RECORDS[:1]


@pytest.mark.parametrize(
    "data",
    [
        b"notes\nof my own, without an end",
        b"half a line",
        b"[1, 2]\n[3",
        b'"text"\n',
        b"\n\n",
        b'{"question": "one?", "answer": "1"}\n{"question"',
        b'{"kind": "tinylm answers"}\n',
        b'{"kind": NaN}\n',
        b"\xff\xfe\n\x00",
        json.dumps({**HEAD, "kind": "others"}).encode() + b"\nx",
        json.dumps({**HEAD, "about": []}).encode() + b"\nx",
        json.dumps({**HEAD, "options": None}).encode() + b"\nx",
    ],
)
def test_a_foreign_file_is_refused_and_stays_to_the_byte(tmp_path, data):
    path = tmp_path / "notes"
    path.write_bytes(data)
    with pytest.raises(DataError, match="is no file of answers|must be objects"):
        opened(path)
    assert path.read_bytes() == data


def test_a_half_line_is_cut_only_when_all_before_it_is_understood(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    with pytest.raises(ConfigError, match="seed was 0 and is 1"):
        opened(file, {**HEAD, "seed": 1})
    assert file.read_bytes() == whole[:-3]
    with opened(file) as kept:
        assert kept.records == RECORDS[:1]
        kept.append(RECORDS[1])
    assert file.read_bytes() == whole


def test_a_half_written_head_is_begun_anew(file):
    whole = file.read_bytes()
    end = whole.index(b"\n")
    for length in (0, 1, 9, 40, end):
        file.write_bytes(whole[:length])
        with opened(file) as kept:
            assert kept.records == []
        assert file.read_bytes() == whole[: end + 1]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda line: line[:-5], "line 3: no record of an answer"),
        (lambda line: line.replace("0.5", "NaN"), "line 3: no record of an answer: NaN"),
        (lambda line: line.replace("true", '"no"'), "right must be bool"),
        (lambda line: "[3]", "line 3: no record of an answer: an object is needed"),
        (lambda line: "", "line 3: no record of an answer"),
        (lambda line: line.replace('"item": 1', '"item": 2'), "item 2, where 1 was expected"),
    ],
)
def test_a_damaged_line_is_refused(file, change, message):
    *lines, last = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines, change(last)]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        opened(file)


def test_another_question_in_a_place_is_another_run(file):
    with pytest.raises(ConfigError, match="the questions differ, the first at line 3; give"):
        opened(file, items=[ITEMS[0], Item("two?", "3")])
    with pytest.raises(ConfigError, match="samples was 2 and is 3"):
        opened(file, file_head({"model": "m"}, {"samples": 3}, [], 0))
    with pytest.raises(ConfigError, match="another run: the demonstrations differ; give"):
        opened(file, file_head({"model": "m"}, {"samples": 2}, ITEMS, 0))


@pytest.mark.skipif(answer_file.fcntl is None, reason="this system has no fcntl")
def test_two_cannot_write_one_file(file):
    with opened(file):
        with pytest.raises(ConfigError, match="is being written by another process"):
            opened(file)
    opened(file).__exit__()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match="answers cannot be kept in"):
        opened(tmp_path)


def test_settings_are_compared_as_json_gives_them_back(file):
    settings = {"inputs": ("N/A", ""), "prompt": FewShotPrompt("Add."), "read": len, 3: math.nan}
    found = plain(settings | {"other": object()})
    assert found["inputs"] == ["N/A", ""] and found["prompt"]["instruction"] == "Add."
    assert found["read"] == "builtins.len" and found["other"] == "builtins.object"
    assert found["3"] == "nan" and json.loads(json.dumps(found)) == found
    assert plain({"low": -math.inf, "p": 0.5, "yes": True, "n": None}) == {
        "low": "-inf",
        "p": 0.5,
        "yes": True,
        "n": None,
    }


def test_other_answers_are_another_fingerprint():
    assert fingerprint(ITEMS) == fingerprint(list(ITEMS))
    assert fingerprint(ITEMS) != fingerprint([Item("one?", "2"), *ITEMS[1:]])
    for changed in (Item("a?", "1", context="b"), Item("a?", "1", ("1", "2")), Item("b?", "1")):
        assert fingerprint([changed]) != fingerprint([Item("a?", "1")])
    # The task of an item may be the name of its file, which may be renamed.
    assert fingerprint([Item("a?", "1", task="old")]) == fingerprint([Item("a?", "1", task="new")])


def test_other_weights_are_another_run(file):
    path = file.with_name("others.jsonl")
    heads = [file_head({"model": "m", "weights": w}, {}, [], 0) for w in ("aa", "bb")]
    opened(path, heads[0]).handle.close()
    with pytest.raises(ConfigError, match=r"weights of the model have changed.*\(aa and now bb\)"):
        opened(path, heads[1])
