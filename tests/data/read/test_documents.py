"""What one document is."""

import gzip
import json

import pytest

from tinylm.data.read.documents import read_documents
from tinylm.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "unit, documents",
    [
        ("auto", ["one\ntwo\n\n \nthree\n"]),
        ("file", ["one\ntwo\n\n \nthree\n"]),
        ("paragraph", ["one\ntwo", "three"]),
        ("line", ["one", "two", "three"]),
    ],
)
def test_text_files_are_cut_as_asked(tmp_path, unit, documents):
    (tmp_path / "a.txt").write_text("one\ntwo\n\n \nthree\n")
    assert list(read_documents([tmp_path / "a.txt"], unit)) == documents


@pytest.mark.parametrize("name, opener", [("a.jsonl", open), ("a.jsonl.gz", gzip.open)])
def test_lines_of_json_are_documents(tmp_path, name, opener):
    with opener(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write(
            json.dumps({"text": "one\ntwo"})
            + "\n\n"
            + json.dumps({"text": "three", "id": 3})
            + "\n"
        )
    assert list(read_documents([tmp_path / name])) == ["one\ntwo", "three"]


@pytest.mark.parametrize("line", ["{", '{"body": "x"}', '{"text": 3}', "[]"])
def test_a_wrong_line_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match="a.jsonl, line 2"):
        list(read_documents([tmp_path / "a.jsonl"]))


def test_an_unknown_unit_is_refused():
    with pytest.raises(ConfigError, match="unit 'page' is none of auto, file"):
        next(read_documents([], "page"))
