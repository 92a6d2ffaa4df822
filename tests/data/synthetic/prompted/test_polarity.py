"""Polarity counts opinions, turned around by a negation."""

from collections import Counter

import pytest

from tinylm.data.synthetic.prompted.polarity import (
    LABELS,
    NEGATIVE,
    POSITIVE,
    polarity,
    polarity_items,
)
from tinylm.errors import ConfigError

# The text of the book's example (section 3.1.4.1).
BOOK = "The service at the restaurant was slower than expected, which was a bit frustrating."


@pytest.mark.parametrize(
    "text, label",
    [
        (BOOK, "negative"),
        ("The film was good.", "positive"),
        ("The film was not good.", "negative"),
        ("The film was never very boring!", "positive"),
        ("The film was not at all bad.", "positive"),
        ("The film opened in 1990.", "neutral"),
        ("The film was good and bad.", "neutral"),
        ("Good, good, bad.", "positive"),
        # A negation reaches no further than its own opinion.
        ("It was not here, but good.", "positive"),
        ("It was not good, it was bad.", "negative"),
        ("Not that it matters: bad.", "negative"),
        ("NOT GOOD", "negative"),
        ("", "neutral"),
    ],
)
def test_the_polarity_of_a_text(text, label):
    assert polarity(text) == label


def test_lists_of_opinions_do_not_overlap():
    assert not set(POSITIVE) & set(NEGATIVE) and LABELS == ("positive", "negative", "neutral")


def test_labels_and_negations_occur_as_often_as_they_should():
    items = polarity_items(600)
    counts = Counter(item.answer for item in items)
    # 200 each, standard deviation sqrt(600 * 1/3 * 2/3) = 11.5; four of them
    assert all(abs(counts[label] - 200) < 46 for label in LABELS)
    assert {item.options for item in items} == {LABELS}
    opinions = [item for item in items if item.answer != "neutral"]
    negated = sum(" not " in item.question for item in opinions)
    # 3 in 10 of n, standard deviation sqrt(n * 0.3 * 0.7); four of them
    assert abs(negated - 0.3 * len(opinions)) < 4 * (0.21 * len(opinions)) ** 0.5
    for item in items:
        assert (item.rationale == "There is no opinion in the text.") == (item.answer == "neutral")


def test_difficulty_is_the_share_of_negations():
    assert not any(" not " in item.question for item in polarity_items(60, negated=0.0))
    only = polarity_items(60, negated=1.0, labels=("negative",))
    assert all(" not " in item.question and item.answer == "negative" for item in only)
    for wrong in ({"negated": -0.1}, {"negated": 1.1}, {"labels": ()}, {"labels": ("bad",)}):
        with pytest.raises(ConfigError, match="polarity_items"):
            polarity_items(1, **wrong)
