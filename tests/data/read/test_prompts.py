import json

import pytest

from tinylm.data.read.prompts import read_prompts
from tinylm.errors import DataError


def read(tmp_path, *records):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_prompts(path)


def user(text):
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    "record, messages",
    [
        ({"prompt": "hi", "gold": 1}, [user("hi")]),
        ({"question": "hi", "answer": "ho"}, [user("hi")]),
        ({"instruction": "Add.", "input": "2 2", "output": "4"}, [user("Add.\n2 2")]),
        ({"prompt": [user("hi")]}, [user("hi")]),
        ({"messages": [user("hi"), {"role": "assistant", "content": "ho"}]}, [user("hi")]),
        (
            {"chosen": [user("hi"), {"role": "assistant", "content": "ho"}], "rejected": []},
            [user("hi")],
        ),
        (
            {"system": "Be brief.", "chosen": "hi ho", "rejected": "hi he"},
            [{"role": "system", "content": "Be brief."}, user("hi h")],
        ),
        (
            {"prompt": "hi", "system": "Be brief."},
            [{"role": "system", "content": "Be brief."}, user("hi")],
        ),
    ],
)
def test_a_prompt_is_what_an_answer_follows_and_its_record_is_kept(record, messages, tmp_path):
    (one,) = read(tmp_path, record)
    assert one.messages == messages and one.record == record


@pytest.mark.parametrize(
    "record, words",
    [
        ({"text": "hi"}, "line 1: no prompt among the fields 'text'"),
        ({"messages": [{"role": "assistant", "content": "ho"}]}, "nothing to answer"),
        ({"prompt": "a", "question": "b"}, "which of them counts"),
        (["hi"], "a prompt is an object"),
    ],
)
def test_a_record_without_a_prompt_is_an_error(record, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read(tmp_path, record)
