"""A task as attributes is the same in lines and in JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.prompt.template import TaskSpec

SPEC = TaskSpec(
    "Translation",
    "Translate the following sentence: {*sentence*}",
    (("Source language", "English"), ("Target language", "Chinese"), ("Style", "Formal text")),
)
NAMES = ("Source language", "Target language", "Style")
TEXT = (
    "Task: Translation\nSource language: English\nTarget language: Chinese\nStyle: Formal text\n"
    "Template: Translate the following sentence: {*sentence*}"
)


def test_attributes_are_lines_in_order():
    assert SPEC.to_text() == TEXT
    assert TaskSpec.from_text(TEXT, NAMES) == SPEC
    assert TaskSpec.from_text("Task: a\nTemplate:") == TaskSpec("a", "")


def test_attributes_are_pairs_of_key_and_value_in_json():
    assert json.loads(SPEC.to_json()) == dict(SPEC.pairs)
    assert list(json.loads(SPEC.to_json())) == ["Task", *NAMES, "Template"]
    assert TaskSpec.from_json(SPEC.to_json()) == SPEC
    assert TaskSpec("a", "b").to_json() == '{\n  "Task": "a",\n  "Template": "b"\n}'
    assert "Überset" in TaskSpec("Übersetzung", "x").to_json()


def test_json_without_commas_as_it_is_printed_is_refused():
    printed = SPEC.to_json().replace(",\n", "\n")
    with pytest.raises(DataError, match="not JSON, expecting ',' delimiter at line 3"):
        TaskSpec.from_json(printed)


def test_a_prompt_has_the_template_filled():
    assert SPEC.prompt(sentence="It thaws.") == TEXT.replace("{*sentence*}", "It thaws.")
    assert SPEC.prompt(sentence="a\nTask: b").endswith("sentence: a\n Task: b")
    with pytest.raises(DataError, match="no value for sentence"):
        SPEC.prompt()


def test_an_attribute_is_changed_or_added():
    informal = SPEC.with_attribute("Style", "Informal text")
    assert informal.attributes == (*SPEC.attributes[:2], ("Style", "Informal text"))
    assert SPEC.with_attribute("Length", "short").pairs[-2] == ("Length", "short")
    assert dict(SPEC.attributes)["Style"] == "Formal text"


@given(st.text(), st.text(), st.text())
def test_every_text_survives_both_forms(task, template, value):
    spec = TaskSpec(task, template, (("Style", value),))
    assert TaskSpec.from_json(spec.to_json()) == spec
    assert TaskSpec.from_text(spec.to_text(), ("Style",)) == spec


def test_what_is_no_task_is_refused():
    for name in ("Style", "Task", "Template"):
        with pytest.raises(DataError, match=f"'{name}' is given twice"):
            TaskSpec("a", "b", (("Style", "c"), (name, "d")))
    for text in ('{"Task": "a"}', '{"Template": "a"}', '["Task"]', "[]", "3", '{"Task": 1}'):
        with pytest.raises(DataError, match="an object of texts with 'Task' and 'Template'"):
            TaskSpec.from_json(text)
    for twice in ('"Task": "b"', '"Template": "b"'):
        with pytest.raises(DataError, match="a key is given twice"):
            TaskSpec.from_json(f'{{"Task": "a", "Template": "b", {twice}}}')
    with pytest.raises(DataError, match="an object of texts"):
        TaskSpec.from_json('{"Task": "a", "Template": "b", "Style": ["c"]}')
    with pytest.raises(DataError, match="should have"):
        TaskSpec.from_text(TEXT, NAMES[:2] + ("Length",))
    with pytest.raises(DataError, match="should have"):
        TaskSpec.from_text("Template: b\nTask: a")
