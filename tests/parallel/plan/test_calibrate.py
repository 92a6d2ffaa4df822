"""Calibration: constants are found again in made-up runs, and goals are met on the real ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.parallel.plan.calibrate import constant_guess, errors, fit, halves, predict
from tinylm.parallel.plan.constants import (
    FIELDS,
    MEASURED,
    NAMES,
    UNCALIBRATED,
    at_a_bound,
    describe,
)
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.measured import Runs, read_mosaic, read_vtrain
from tinylm.parallel.plan.shapes import gpt_shape

PLANNER = Path(__file__).parents[3].parent / "shared" / "data" / "planner"
needs_data = pytest.mark.skipif(not PLANNER.exists(), reason="needs ../shared/data/planner")
VTRAIN = ("matrix", "memory", "host", "hiding", "network", "rail")
SINGLE = VTRAIN[:4]  # one node: no network
MOSAIC = ("matrix", "matrix_hopper", "memory", "attention", "network")


def made_up(n=60, noise=0.0, truth=UNCALIBRATED):
    """Runs whose seconds are the model's own, with noise."""
    rng = np.random.default_rng(0)
    tp, pp = rng.choice([1, 2, 8], n), rng.choice([1, 2, 4], n)
    dp, micro = rng.choice([1, 4, 8], n), rng.choice([1, 2, 4], n)
    width = rng.choice([1024, 2048, 8192], n)
    shape = gpt_shape(rng.choice([16, 24], n), width, 16, 51200, 1024)
    layout = Layout(
        tp, dp, pp, dp * micro * 8, micro, recompute="full", attention="dense", dropout=1
    )
    runs = Runs("made up", shape, layout, MACHINES["a100"], np.ones(n), {"tp": tp})
    exact = predict(runs, truth)
    return replace(runs, seconds=exact * np.exp(noise * rng.standard_normal(n)))


def test_constants_are_found_again():
    truth = replace(UNCALIBRATED, matrix=0.7, memory=0.6, host=25e-6, hiding=4.0, network=0.4)
    runs = made_up(truth=truth)
    found = fit([runs], VTRAIN)
    for name in ("matrix", "memory", "host", "network"):
        # the weak pull to the values without calibration leaves a few percent
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=0.05)
    assert np.abs(errors(runs, found)).mean() < 0.005
    assert found.attention == UNCALIBRATED.attention  # not asked for, not touched


def test_what_no_row_depends_on_stays_where_it_was():
    found = fit([made_up()], ("matrix", "attention"))
    assert found.attention == pytest.approx(UNCALIBRATED.attention, rel=1e-6)


def test_one_run_that_went_wrong_does_not_bend_the_fit():
    runs = made_up()
    spoiled = runs.seconds.copy()
    spoiled[:3] *= 3
    found = fit([replace(runs, seconds=spoiled)], ("matrix", "memory"))
    assert found.matrix == pytest.approx(UNCALIBRATED.matrix, rel=0.03)


def test_halves_do_not_overlap_and_are_predicted_without_having_been_seen():
    runs = made_up(40, noise=0.05)
    for split in halves([runs], ("matrix", "memory"), splits=3):
        (held,) = split.held
        assert len(held) == 20 == len(set(held))
        rest = np.setdiff1d(np.arange(40), held)
        again = fit([runs.take(rest)], ("matrix", "memory"))
        # Rows in another order sum to the same but for rounding.
        assert again.matrix == pytest.approx(split.constants.matrix, rel=1e-3)
        (wrong,) = split.errors
        assert wrong == pytest.approx(errors(runs.take(held), split.constants))


def test_splits_differ_and_a_seed_repeats_them():
    runs = made_up(20)
    first, second = halves([runs], ("matrix",), splits=2)
    assert set(first.held[0]) != set(second.held[0])
    assert list(halves([runs], ("matrix",), splits=1)[0].held[0]) == list(first.held[0])
    assert set(halves([runs], ("matrix",), 1, seed=1)[0].held[0]) != set(first.held[0])


def test_too_few_runs_are_refused():
    with pytest.raises(ConfigError, match="2 runs cannot determine 6 constants"):
        fit([made_up(2)], VTRAIN)


