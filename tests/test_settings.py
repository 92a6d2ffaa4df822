import dataclasses
import math

import pytest

from tinylm.errors import ConfigError
from tinylm.settings import (
    above,
    at_least,
    between,
    finite,
    named_in_utf8,
    one_of,
    positive,
    setting,
    validate,
)


@dataclasses.dataclass
class Example:
    rate: float = setting(1e-3, "learning rate", positive)
    limit: float | None = setting(None, "clip above this", positive)
    names: list = setting(["a"], "names")


def test_a_setting_is_a_dataclass_field_with_help_and_check():
    field = dataclasses.fields(Example)[0]
    assert (field.default, field.metadata["help"], field.metadata["check"]) == (
        1e-3,
        "learning rate",
        positive,
    )


def test_a_mutable_default_is_copied_for_every_instance():
    first, second = Example(), Example()
    first.names.append("b")
    assert second.names == ["a"]


def test_validate_names_the_field_what_it_must_be_and_what_it_is():
    with pytest.raises(ConfigError, match=r"rate must be a finite number above 0, not inf"):
        validate(Example(rate=math.inf))


def test_validate_returns_the_instance_and_lets_none_pass():
    config = Example(limit=None)
    assert validate(config) is config


@pytest.mark.parametrize(
    "check, good, bad",
    [
        (finite, -1e300, math.nan),
        (above(0), 1e-300, 0),
        (above(0), 1, -math.inf),
        (at_least(1), 1, 0),
        (between(0, 1), 1.0, 1.0000001),
        (between(0, 1), 0, math.nan),
        (one_of("cpu", "gpu"), "gpu", "tpu"),
        (positive, 1, True),  # a truth value is no number
        (positive, 1, "1"),
    ],
)
def test_a_check_accepts_its_edge_and_refuses_what_is_beyond(check, good, bad):
    assert check(good) is None
    assert check(bad).startswith("must be")


@pytest.mark.parametrize(
    "choices, help, shown",
    [
        (("k1", "k2", "none"), "where", "where: k1, k2 or none"),
        (("cpu", "gpu"), "cpu or gpu", "cpu or gpu"),  # named already
        (("k1", "k2"), "of k1 alone", "of k1 alone: k1 or k2"),
        (("all", "last"), "small at last", "small at last: all or last"),  # "all" is no word there
        ((32, 8), "bits", "bits: 32 or 8"),
    ],
)
def test_a_help_text_names_every_choice_once(choices, help, shown):
    field = setting(choices[0], help, one_of(*choices))
    assert field.metadata["help"] == shown
    assert setting(1, help, positive).metadata["help"] == help


def test_names_of_files_that_a_run_records_are_utf8():
    assert named_in_utf8("é/日.txt") is None and named_in_utf8(("a", "b")) is None
    # Bytes of a name that are not UTF-8 are halves of characters in Python.
    for name in ("\udce9.txt", ("a", "\udce9.txt")):
        assert "must be a name in UTF-8" in named_in_utf8(name)
