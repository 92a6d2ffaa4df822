"""Comparisons of runs: several seeds and prompts, and the same tokens read by all."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.train.experiments.compare import (
    BY_DESIGN,
    OPPOSITE,
    SHOWS,
    TOO_SMALL,
    Claim,
    EqualReading,
    mean_and_range,
    mean_and_sd,
    report,
    slopes,
    student_cdf,
    student_quantile,
    together,
    weakest,
)


def test_one_seed_or_one_prompt_is_not_reported():
    assert report([1.0, 2.0, 6.0]) == (3.0, 1.0, 6.0)
    assert report([[0.0, 1.0], [0.5, 0.5]]) == (0.5, 0.0, 1.0)
    for shape in (0,), (2, 0), (), (2, 2, 2):
        with pytest.raises(ShapeError, match="seeds, prompts"):
            report(np.zeros(shape))
    too_few = ([1.0], "one seed"), ([[1.0], [2.0]], "one prompt"), ([[1.0, 2.0]], "one seed")
    for few, what in too_few:
        with pytest.raises(ConfigError, match=what):
            report(few)
        assert report(few, single=True)[1:] == (np.min(few), np.max(few))


def test_models_that_read_different_tokens_are_not_compared():
    ids = np.arange(12).reshape(3, 4)
    equal = EqualReading()
    for name in "ab":
        for seed in (0, 1):
            equal.read(name, seed, ids + seed)
            equal.read(name, seed, ids)
    assert equal.check() == 2 * 24  # two batches of 12 from each of two seeds
    equal.read("a", 2, ids)
    with pytest.raises(DataError, match="b has no run of seed 2"):
        equal.check()
    equal.read("b", 2, ids[::-1])
    with pytest.raises(DataError, match="b read 12 tokens in the run of seed 2"):
        equal.check()


# Two-sided 95 % points of Student's t, as printed in tables.
PRINTED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 10: 2.228, 30: 2.042}


@pytest.mark.parametrize("freedom, printed", PRINTED.items())
def test_quantiles_of_students_t_are_the_printed_ones(freedom, printed):
    assert student_quantile(0.975, freedom) == pytest.approx(printed, abs=6e-4)
    assert student_cdf(0.0, freedom) == 0.5
    assert student_cdf(1.0, 1) == pytest.approx(0.75)  # Cauchy: 1/2 + atan(1)/pi


BASE = np.array([0.50, 0.60, 0.55, 0.52, 0.58])
NOISE = np.array([0.01, -0.01, 0.02, -0.02, 0.00])


@pytest.mark.parametrize(
    "gain, claim, word",
    [
        (0.10, {}, SHOWS),
        (-0.10, {}, OPPOSITE),
        (0.005, {}, TOO_SMALL),
        (0.10, {"least": 0.2}, TOO_SMALL),  # a gain, and not one that matters
        (-0.10, {"larger": False}, SHOWS),
        (0.10, {"larger": False}, OPPOSITE),
        # a price of 0.04 that may be paid; the interval is 0.02 to either side
        (-0.01, {"least": -0.04}, SHOWS),
        (-0.03, {"least": -0.04}, TOO_SMALL),
        (-0.10, {"least": -0.04}, OPPOSITE),
        # the other side has 0.55 of 0.551 already
        (0.005, {"limit": 0.551, "least": 0.01}, BY_DESIGN),
        (0.005, {"limit": 1.0, "least": 0.01}, TOO_SMALL),
        # guessing is right in 0.6; neither side is
        (0.005, {"floor": 0.6}, BY_DESIGN),
        (0.005, {"floor": 0.5}, TOO_SMALL),
        (0.005, {"floor": 0.5, "larger": False}, BY_DESIGN),
        # a small price is no merit where neither side has learnt anything
        (-0.01, {"floor": 0.6, "least": -0.04}, BY_DESIGN),
    ],
)
def test_one_rule_gives_four_verdicts(gain, claim, word):
    verdict = Claim("it helps", "1.2", **claim).judge(BASE + gain + NOISE, BASE)
    assert verdict.word == word
    assert verdict.low <= verdict.effect <= verdict.high
    assert abs(verdict.effect) == pytest.approx(abs(gain))
    assert word in str(verdict)


def test_the_interval_is_students_of_the_differences_seed_by_seed():
    verdict = Claim("it helps").judge(BASE + 0.1 + NOISE, BASE)
    half = 2.776 * NOISE.std(ddof=1) / np.sqrt(5)
    assert verdict.high - verdict.effect == pytest.approx(half, rel=1e-3)
    assert verdict.seen == pytest.approx(half, rel=1e-3)
    alone = Claim("it helps").judge(BASE + 0.1 + NOISE, BASE, paired=False)
    # the seeds differ more than the sides
    assert alone.high - alone.low > 2 * (verdict.high - verdict.low)
    assert alone.word == SHOWS


def test_three_lucky_seeds_are_no_proof():
    # all positive: a coin does that once in eight
    gains = np.array([0.01, 0.02, 0.30])
    verdict = Claim("it helps").judge(gains, np.zeros(3))
    assert verdict.word == TOO_SMALL and "could have been seen" in str(verdict)


def test_a_claim_is_right_as_often_as_its_level_says():
    rng = np.random.default_rng(0)
    claim, zeros = Claim("nothing"), np.zeros(5)
    false = [claim.judge(rng.normal(size=5), zeros).word != TOO_SMALL for _ in range(2000)]
    assert np.mean(false) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 2000))


def test_scores_that_cannot_be_judged_are_refused():
    with pytest.raises(ShapeError, match="in pairs unless paired=False"):
        Claim("x").judge([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="1 seed has no spread"):
        Claim("x").judge([1.0], [2.0])
    assert "(section 2.1): +0" in Claim("x", "2.1").line([1.0, 1.0], [1.0, 1.0])


def test_a_known_number_needs_no_runs():
    claim = Claim("above chance", least=0.01)
    assert claim.judge(BASE, 0.25) == claim.judge(BASE, np.full(5, 0.25))
    assert claim.judge(BASE, 0.25, paired=False) == claim.judge(BASE, 0.25)


def test_several_claims_at_once_err_no_more_often_than_one():
    rng = np.random.default_rng(0)
    claims = together([Claim(f"nothing {i}") for i in range(4)])
    assert claims[0].level == pytest.approx(1 - 0.05 / 4)
    runs = rng.normal(size=(1000, 4, 5))
    some = [any(c.judge(x, 0.0).word != TOO_SMALL for c, x in zip(claims, row)) for row in runs]
    # independent claims: 1 - (1 - 0.05 / 4)^4 is a little less than 0.05
    assert np.mean(some) == pytest.approx(0.049, abs=4 * np.sqrt(0.049 * 0.951 / 1000))


def test_a_claim_of_several_comparisons_is_as_good_as_its_weakest():
    claim = Claim("it helps", limit=1.0, least=0.01)
    shows, small = claim.judge(BASE + 0.1 + NOISE, BASE), claim.judge(BASE + NOISE, BASE)
    harm, full = claim.judge(BASE - 0.1 + NOISE, BASE), claim.judge(np.ones(5), np.ones(5))
    assert weakest([shows, full, small, harm]) == harm
    assert weakest([shows, full, small]) == small
    assert weakest([full, shows]) == full and weakest([shows]) == shows
    assert (harm.word, full.word) == (OPPOSITE, BY_DESIGN)


def test_slopes_are_those_of_lines_through_each_run():
    x = np.log([1.0, 2.0, 4.0, 8.0])
    runs = np.stack([2 * x + 1, np.array([0.1, -0.1, -0.1, 0.1]) - x])
    # the second run's noise is symmetric about the middle: it does not tilt the line
    assert slopes(x, runs) == pytest.approx([2.0, -1.0])
    with pytest.raises(ShapeError, match="n > 1"):
        slopes(x[:1], runs[:, :1])


def test_cells_of_tables_show_the_spread():
    assert mean_and_sd([1.0, 2.0, 3.0]) == "2.000 +- 1.000"
    assert mean_and_range([1.0, 2.0, 6.0], ".1f") == "3.0 (1.0 .. 6.0)"
