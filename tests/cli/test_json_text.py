"""What a command prints with --json can be read by any strict reader."""

import json

from tinylm.cli.json_text import json_text


def test_json_has_null_for_what_is_no_number():
    value = {"a": (1.5, float("-inf"), [float("nan")]), "b": True, "c": {"d": float("inf")}}
    assert json_text(value) == '{"a": [1.5, null, [null]], "b": true, "c": {"d": null}}'


def test_letters_stay_and_levels_may_be_indented():
    assert json_text({"é": 1}) == '{"é": 1}'
    assert json.loads(json_text({"a": [1]}, indent=1)) == {"a": [1]}
    assert json_text([1], indent=1) == "[\n 1\n]"
