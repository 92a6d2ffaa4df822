"""Fits find the law that made the data, resist what does not belong to it, and are minima."""

import numpy as np
import pytest

import tinylm as tl
from tinylm.errors import ConfigError, ShapeError
from tinylm.train.scaling.broken import broken_power_law
from tinylm.train.scaling.fits import (
    JOINT,
    OFFSET,
    POWER,
    columns,
    descend,
    fit_law,
    huber,
    sum_of_powers,
)
from tinylm.train.scaling.fits_bent import KAPLAN, broken_law
from tinylm.train.scaling.laws import CHINCHILLA, kaplan_loss, power_law

X = np.geomspace(1e3, 1e7, 12)
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))


def test_a_power_law_is_found_exactly():
    fit = fit_law(POWER, X, power_law(X, 5, -0.3))
    assert fit.numbers == pytest.approx({"A": 5, "alpha": 0.3}, rel=1e-9)


def test_the_slope_does_not_depend_on_the_unit_of_size():
    noisy = power_law(X, 5, -0.3) * np.exp(0.02 * np.random.default_rng(0).normal(size=len(X)))
    slopes = [fit_law(POWER, X * unit, noisy, np.inf).numbers["alpha"] for unit in (1, 1e-3, 1e6)]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=1e-6)


def test_least_squares_in_logs_is_the_straight_line_through_them():
    noisy = power_law(X, 5, -0.3) * np.exp(0.1 * np.random.default_rng(1).normal(size=len(X)))
    slope, height = np.polyfit(np.log(X), np.log(noisy), 1)
    fit = fit_law(POWER, X, noisy, np.inf)
    assert [fit.numbers["alpha"], np.log(fit.numbers["A"])] == pytest.approx(
        [-slope, height], rel=1e-7
    )


def test_the_irreducible_error_is_found():
    fit = fit_law(OFFSET, X, power_law(X, 5, -0.3, 1.5))
    assert fit.numbers == pytest.approx({"A": 5, "alpha": 0.3, "E": 1.5}, rel=1e-6)
    assert fit(1e12) == pytest.approx(power_law(1e12, 5, -0.3, 1.5), rel=1e-6)


def test_without_irreducible_error_the_offset_law_is_the_power_law():
    fit = fit_law(OFFSET, X, power_law(X, 5, -0.3))
    np.testing.assert_allclose(fit(X), power_law(X, 5, -0.3), rtol=1e-4)
    assert fit.numbers["E"] < 0.01 * power_law(X[-1], 5, -0.3)


