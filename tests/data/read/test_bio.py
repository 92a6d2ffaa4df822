"""Entities are tags and tags are entities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.bio import bio_decode, bio_encode
from tinylm.errors import DataError

LENGTHS = st.lists(
    st.tuples(st.sampled_from(["A", "B"]), st.integers(0, 3), st.integers(1, 3)), max_size=5
)


def test_the_example_of_the_book():
    # B-ORG begins an organization, I-ORG goes on, O is none.
    assert bio_encode([("ORG", 1, 3)], 5) == ["O", "B-ORG", "I-ORG", "O", "O"]


@given(LENGTHS, st.integers(0, 3))
def test_decoding_undoes_encoding(parts, rest):
    spans, at = [], 0
    for kind, gap, length in parts:
        spans.append((kind, at + gap, at + gap + length))
        at += gap + length
    tags = bio_encode(spans, at + rest)
    assert bio_decode(tags) == spans and len(tags) == at + rest


def test_spans_that_lie_badly_are_refused():
    for spans in ([("A", 0, 0)], [("A", 0, 4)], [("A", 0, 2), ("B", 1, 3)]):
        with pytest.raises(DataError, match="bio_encode"):
            bio_encode(spans, 3)


def test_an_i_that_continues_nothing_begins_an_entity():
    assert bio_decode(["I-A", "I-A", "I-B", "O", "I-A"]) == [("A", 0, 2), ("B", 2, 3), ("A", 4, 5)]
    assert bio_decode(["INTJ", "NOUN"]) == bio_decode([]) == []  # parts of speech are no entities
