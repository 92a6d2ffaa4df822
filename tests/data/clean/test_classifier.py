"""Good text learnt from examples."""

import numpy as np
import pytest

from tinylm.data.clean.classifier import QualityClassifier, hashed_words
from tinylm.data.synthetic.junk import bad_page, good_page
from tinylm.errors import DataError

BAD = ("menu", "digits", "code", "gibberish")


@pytest.fixture(scope="module")
def learnt():
    rng = np.random.default_rng(0)
    good = [good_page(rng) for _ in range(25)]
    bad = [bad_page(BAD[i % 4], rng, good[0]) for i in range(50)]
    return QualityClassifier().fit(good, bad)


def test_new_pages_are_told_apart(learnt):
    rng = np.random.default_rng(1)
    good = [good_page(rng) for _ in range(25)]
    # Measured: all right. The classes share nearly no word, so one error would be one too many.
    assert all(map(learnt.keeps(), good))
    assert not any(learnt.keeps()(bad_page(kind, rng, good[0])) for kind in BAD for _ in range(5))


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.9])
def test_some_of_the_doubtful_gets_through(learnt, probability, monkeypatch):
    monkeypatch.setattr(learnt, "probability", lambda text: probability)
    n, rule = 2000, learnt.keeps_some(alpha=3.0)
    kept = sum(rule(f"text {i}") for i in range(n))
    chance = (2 - probability) ** -3.0
    assert abs(kept - n * chance) < 4 * np.sqrt(
        n * chance * (1 - chance)
    )  # four standard deviations
    assert rule("text 7") == rule("text 7")


def test_features_have_length_one():
    rows, values = hashed_words("the cat and the cat", 1 << 10)
    assert (values**2).sum() == pytest.approx(1) and len(
        rows
    ) == 6  # the, cat, and; the cat, cat and, and the


def test_one_kind_of_text_teaches_nothing():
    with pytest.raises(DataError, match="1 good and 0 bad"):
        QualityClassifier().fit(["good"], [])
