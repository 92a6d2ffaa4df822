"""What a command prints with --json can be read by any strict reader."""

import json

from tinylm.json_text import finite, json_text


def test_json_has_null_for_what_is_no_number():
    value = {"a": (1.5, float("-inf"), [float("nan")]), "b": True, "c": {"d": float("inf")}}
    assert json_text(value) == '{"a": [1.5, null, [null]], "b": true, "c": {"d": null}}'


def test_letters_stay_and_levels_may_be_indented():
    assert json_text({"é": 1}) == '{"é": 1}'
    assert json.loads(json_text({"a": [1]}, indent=1)) == {"a": [1]}
    assert json_text([1], indent=1) == "[\n 1\n]"


def test_half_of_a_surrogate_pair_is_an_escape():
    name = b"\xff.txt".decode("utf-8", "surrogateescape")
    text = json_text({"file": name})
    assert text == r'{"file": "\udcff.txt"}' and text.encode("utf-8").isascii()
    assert json.loads(text) == {"file": name}


def test_a_log_has_null_at_every_depth():
    assert finite({"loss": float("nan"), "parts": {"a": float("inf"), "b": (1, 2.5)}}) == {
        "loss": None,
        "parts": {"a": None, "b": [1, 2.5]},
    }
