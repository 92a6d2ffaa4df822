"""A model of characters is a distribution, and good text is what it finds cheap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.ngram import CharNGram, cheap_enough, threshold
from tinylm.data.synthetic.junk import bad_page, good_page
from tinylm.errors import ConfigError, DataError


@given(st.text("ab", min_size=1, max_size=20), st.text("abc", max_size=6), st.integers(1, 4))
def test_the_probabilities_of_the_next_character_sum_to_one(text, context, order):
    model = CharNGram(text, order, alphabet=3)
    assert math.fsum(model.probability(context, c) for c in "abc") == pytest.approx(1)


def test_witten_bell_by_hand():
    # "aab" of order 1: a twice, b once, two kinds. P(a) = (2 + 2 / 4) / (3 + 2), of an alphabet of
    # 4.
    model = CharNGram("aab", 1, alphabet=4)
    assert [model.probability("", c) for c in "abz"] == pytest.approx([2.5 / 5, 1.5 / 5, 0.5 / 5])
    assert model.bits_per_character("ab") == pytest.approx(-math.log2(0.5 * 0.3) / 2)


def test_the_beginning_of_a_text_is_a_context_of_its_own():
    # Order 2, "ab" twice, of an alphabet of 4: P(a) = (2 + 2 / 4) / (4 + 2) = 2.5 / 6 without a
    # context; at the beginning and, for b, after a: (2 + 2.5 / 6) / (2 + 1).
    model = CharNGram(["ab", "ab"], 2, alphabet=4)
    p = (2 + 2.5 / 6) / 3
    assert model.log_probability("ab") == pytest.approx(2 * math.log(p))
    assert model.log_probability("b") < math.log(2.5 / 6 / 3) + 1e-9  # no text began so
    assert model.bits_per_character("") == 0
    assert CharNGram("ab", 2).counts == CharNGram(["ab"], 2).counts  # one text, not two letters


def test_text_like_the_reference_is_cheap_and_junk_is_not():
    rng = np.random.default_rng(0)
    model = CharNGram(good_page(rng) for _ in range(20))
    apart = [good_page(rng) for _ in range(20)]
    rule = cheap_enough(model.bits_per_character, threshold(model.bits_per_character, apart, 1.0))
    assert all(map(rule, apart))  # that is what a part of 1.0 means
    for kind in ("gibberish", "digits", "foreign", "code"):
        assert not rule(bad_page(kind, rng, apart[0])), kind


def test_a_threshold_is_a_quantile():
    texts = ["x" * n for n in range(100, 0, -1)]  # scores 1 to 100
    for part, wanted in ((1.0, 100), (0.95, 95), (0.951, 96), (0.07, 7), (1e-12, 1)):
        # .07 * 100 is 7.000000000000001
        assert threshold(len, texts, part) == wanted
    assert threshold(len, texts) == 95
    assert threshold(len, texts, 1.0, characters=50) == 50
    for part in (0.0, 1.1):
        with pytest.raises(ConfigError, match="a part in"):
            threshold(len, texts, part)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(DataError, match="no text"):
        CharNGram("")
    with pytest.raises(ConfigError, match="order is 0"):
        CharNGram("a", 0)
    with pytest.raises(ConfigError, match="0 texts"):
        threshold(len, [])
