"""What the text pairs, the model pairs; balanced text leaves it no preference."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.measure.bias import PAIRS, Swap, balanced, log_odds


def corpus(she, he):
    return ["The nurse said that she was late."] * she + ["The nurse said that he was late."] * he


@pytest.mark.parametrize("she, he", [(90, 10), (50, 50), (20, 80)])
def test_the_probe_finds_the_odds_of_the_text(she, he):
    model = CharNGram(corpus(she, he), order=8)
    found = log_odds(model.log_probability, "The nurse said that {} was late.", "she", "he")
    # smoothing pulls the odds of 100 sentences a little towards 1: within 0.2 of log(p / (1 - p))
    assert found == pytest.approx(math.log(she / he), abs=0.2)


def test_balancing_leaves_no_preference():
    model = CharNGram(balanced(corpus(90, 10)), order=8)
    assert log_odds(
        model.log_probability, "The nurse said that {} was late.", "she", "he"
    ) == pytest.approx(0, abs=0.05)


@given(
    st.lists(
        st.sampled_from([w for pair in PAIRS for w in pair] + ["nurse", "The", "then"]).flatmap(
            lambda w: st.sampled_from([w, w.capitalize()])
        ),
        max_size=10,
    ).map(" ".join)
)
def test_swapping_twice_gives_the_text_back(text):
    assert Swap()(Swap()(text)) == text


def test_case_and_whole_words_are_kept():
    assert Swap()("He said the theme was HIS; she, Her.") == "She said the theme was HIS; he, Him."


def test_documents_without_such_words_are_not_doubled():
    assert list(balanced(["the sea", "he swam"])) == ["the sea", "he swam", "she swam"]
    waters = Swap([("sea", "lake")])  # other pairs
    assert list(balanced(["the sea", "he swam"], waters)) == ["the sea", "the lake", "he swam"]
