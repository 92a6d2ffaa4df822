"""A field is what it must be, or the error names the file, the field, and what it must be."""

import math
from dataclasses import dataclass

import pytest

from tinylm.errors import DataError
from tinylm.fields import Fields, of_type


@dataclass
class Example:
    count: int
    rate: float | None
    name: str
    on: bool
    pair: tuple[float, float]
    words: tuple[str, ...]
    more: dict | None


VALUES = {"count": 1, "rate": None, "name": "a", "on": True}
VALUES |= {"pair": [1, 0.5], "words": ["a", "b", "c"], "more": {"x": 1}}


def test_fields_that_fit_become_arguments():
    found = Fields(VALUES, "file").arguments(Example)
    assert Example(**found) == Example(1, None, "a", True, (1, 0.5), ("a", "b", "c"), {"x": 1})


@pytest.mark.parametrize("name, value, what", [
    ("count", 1.0, "a whole number"), ("count", True, "a whole number"),
    ("count", 2**63, "a whole number"), ("rate", math.nan, "a finite number or null"),
    ("rate", "1", "a finite number or null"), ("rate", 10**400, "a finite number or null"),
    ("name", "\ud800", "a text"), ("name", "a\0", "a text"), ("name", None, "a text"),
    ("on", 1, "true or false"), ("pair", [1], "a list of a finite number, a finite number"),
    ("pair", [1, "a"], "a list of"), ("words", "abc", "a list of a text"),
    ("words", ["a", 1], "a list of a text"), ("more", [], r"an object \{...\} or null"),
])  # fmt: skip
def test_a_field_of_another_type_is_named(name, value, what):
    fields = Fields({"deep": {**VALUES, name: value}}, "file", DataError)
    with pytest.raises(DataError, match=f"^file: deep.{name} is .*; it must be {what}"):
        fields.object("deep").arguments(Example)


def test_missing_and_unknown_fields_are_named():
    with pytest.raises(DataError, match="^file: count is missing; it must be a whole number"):
        Fields({}, "file", DataError).arguments(Example)
    with pytest.raises(DataError, match="^file: it has a field 'flavor'"):
        Fields({**VALUES, "flavor": 1}, "file", DataError).arguments(Example)
    with pytest.raises(DataError, match="^file: its content is None; it must be an object"):
        Fields(None, "file", DataError)


def test_a_type_that_json_does_not_have_fits_nothing():
    assert not of_type("a", bytes)
