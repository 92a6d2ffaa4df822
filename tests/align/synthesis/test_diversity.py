"""Measures of how different texts are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.synthesis.diversity import (
    dispersion,
    distinct_n,
    diversity,
    pairwise_overlap,
    text_overlap,
)
from tinylm.errors import ConfigError, ShapeError


def test_distinct_n_by_hand():
    texts = ["the cat sat", "The cat ran."]
    assert distinct_n(texts, 1) == 4 / 6  # the, cat, sat, ran of six words
    assert distinct_n(texts, 2) == distinct_n(texts) == 3 / 4  # "the cat" twice
    assert distinct_n(texts, 3) == 1.0
    assert distinct_n(texts, 4) == 0.0  # no text has four words
    with pytest.raises(ConfigError, match="n=0"):
        distinct_n(texts, 0)


def test_rouge_l_by_hand():
    # longest common subsequence "police the gunman" of 4 and 4 words; Lin 2004, section 3.1
    assert text_overlap("police killed the gunman", "Police kill the gunman!") == 3 / 4
    assert text_overlap("police killed the gunman", "the gunman kill police") == 2 / 4
    assert text_overlap("a b c d", "b d") == 2 * 2 / (4 + 2)
    assert text_overlap("same", "same") == 1.0
    assert text_overlap("same", "other") == 0.0


def test_the_overlap_of_a_set_is_the_mean_over_its_pairs():
    texts = ["a b", "a b", "a c", "d e"]
    # pairs: 1, 1/2, 0, 1/2, 0, 0
    assert pairwise_overlap(texts) == pytest.approx(2 / 6)
    assert pairwise_overlap(["x", "x"]) == 1.0
    with pytest.raises(ConfigError, match="1 items"):
        pairwise_overlap(["x"])


def test_dispersion_of_equal_opposite_and_orthogonal_vectors():
    assert dispersion([[1, 0], [3, 0]]) == pytest.approx(0)  # lengths do not matter
    assert dispersion([[1, 0], [-2, 0]]) == pytest.approx(2)  # n / (n - 1) of n = 2
    assert dispersion(np.eye(3)) == pytest.approx(1)
    with pytest.raises(ShapeError, match="all zeros"):
        dispersion([[1, 0], [0, 0]])
    with pytest.raises(ShapeError, match=r"vectors \(2,\)"):
        dispersion([1.0, 2.0])
    with pytest.raises(ConfigError, match="1 items"):
        dispersion([[1.0]])


@given(st.integers(2, 6), st.integers(0, 99))
def test_dispersion_is_the_mean_over_pairs(n, seed):
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(n) for j in range(i)]
    assert dispersion(vectors) == pytest.approx(np.mean(pairs))


def test_all_measures_of_a_set():
    texts = ["red apple", "red pear"]
    found = diversity(texts, lambda given: [[1.0, 0.0], [0.0, 1.0]])
    assert found == pytest.approx(
        {"distinct_1": 3 / 4, "distinct_2": 1.0, "overlap": 1 / 2, "dispersion": 1.0}
    )
    assert "dispersion" not in diversity(texts)
