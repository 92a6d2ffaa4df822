"""Performance gap recovered."""

import pytest

from tinylm.align.weak_to_strong import pgr
from tinylm.errors import DataError


def test_the_books_numbers():
    assert pgr(0.60, 0.76, 0.80) == pytest.approx(0.8)


def test_the_ends_and_what_lies_beyond():
    assert pgr(0.5, 0.5, 0.75) == 0.0
    assert pgr(0.5, 0.75, 0.75) == 1.0
    assert pgr(0.5, 0.25, 0.75) == -1.0  # worse than its teacher
    assert pgr(0.5, 1.0, 0.75) == 2.0  # better than with true labels
    # losses, where smaller is better, give the same
    assert pgr(2.0, 1.2, 1.0) == pytest.approx(0.8)


def test_without_a_gap_nothing_can_be_recovered():
    with pytest.raises(DataError, match="both have 0.6, so there is no gap"):
        pgr(0.6, 0.7, 0.6)
