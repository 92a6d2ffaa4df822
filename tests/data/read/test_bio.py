"""Entities are tags and tags are entities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.bio import bio_decode, bio_encode, strict_decode
from tinylm.errors import ConfigError, DataError

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


def test_ends_and_single_words_are_read_in_every_scheme():
    # Tom Jenkins (PER), Harbor Bank (ORG) and UK (LOC), one behind the other
    spans = [("PER", 0, 2), ("ORG", 2, 4), ("LOC", 4, 5)]
    for tags, scheme in (
        ("B-PER I-PER B-ORG I-ORG B-LOC", "iob2"),
        ("I-PER I-PER I-ORG I-ORG I-LOC", "iob1"),
        ("B-PER E-PER B-ORG E-ORG S-LOC", "iobes"),
        ("B-PER L-PER B-ORG L-ORG U-LOC", "bilou"),
    ):
        assert bio_decode(tags.split()) == strict_decode(tags.split(), scheme) == spans
    # Two of one type: IOB1 writes B at the second alone.
    assert strict_decode(["I-A", "B-A", "I-A"], "iob1") == [("A", 0, 1), ("A", 1, 3)]
    assert bio_decode(["S-A", "S-A", "E-A", "I-A"]) == [
        ("A", 0, 1),
        ("A", 1, 2),
        ("A", 2, 3),
        ("A", 3, 4),
    ]
    # Words that only begin as a mark does are no tags: E is a part of speech here.
    assert bio_decode(["E", "S", "SYM", "LS", "UH"]) == []
    assert bio_decode(["B", "I"]) == [("", 0, 2)]


def test_what_a_scheme_does_not_write_is_left_out_by_the_strict_reading():
    for tags, scheme, kept in (
        ("I-A O B-A", "iob2", [("A", 2, 3)]),
        ("B-A I-B I-B", "iob2", [("A", 0, 1)]),
        ("B-A O I-A", "iob1", [("A", 2, 3)]),
        ("I-B B-A", "iob1", [("B", 0, 1)]),
        ("B-A O I-A E-A S-B", "iobes", [("B", 4, 5)]),
        ("B-A I-A B-A E-A", "iobes", [("A", 2, 4)]),
        ("E-A U-B", "bilou", None),
        ("L-A U-B B-A I-A", "bilou", [("B", 1, 2)]),
    ):
        if kept is None:
            with pytest.raises(DataError, match="the tag 'E-A' is not one of BILOU"):
                strict_decode(tags.split(), scheme)
        else:
            assert strict_decode(tags.split(), scheme) == kept
    with pytest.raises(ConfigError, match="no scheme 'bio'; there are iob1, iob2, iobes, bilou"):
        strict_decode(["O"], "bio")
