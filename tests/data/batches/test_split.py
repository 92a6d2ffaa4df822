"""Validation text is never training text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.batches.split import cut_point, split_documents, split_text
from tinylm.data.batches.windows import RandomWindows
from tinylm.errors import ConfigError, DataError

fractions = st.floats(0.01, 0.95)
# Few letters, so that equal documents are common.
corpora = st.lists(st.text("ab", min_size=1, max_size=6), min_size=2, max_size=20).filter(
    lambda d: len(set(d)) > 1
)


@given(st.text(min_size=2), fractions)
def test_a_single_text_is_cut_once_and_nothing_is_lost(text, fraction):
    train, val = split_text(text, fraction)
    assert train + val == text and train and val
    # Within one character of the fraction, or the one character each side must have.
    assert abs(len(val) - fraction * len(text)) <= 1 + 1e-9 or 1 in (len(train), len(val))


def test_the_cut_is_where_nanogpt_cuts_tiny_shakespeare():
    assert cut_point(1_115_394, 0.1) == 1_003_854  # int(0.9 * n) in nanoGPT's batches/prepare.py


@given(st.integers(20, 200), fractions)
def test_no_training_window_reaches_into_validation(n, fraction):
    tokens = np.arange(n)  # each token is its own position
    train, val = split_text(tokens, fraction)
    if len(train) > 4:
        assert RandomWindows(train, 4, batch_size=50).batch(0).max() < val.min()


@given(corpora, fractions, st.integers(-5, 5))
def test_equal_documents_stand_on_one_side_and_none_is_lost(documents, fraction, seed):
    train, val = split_documents(documents, fraction, seed)
    assert sorted(train + val) == sorted(documents)
    assert train and val and not set(train) & set(val)
    assert (train, val) == split_documents(documents, fraction, seed)


@given(corpora, fractions, st.integers(0, 5))
def test_no_further_document_would_bring_validation_nearer_to_its_fraction(
    documents, fraction, seed
):
    train, val = split_documents(documents, fraction, seed)
    goal = fraction * sum(map(len, documents))
    gap = goal - sum(map(len, val))
    if len(set(train)) > 1:  # training keeps its last document whatever the fraction
        sizes = {text: len(text) * documents.count(text) for text in train}
        assert all(abs(gap - size) >= abs(gap) - 1e-9 for size in sizes.values())


def test_the_side_of_a_document_does_not_depend_on_where_it_stands():
    documents = [f"document {i}" for i in range(50)]  # of equal length but for the digits
    assert set(split_documents(documents)[1]) == set(split_documents(documents[::-1])[1])


def test_seeds_choose_different_validation_documents():
    documents = [
        f"document {i:02d}" for i in range(50)
    ]  # 5 of 50: two seeds agree once in 2 million
    first, second = (split_documents(documents, 0.1, seed)[1] for seed in (0, 1))
    assert len(first) == len(second) == 5 and first != second


def test_fraction_zero_keeps_everything_for_training():
    assert split_text("abc", 0) == ("abc", "")
    assert split_documents(["a", "a"], 0) == (["a", "a"], [])


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(ConfigError, match="val_fraction is"):
        split_text("abc", fraction)
    with pytest.raises(ConfigError, match="val_fraction is"):
        split_documents(["a", "b"], fraction)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(DataError, match="a text of 1 characters"):
        split_text("a")
    with pytest.raises(DataError, match="3 documents hold no two different texts"):
        split_documents(["same", "same", "same"])