def test_the_constant_guess_is_right_where_all_run_at_one_rate():
    runs = made_up(10)
    tokens = runs.layout.batch * runs.shape.context
    work = 3 * runs.shape.forward_operations * tokens / runs.layout.gpus
    same = replace(runs, seconds=work / 100e12)
    fitted, held = np.arange(5), np.arange(5, 10)
    assert constant_guess(same, fitted, held) == pytest.approx(np.zeros(5), abs=1e-12)
    doubled = replace(same, seconds=np.where(np.arange(10) < 5, same.seconds, 2 * same.seconds))
    assert constant_guess(doubled, fitted, held) == pytest.approx(np.full(5, -0.5))


def test_constants_are_at_most_eight_and_described_with_unit_and_range():
    assert len(NAMES) <= 8
    lines = describe(UNCALIBRATED, fitted=("host",)).splitlines()
    assert len(lines) == len(NAMES)
    for name, line in zip(NAMES, lines):
        facts = FIELDS[name].metadata
        assert line.split()[0] == name and facts["unit"] in line
        assert f"({facts['low']:g} .. {facts['high']:g})" in line
        assert line.endswith("; fitted") == (name == "host")
        assert ("not calibrated" in line) == (name != "host")
        assert facts["low"] < getattr(UNCALIBRATED, name) < facts["high"]


def test_a_constant_at_a_bound_is_named():
    assert at_a_bound(UNCALIBRATED) == ()
    assert at_a_bound(replace(UNCALIBRATED, matrix=1.0, rail=0.0501)) == ("matrix", "rail")


def mean_errors(tables, names):
    """Mean |error| of held-out rows by table over five splits, 90th percentiles, splits."""
    splits = halves(tables, names)
    means, high = [], []
    for k in range(len(tables)):
        means.append(np.mean([np.abs(s.errors[k]).mean() for s in splits]))
        high.append(np.quantile(np.abs(np.concatenate([s.errors[k] for s in splits])), 0.9))
    return means, high, splits


@needs_data
@pytest.mark.slow
def test_goals_on_runs_not_fitted():
    multi = read_vtrain(PLANNER / "vtrain_multi.csv")
    single = read_vtrain(PLANNER / "vtrain_single.csv")
    assert len(VTRAIN) <= 6 and len(MOSAIC) <= 6
    (mean,), _, _ = mean_errors([single], SINGLE)
    assert mean <= 0.09
    means, _, splits = mean_errors([multi, single], VTRAIN)
    assert means[0] <= 0.07 and means[1] <= 0.10
    assert all(at_a_bound(split.constants, VTRAIN) == () for split in splits)


@needs_data
@pytest.mark.slow
def test_the_measured_constants_are_the_fit_to_all_runs():
    tables = [
        read_vtrain(PLANNER / "vtrain_single.csv"),
        read_vtrain(PLANNER / "vtrain_multi.csv"),
        read_mosaic(PLANNER / "mosaic_fsdp.csv"),
    ]
    assert sum(map(len, tables)) == 882
    found = fit(tables, NAMES)
    for name in NAMES:
        assert getattr(MEASURED, name) == pytest.approx(getattr(found, name), rel=0.01)
    assert at_a_bound(MEASURED) == ()


@needs_data
@pytest.mark.slow
def test_goal_by_gpu_type():
    runs = read_mosaic(PLANNER / "mosaic_fsdp.csv")
    _, _, splits = mean_errors([runs], MOSAIC)
    for gpu in ("a100_40gb", "a100_80gb", "h100_80gb"):
        of_type = [np.abs(s.errors[0][runs.kinds["gpu"][s.held[0]] == gpu]).mean() for s in splits]
        assert np.mean(of_type) <= 0.07


@needs_data
def test_the_parameter_counts_of_all_runs_are_the_table_s():
    import csv

    path = PLANNER / "mosaic_fsdp.csv"
    with open(path, encoding="utf-8") as file:
        printed = [int(row["NumParams"]) for row in csv.DictReader(file)]
    assert list(read_mosaic(path).shape.parameters) == printed