def test_chinchillas_numbers_come_back():
    fit = fit_law(JOINT, (N, D), CHINCHILLA(N, D))
    expected = {"A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28, "E": 1.69}
    assert fit.numbers == pytest.approx(expected, rel=1e-5)


def test_with_endless_data_the_joint_law_is_the_offset_law():
    fit = fit_law(JOINT, (N, D), CHINCHILLA(N, D))
    np.testing.assert_allclose(fit(X, 1e300), power_law(X, 406.4, -0.34, 1.69), rtol=1e-5)


def test_kaplans_joint_law_comes_back():
    fit = fit_law(KAPLAN, (N, D), kaplan_loss(N, D))
    assert fit.numbers == pytest.approx(
        {"alpha_N": 0.076, "alpha_D": 0.095, "N_c": 8.8e13, "D_c": 5.4e13}, rel=1e-4
    )


def test_a_broken_law_is_fitted_through_its_corner():
    x = np.geomspace(1, 1e6, 40)
    truth = broken_power_law(x, 0.5, 4.0, 0.05, ((0.4, 1e3, 0.5),))
    fit = fit_law(broken_law(1), x, truth)
    np.testing.assert_allclose(fit(x), truth, rtol=1e-4)
    assert fit.numbers["breaks"][0] == pytest.approx((0.4, 1e3, 0.5), rel=0.05)
    assert (
        np.abs(fit_law(OFFSET, x, truth).residuals).max() > 0.05
    )  # no law without a corner is near it


def test_one_run_that_diverged_does_not_bend_a_huber_fit():
    losses = power_law(X, 5, -0.3, 1.5)
    losses[7] *= 2
    robust, squares = (fit_law(OFFSET, X, losses, delta).numbers["E"] for delta in (1e-3, np.inf))
    assert robust == pytest.approx(1.5, abs=1e-3) and abs(squares - 1.5) > 0.02


@pytest.mark.parametrize(
    "law, columns_used",
    [
        (POWER, 1),
        (OFFSET, 1),
        (JOINT, 2),
        (KAPLAN, 2),
        (broken_law(0), 1),
        (broken_law(2), 1),
        (sum_of_powers(1, None), 2),
    ],
)
def test_derivatives_by_hand_are_those_of_differences(law, columns_used):
    # central differences of step h = 1e-6 are right to h^2 and to rounding 1e-16/h = 1e-10, times
    # the size of the numbers
    rng = np.random.default_rng(0)
    logs, theta = rng.uniform(2, 6, (5, columns_used)), rng.uniform(0.2, 1.5, (3, len(law.names)))
    J = law.log_loss(theta, logs)[1]
    for p, h in enumerate(1e-6 * np.eye(len(law.names))):
        difference = (law.log_loss(theta + h, logs)[0] - law.log_loss(theta - h, logs)[0]) / 2e-6
        np.testing.assert_allclose(J[..., p], difference, rtol=1e-6, atol=1e-8)


def chinchilla_objective(theta, delta):
    """Mean Huber loss of Chinchilla's law in recorded operations; theta Tensor (5,): log A, alpha,
    log B, beta, log E.
    """
    n, d, y = np.log(N), np.log(D), np.log(noisy_losses())
    parts = tl.stack([theta[0] - theta[1] * n, theta[2] - theta[3] * d, theta[4] + 0 * n])
    r = tl.abs(tl.logsumexp(parts, axis=0) - y)
    return tl.where(r.data <= delta, 0.5 * r * r, delta * (r - 0.5 * delta)).mean()


def noisy_losses(spread=0.02):
    return CHINCHILLA(N, D) * np.exp(spread * np.random.default_rng(3).normal(size=len(N)))


@pytest.mark.parametrize("delta", [1e-3, 1e-2, np.inf])
def test_autograd_finds_no_slope_left_at_the_fit(delta):
    fit = fit_law(JOINT, (N, D), noisy_losses(), delta)
    theta = tl.Tensor(fit.theta, requires_grad=True)
    objective = chinchilla_objective(theta, 1e3 if np.isinf(delta) else delta)
    assert objective.item() == pytest.approx(fit.objective, rel=1e-12)
    gradient = tl.grad(objective, [theta])[0].numpy()
    start = tl.Tensor(fit.theta + 0.05, requires_grad=True)
    steep = tl.grad(chinchilla_objective(start, 1e3 if np.isinf(delta) else delta), [start])[
        0
    ].numpy()
    assert np.abs(gradient).max() < 1e-4 * np.abs(steep).max()


def test_no_start_of_a_hundred_ends_lower():
    fit = fit_law(JOINT, (N, D), noisy_losses())
    rng = np.random.default_rng(0)
    others = fit.theta + rng.normal(size=(100, 5)) * [1, 0.1, 1, 0.1, 0.3]
    assert descend(JOINT, others, fit.logs, fit.log_losses[None])[1].min() >= fit.objective * (
        1 - 1e-4
    )


def test_a_start_that_is_given_is_where_it_starts():
    truth = power_law(X, 5, -0.3, 1.5)
    found = fit_law(OFFSET, X, truth, starts=[[np.log(5), 0.3, np.log(1.5)]])
    assert found.objective < 1e-30  # squares of rounding
    assert found.theta == pytest.approx([np.log(5), 0.3, np.log(1.5)], rel=1e-12)


def test_no_start_ever_gets_worse():
    rng, logs, y = np.random.default_rng(0), columns(N, D), np.log(noisy_losses())
    theta = rng.normal(size=(50, 5)) * [3, 1, 3, 1, 1]
    before = huber(y - JOINT.log_loss(theta, logs)[0], 1e-3).mean(-1)
    assert np.all(descend(JOINT, theta, logs, y[None], steps=20)[1] <= before)


def test_huber_is_square_near_zero_straight_beyond_and_smooth_between():
    assert huber(np.array([0.5, -3.0]), 1.0).tolist() == [0.125, 2.5]  # 0.5^2/2;  1 (3 - 1/2)
    slope = [(huber(1 + h, 1.0) - huber(1.0, 1.0)) / h for h in (1e-7, -1e-7)]
    assert slope == pytest.approx([1, 1], abs=1e-6)


def test_weights_are_repetitions():
    y, logs = np.log(noisy_losses()), columns(N, D)
    times, start = np.arange(len(N)) % 3, np.array([[5.0, 0.3, 5.0, 0.3, 0.5]])
    repeated = descend(
        JOINT, start, np.repeat(logs, times, axis=0), np.repeat(y, times)[None], np.inf
    )
    weighted = descend(JOINT, start, logs, y[None], np.inf, weights=times[None].astype(float))
    assert weighted[1] == pytest.approx(repeated[1], rel=1e-9)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ConfigError, match="4 runs cannot determine 5 numbers"):
        fit_law(JOINT, (N[:4], D[:4]), np.ones(4))
    for losses in -np.ones(len(X)), np.zeros(len(X)), np.ones(len(X) - 1), np.ones((len(X), 1)):
        with pytest.raises(ShapeError, match="one positive loss for each"):
            fit_law(POWER, X, losses)
    # Two runs are enough for two numbers: the line through two points.
    two = fit_law(POWER, np.array([1.0, 100.0]), np.array([5.0, 0.5]))
    assert two.numbers == pytest.approx({"A": 5, "alpha": 0.5}, rel=1e-6)
    with pytest.raises(ShapeError, match="must be positive"):
        columns([1.0, 0.0])
    with pytest.raises(ShapeError, match="one number for each run"):
        columns([1.0, 2.0], [1.0, 2.0, 3.0])
