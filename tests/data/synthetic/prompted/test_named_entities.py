"""Entities are found with their types, and written as the book's list."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import (
    annotated_texts,
    entities_in,
    entity_lines,
    named_entity_items,
    solve_named_entities,
)
from tinylm.errors import DataError

TEXT = (
    "In 2024, Tom Jenkins left European Tourism Organization, whose main office is in UK, not in "
    "Europe."
)


def test_the_list_of_the_book():
    assert entity_lines(
        [
            ("Tom Jenkins", "Person Name"),
            ("European Tourism Organization", "Organization"),
            ("UK", "Location"),
            ("Europe", "Location"),
            ("2024", "Date"),
        ]
    ) == (
        "1. Tom Jenkins - Person Name\n2. European Tourism Organization - Organization\n"
        "3. UK - Location\n4. Europe - Location\n5. 2024 - Date"
    )
    assert entity_lines([]) == ""


def test_entities_are_found_in_order_and_the_longest_name_counts():
    assert entities_in(TEXT) == [
        ("2024", "Date"),
        ("Tom Jenkins", "Person Name"),
        ("European Tourism Organization", "Organization"),
        ("UK", "Location"),
        ("Europe", "Location"),
    ]
    found = entities_in("On 5 May 1999 the University of Estavia, in Estavia, met 12 UKs.")
    assert found == [
        ("5 May 1999", "Date"),
        ("University of Estavia", "Organization"),
        ("Estavia", "Location"),
    ]
    assert entities_in("Nothing in 12345 or 1850.") == []


def test_the_annotation_is_what_is_found():
    texts = annotated_texts(300)
    assert all(list(one.entities) == entities_in(one.text) for one in texts)
    kinds = {kind for one in texts for _, kind in one.entities}
    assert kinds == {"Person Name", "Organization", "Location", "Date"}
    types = {(dict(one.entities)[head], relation, dict(one.entities)[tail])
             for one in texts for head, relation, tail in one.relations}  # fmt: skip
    assert types == {
        ("Person Name", "works for", "Organization"),
        ("Organization", "located in", "Location"),
        ("Person Name", "lives in", "Location"),
    }
    assert any(one.relations == () for one in texts)
    # "on 5 May 1990", but "in 1990" and "since 1990"
    assert all(
        (" " in name) == (f" on {name}" in one.text)
        for one in texts
        for name, kind in one.entities
        if kind == "Date"
    )
    days = {name for one in texts for name, kind in one.entities if kind == "Date" and " " in name}
    years = {int(name[-4:]) for one in texts for name, kind in one.entities if kind == "Date"}
    assert days and min(years) >= 1950 and max(years) < 2030


def test_items_are_the_same_texts():
    texts = annotated_texts(20, seed=4)
    items = named_entity_items(20, seed=4)
    assert [item.question for item in items] == [one.text for one in texts]
    assert items[0].answer == entity_lines(texts[0].entities)
    assert f"{texts[0].entities[0][0]} is of type" in items[0].rationale
    with pytest.raises(DataError, match="no entity"):
        solve_named_entities(Item("Nothing."))
    assert annotated_texts(3)[0] == annotated_texts(3, seed=0)[0]
