"""JSON objects in replies, with any text around them and in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template.json_reply import complete_json, json_request, read_json

OBJECTS = st.dictionaries(
    st.text(), st.recursive(st.text() | st.integers() | st.booleans() | st.none(), st.lists)
)
AROUND = st.sampled_from(["", "Sure: ", "```json\n", "\n```", "so {x} and {", '"', "} ", "[1, "])


@given(value=OBJECTS, before=AROUND, after=AROUND, indent=st.none() | st.just(2))
def test_an_object_is_read_whatever_stands_around_it(value, before, after, indent):
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert read_json(before.replace("{", "(") + text + after) == value


@pytest.mark.parametrize(
    "reply, found",
    [
        ('Set {a, b} gives {"x": 1}.', {"x": 1}),
        ('{"a": 1} {"x": "}"}', {"x": "}"}),
        ('{"x": 1} {"x": 2}', {"x": 1}),
        ('{"a": {"x": 1}}', None),  # a part of another object
        ('{"x": 1, "b": {"c": 2}', None),  # cut off
        ('{"a": {"x": 1}', None),
        ('{"x": "never closed} {"', None),
        ('{"x": ', None),
        ('{"x": NaN} {"x": 3}', {"x": 3}),
        ('{"x": 1, "x": 2} {"x": 3}', {"x": 3}),
        ("none", None),
        ("", None),
        ("{" * 20, None),
        ("[" * 9 + '{"x": 1}', {"x": 1}),
        ('{"x":' * 100_000, None),
    ],
)
def test_which_object_is_read(reply, found):
    assert read_json(reply, ["x"]) == found


def test_without_names_any_object_will_do():
    assert read_json('so {"a": 1} {"x": 2}') == {"a": 1}
    assert read_json('{"a": "never closed {}') is None
    assert read_json('so {"a": 1} {"x": 2, "y": 3}', ["x", "y"]) == {"x": 2, "y": 3}


def test_a_model_is_asked_for_an_object():
    request = 'Reply with one JSON object that has "y", "x", and with nothing else.'
    assert json_request(["y", "x"]) == request
    lm = ScriptedLM([(f"Judge it.\n{request}\n", 'Here: {"x": "é", "z": 0, "y": [1]}!')])
    answer = complete_json(lm, "Judge it.", ["y", "x"])
    assert answer.value == '{"y": [1], "x": "é"}' and answer.details["object"]["y"] == [1]
    lm = ScriptedLM([(None, '{"x": 1}'), (None, "w " * 300)])
    answer = complete_json(lm, "Judge it.", ["y", "x"])
    assert (answer.value, answer.text, answer.details) == (None, '{"x": 1}', {"object": None})
    assert len(complete_json(lm, "Judge it.", ["y"]).text.split()) == 256
    with pytest.raises(ConfigError, match="give names, each once"):
        json_request([])
    with pytest.raises(ConfigError, match="give names, each once"):
        json_request(["x", "x"])
