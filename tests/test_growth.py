"""The measure of growth itself: it finds a square, and takes no collection of cycles for one."""

import gc

from tests.growth import superlinear


def squared(text):
    """Every pair of characters: 16 times the time for 4 times the text."""
    return sum(a == b for a in text for b in text)


def linear(text):
    """One object a character, each of which the collector of cycles follows."""
    return [[c] for c in text for _ in range(20)]


def test_a_square_is_found():
    [row] = superlinear(squared, ["ab"], size=500, afters=("x",))
    assert row[:3] == ("ab", "", "x") and 10 < row[3] < 25


def test_a_full_collection_is_not_growth():
    bulk = [[i] for i in range(300_000)]  # what a full collection has to walk through
    assert superlinear(linear, ["a"]) == []
    assert len(bulk) == 300_000 and gc.isenabled()
