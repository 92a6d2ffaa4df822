"""Reading a text back with its template undoes the filling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic.templates import first_slots, needed_slots, slots
from tinylm.errors import DataError

TEMPLATE = "{who} has {count:d} (or more?) {thing}."


@given(st.text(min_size=1), st.integers())
def test_what_was_filled_in_is_read_back(who, count):
    text = "<{who}> has {count:d}.".format(who=who, count=count)
    found = slots("<{who}> has {count:d}.", text)
    assert "<{who}> has {count:d}.".format(**found) == text
    assert "> has " in who or found == {"who": who, "count": count}


def test_every_other_character_stands_for_itself():
    assert slots(TEMPLATE, "Ada has -3 (or more?) red\npens.") == {
        "who": "Ada",
        "count": -3,
        "thing": "red\npens",
    }
    for other in (
        "Ada has 3 (or mor) pens.",
        "Ada has three (or more?) pens.",
        "Ada has 3 (or more?) pens!",
        " has 3 (or more?) pens.",
        "Ada has 3 (or more?) pens. ",
    ):
        assert slots(TEMPLATE, other) is None


def test_a_slot_that_is_there_twice_holds_the_same():
    twice = "{a} is {a} and {n:d} is {n:d}"
    assert slots(twice, "x is x and 3 is 3") == {"a": "x", "n": 3}
    assert slots(twice, "x is y and 3 is 3") is None and slots(twice, "x is x and 3 is 4") is None


def test_the_first_template_that_fits_is_taken():
    templates = ("{a} has {n:d}", "{a} has {b}", "{a} lacks {b}")
    assert first_slots(templates, "x has 3") == (0, {"a": "x", "n": 3})
    assert first_slots(templates, "x lacks y") == (2, {"a": "x", "b": "y"})
    with pytest.raises(DataError, match="of none of 3 forms"):
        first_slots(templates, "x is y")


def test_a_text_of_another_form_is_refused_where_one_is_needed():
    assert needed_slots("{a}!", "x!") == {"a": "x"}
    with pytest.raises(DataError, match="'x' is not of the form '{a}!'"):
        needed_slots("{a}!", "x")
