"""The labeled corpus has the pages that it says it has."""

from collections import Counter

from tinylm.data.synthetic.junk import KINDS, labelled_corpus


def test_the_share_of_junk_is_that_asked_for():
    good = sum(label == "good" for _, label in labelled_corpus(600, junk=0.25))
    # 150 of 600 are junk, standard deviation sqrt(600 * 0.25 * 0.75) = 10.6; four of them.
    assert abs(600 - good - 150) < 43
    assert {label for _, label in labelled_corpus(20, junk=0.0)} == {"good"}


def test_the_first_page_is_good_and_kinds_of_junk_take_turns():
    labels = [label for _, label in labelled_corpus(1 + 2 * len(KINDS), junk=1.0)]
    assert labels[0] == "good" and set(Counter(labels[1:]).values()) == {2}
    assert set(labels[1:]) == set(KINDS)


def test_of_three_good_pages_one_has_an_address_and_one_is_html():
    pages = [text for text, _ in labelled_corpus(9, junk=0.0)]
    assert [("@example.org." in text, text.startswith("<html>")) for text in pages] == [
        (True, False),
        (False, True),
        (False, False),
    ] * 3


def test_a_seed_decides_all_of_it():
    assert labelled_corpus(30) == labelled_corpus(30, seed=0) != labelled_corpus(30, seed=1)
