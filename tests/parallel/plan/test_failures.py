"""Checkpoints and failures: intervals against the exact expectation, and a run played with dice."""

import numpy as np
import pytest

from tinylm.parallel.plan.failures import (
    GPU_HOURS_PER_FAILURE,
    daly_interval,
    expected_seconds,
    failure_probability,
    goodput,
    job_seconds_between_failures,
    young_interval,
)


def test_young_by_hand():
    # 2 * 50 s * 10,000 s = 1,000,000 s^2
    assert young_interval(50, 10_000) == 1000


def test_daly_s_interval_is_the_best_to_a_thousandth():
    for checkpoint, between in ((60, 86_400), (60, 3600), (300, 3600)):
        grid = np.linspace(0.2, 3, 5001) * young_interval(checkpoint, between)
        cost = expected_seconds(1.0, grid, checkpoint, 600, between)
        daly = expected_seconds(1.0, daly_interval(checkpoint, between), checkpoint, 600, between)
        young = expected_seconds(1.0, young_interval(checkpoint, between), checkpoint, 600, between)
        assert daly <= cost.min() * 1.0002
        assert (
            cost.min() * (1 - 1e-8) <= daly < young
        )  # the higher order is worth something each time


def test_daly_stops_at_the_mean_time_when_checkpoints_take_longer():
    assert daly_interval(1000, 400) == 400
    assert daly_interval(799, 400) == pytest.approx(400, rel=0.2)  # nearly continuous at C = 2 M


def test_with_rare_failures_only_checkpoints_cost():
    # 900 s of work and 100 s of writing: nine tenths
    assert goodput(900, 100, 600, 1e12) == pytest.approx(0.9, rel=1e-6)


def test_small_losses_add_up_to_young_s_sum():
    # C / tau + (tau + C) / 2 M for tau << M
    share = goodput(1000, 10, 0, 1e6)
    assert 1 - share == pytest.approx(10 / 1000 + 1010 / 2e6, rel=0.02)


def test_the_expectation_is_the_mean_of_runs_played_with_dice():
    rng = np.random.default_rng(0)
    work, interval, checkpoint, restart, between, runs = 3000, 300, 30, 60, 500, 4000

    def until(seconds):
        """Seconds until `seconds` pass without a failure, from a restart after each."""
        total = np.zeros(runs)
        going = np.ones(runs, bool)
        need = np.full(runs, float(seconds))
        while going.any():
            fails = rng.exponential(between, runs)
            passed = fails >= need
            total += np.where(going, np.where(passed, need, fails), 0)
            going &= ~passed
            need = np.full(runs, restart + float(seconds))  # a restart can fail, too
        return total

    played = sum(until(interval + checkpoint) for _ in range(work // interval))
    # Daly's formula has the restart in e^(R / M); the dice pay one after each failure, which is the
    # same in expectation.
    expected = expected_seconds(work, interval, checkpoint, restart, between)
    error = played.std() / runs**0.5
    assert abs(played.mean() - expected) < 4 * error + 0.002 * expected


def test_more_gpus_fail_sooner():
    # Llama 3: 419 interruptions in 54 days on 16,384 GPUs are one in 3.1 hours
    assert job_seconds_between_failures(16384) / 3600 == pytest.approx(54 * 24 / 419)
    assert job_seconds_between_failures(1) == pytest.approx(3600 * GPU_HOURS_PER_FAILURE)
    assert failure_probability(0.1, 2) == pytest.approx(0.19)
    assert failure_probability(1e-12, 1000) == pytest.approx(1e-9, rel=1e-6)
