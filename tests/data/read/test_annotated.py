"""Texts with entities and relations are read from columns and from JSON lines."""

import json

import pytest

from tinylm.data.read.annotated import Annotated, read_entities, read_relations
from tinylm.errors import DataError
from tinylm.reading import BadLines

RECORD = {
    "text": "Tom Jenkins heads Harbor Bank.",
    "entities": [["Tom Jenkins", "person"], ["Harbor Bank", "organization"]],
    "relations": [["Tom Jenkins", "works for", "Harbor Bank"]],
}


def test_tagged_words_become_a_text_with_entities(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Tom B-PER\nJenkins I-PER\nin O\nUK B-LOC\n\nNo O\n")
    assert read_entities(path) == [
        Annotated("Tom Jenkins in UK", (("Tom Jenkins", "PER"), ("UK", "LOC"))),
        Annotated("No"),
    ]
    path.write_text("B-PER x Tom\nO y in\n")
    assert read_entities(path, word=2, tag=0) == [Annotated("Tom in", (("Tom", "PER"),))]


def test_relations_are_read_from_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(RECORD) + "\n\n" + json.dumps({"text": "None."}) + "\n")
    assert read_relations(path) == [
        Annotated(
            RECORD["text"],
            (("Tom Jenkins", "person"), ("Harbor Bank", "organization")),
            (("Tom Jenkins", "works for", "Harbor Bank"),),
        ),
        Annotated("None."),
    ]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"labels": []}, "'labels' is not read"),
        ({"text": None}, "'text' must be text"),
        ({"entities": "Tom"}, "'entities' must be a list"),
        ({"entities": [["Tom Jenkins"]]}, "'entities' must have lists of 2 texts"),
        ({"entities": [["Tom Jenkins", 3]]}, "'entities' must have lists of 2 texts"),
        ({"entities": ["ab"]}, "'entities' must have lists of 2 texts"),
        ({"relations": [["Tom Jenkins", "Harbor Bank"]]}, "'relations' must have lists of 3"),
        ({"entities": [["Tim", "person"]], "relations": []}, "'Tim' is not in the text"),
        ({"relations": [["Tom", "heads", "Harbor Bank"]]}, "is not between two entities"),
        ({"relations": [["Harbor Bank", "heads", "Tom"]]}, "is not between two entities"),
    ],
)
def test_a_record_that_is_wrong_is_refused_with_its_line(tmp_path, change, reason):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(RECORD) + "\n" + json.dumps({**RECORD, **change}) + "\n")
    with pytest.raises(DataError, match=f"a.jsonl, line 2: .*{reason}"):
        read_relations(path)
    bad = BadLines(skip=True)
    assert len(read_relations(path, bad)) == bad.count == 1


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("[1]\n")
    with pytest.raises(DataError, match="line 1: .*an object with fields"):
        read_relations(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no text with entities"):
        read_relations(path)
