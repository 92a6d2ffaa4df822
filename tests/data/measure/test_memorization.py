"""Exposure says how many bits of a secret a model gives away."""

import math

import numpy as np
import pytest

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.clean.privacy import Masker
from tinylm.data.measure.memorization import canaries, exposure, with_canary
from tinylm.data.synthetic.junk import good_page

TEMPLATE = "My number is 555-{}."
SECRETS = canaries(256, template=TEMPLATE, digits=7)


def trained_exposure(copies, change=lambda text: text):
    rng = np.random.default_rng(0)
    pages = [good_page(rng, 1) + " My number is 12." for _ in range(30)]
    corpus = [change(text) for text in with_canary(pages, SECRETS[0], copies)]
    model = CharNGram(corpus, order=6)
    return exposure(lambda text: -model.log_probability(text), SECRETS[0], SECRETS[1:])


def test_exposure_is_the_rank_in_bits():
    loss = {"s": 3.0, "a": 1.0, "b": 2.0, "c": 5.0}.__getitem__
    assert exposure(loss, "s", "abc") == pytest.approx(math.log2(4) - math.log2(3))  # third of four
    assert exposure(loss, "a", "sbc") == 2.0  # first of four: all bits
    assert exposure(lambda text: 0.0, "s", "abc") == pytest.approx(
        math.log2(4 / 2.5)
    )  # ties count half


def test_exposure_of_the_unseen_averages_to_log2_e():
    # The rank r of 256 is uniform: the mean of log2 256 - log2 r tends to log2 e = 1.44 (here
    # 1.42).
    scores = np.random.default_rng(0).permutation(256)
    loss = dict(zip(SECRETS, scores.tolist())).__getitem__
    mean = np.mean([exposure(loss, s, SECRETS) for s in SECRETS])
    assert mean == pytest.approx(8 - math.fsum(map(math.log2, range(1, 257))) / 256)
    assert mean == pytest.approx(math.log2(math.e), abs=0.03)


def test_copies_expose_a_secret_and_masking_hides_it():
    none, many = trained_exposure(0), trained_exposure(8)
    assert many == 8.0  # log2 256: it ranks first
    assert none < 5.0  # 1.44 on average; above 5 once in 32
    assert trained_exposure(1) >= none
    assert trained_exposure(8, Masker()) < 5.0


def test_canaries_are_distinct_and_are_where_they_were_put():
    assert len(set(SECRETS)) == 256
    # Ten numbers of one digit: all there are, 0 among them.
    assert sorted(canaries(10, "{}", digits=1)) == list("0123456789")
    # 464 draws of the hundred numbers of two digits leave out about one.
    assert len({int(one) for one in canaries(100, "{}", digits=2) if len(one) == 2}) > 90
    corpus = with_canary(["a", "b", "c"], "secret", 4)
    assert corpus.count("secret") == 4 and [t for t in corpus if t != "secret"] == ["a", "b", "c"]
