"""Intervals hold the truth as often as they say, on laws that are known."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.train.scaling.fits import JOINT, OFFSET, POWER, fit_law
from tinylm.train.scaling.intervals import (
    bootstrap,
    bootstrap_prediction,
    confidence,
    covariance,
    prediction,
    t_quantile,
)
from tinylm.train.scaling.laws import CHINCHILLA, power_law

X = np.geomspace(1e3, 1e7, 12)


@pytest.mark.parametrize(
    "p, dof, t",
    [
        (0.975, 1, 12.706),
        (0.975, 10, 2.228),
        (0.95, 5, 2.015),
        (0.975, 1000, 1.962),
        (0.025, 10, -2.228),
    ],
)
def test_students_t_is_the_printed_table(p, dof, t):
    assert t_quantile(p, dof) == pytest.approx(t, abs=6e-4)


def test_for_a_straight_line_the_delta_method_is_the_textbooks():
    noisy = power_law(X, 5, -0.3) * np.exp(0.1 * np.random.default_rng(1).normal(size=len(X)))
    fit = fit_law(POWER, X, noisy, np.inf)
    (_, _), by_numpy = np.polyfit(
        np.log(X), np.log(noisy), 1, cov=True
    )  # scaled by RSS / (n - 2) as well
    assert covariance(fit)[0][1, 1] == pytest.approx(by_numpy[0, 0], rel=1e-6)
    low, high = confidence(fit)["alpha"]
    assert (high - low) / 2 == pytest.approx(
        t_quantile(0.975, 10) * by_numpy[0, 0] ** 0.5, rel=1e-6
    )


def test_the_interval_of_new_runs_is_the_textbooks():
    noisy = power_law(X, 5, -0.3) * np.exp(0.1 * np.random.default_rng(1).normal(size=len(X)))
    fit, t = fit_law(POWER, X, noisy, np.inf), np.log(X)
    s = np.sqrt((fit.residuals**2).sum() / 10)  # 12 runs, 2 numbers
    for x, level, runs in (1e5, 0.95, 1), (1e9, 0.9, 4), (1e9, 0.5, np.inf):
        # s^2 (1/m + 1/n + (t - mean)^2 / Sxx), in log losses: a factor to either side
        far = (np.log(x) - t.mean()) ** 2 / ((t - t.mean()) ** 2).sum()
        half = t_quantile(0.5 + level / 2, 10) * s * np.sqrt(1 / runs + 1 / 12 + far)
        y, low, high = prediction(fit, x, level=level, runs=runs)
        assert y == fit(x)
        assert np.log(high / y) == pytest.approx(half, rel=1e-6)
        assert np.log(y / low) == pytest.approx(half, rel=1e-6)


def noisy_fit(seed, spread=0.02):
    truth = power_law(X, 5, -0.3, 1.5)
    return fit_law(
        OFFSET, X, truth * np.exp(spread * np.random.default_rng(seed).normal(size=len(X))), np.inf
    )


def test_an_interval_for_a_run_is_wider_than_for_the_law_and_widens_outside_the_data():
    fit = noisy_fit(0)
    inside, outside = (prediction(fit, x) for x in (1e5, 1e10))
    law = prediction(fit, 1e5, runs=np.inf)
    assert inside[0] == law[0] == fit(1e5) and inside[1] < law[1] < fit(1e5) < law[2] < inside[2]
    assert np.log(outside[2] / outside[1]) > np.log(inside[2] / inside[1])


def test_the_bootstrap_is_seeded_and_as_wide_as_the_delta_method():
    fit = noisy_fit(0)
    thetas = bootstrap(fit, np.inf, 200, seed=5)
    assert np.array_equal(thetas, bootstrap(fit, np.inf, 200, seed=5))
    ends = np.quantile(thetas[:, 1], [0.025, 0.975])
    low, high = confidence(fit)["alpha"]
    assert 0.4 < (ends[1] - ends[0]) / (high - low) < 1.6  # 12 runs: the two agree roughly
    y, low, high = bootstrap_prediction(fit, thetas, 1e8)
    assert low < y < high


@pytest.mark.parametrize("strange", [0, 2, 3])
def test_every_run_is_drawn_and_left_out_as_often_as_chance_says(strange):
    x, losses = np.array([1.0, 10, 100, 1000]), power_law(np.array([1.0, 10, 100, 1000]), 5, -0.3)
    losses[strange] *= 3
    thetas = bootstrap(fit_law(POWER, x, losses, np.inf), np.inf, 400, seed=1)
    # A resample of 4 without the strange run, of two others at least, fits the law exactly:
    # (3^4 - 3) / 4^4 = 0.305 of them; four standard deviations of 400 are 0.092.
    right = np.abs(thetas[:, 1] - 0.3) < 1e-5
    assert right.mean() == pytest.approx(0.305, abs=0.092)


def test_runs_of_a_group_are_drawn_together():
    fit = noisy_fit(0)
    thetas = bootstrap(
        fit, np.inf, 50, groups=np.zeros(12)
    )  # one group: every resample is the data
    np.testing.assert_allclose(thetas, np.repeat(fit.theta[None], 50, 0), rtol=1e-6)


def test_as_many_runs_as_numbers_leave_no_spread():
    with pytest.raises(ConfigError, match="add runs"):
        covariance(fit_law(OFFSET, X[:3], power_law(X[:3], 5, -0.3, 1.5)))


@pytest.mark.slow
def test_intervals_hold_the_truth_nineteen_times_in_twenty():
    # 200 data sets: a coverage of 0.95 is seen as 0.95 +- 3 * 0.015; the law is not straight, so a
    # little more is allowed
    exponents = new_runs = laws = 0
    for seed in range(200):
        fit = noisy_fit(seed)
        low, high = confidence(fit)["alpha"]
        exponents += low < 0.3 < high
        truth = power_law(1e8, 5, -0.3, 1.5)
        run = truth * np.exp(0.02 * np.random.default_rng(10_000 + seed).normal())
        _, low, high = prediction(fit, 1e8)
        new_runs += low < run < high
        _, low, high = prediction(fit, 1e8, runs=np.inf)
        laws += low < truth < high
    assert 0.90 < exponents / 200 < 1 and 0.90 < new_runs / 200 < 1 and 0.90 < laws / 200 < 1


@pytest.mark.slow
def test_bootstrap_intervals_hold_a_new_run_too():
    # 80 data sets of 30 runs, 5 numbers: 0.95 is seen as 0.95 +- 0.073; resampling is a little too
    # sure of few runs
    N, D = np.repeat(np.geomspace(1e6, 1e8, 6), 5), np.tile(np.geomspace(1e7, 1e9, 5), 6)
    held = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        fit = fit_law(JOINT, (N, D), CHINCHILLA(N, D) * np.exp(0.02 * rng.normal(size=30)), np.inf)
        _, low, high = bootstrap_prediction(
            fit, bootstrap(fit, np.inf, 100, seed, steps=60), 1e9, 1e10
        )
        held += low < CHINCHILLA(1e9, 1e10) * np.exp(0.02 * rng.normal()) < high
    assert held / 80 > 0.80
