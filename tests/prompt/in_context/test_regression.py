"""The known methods that predict a value from examples, on problems whose answer is exact."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.in_context.function_classes import linear, orthogonal_query, prompts
from tinylm.prompt.in_context.regression import (
    DESCENTS,
    METHODS,
    STRENGTHS,
    along,
    averaging,
    closest,
    descent,
    least_squares,
    nearest,
    prediction_difference,
    ridge,
    tuned_methods,
)

ALL = {
    "least squares": least_squares,
    "ridge": ridge(0.5),
    "nearest": nearest(),
    "averaging": averaging,
    "descent": descent(20, 0.3),
}


def test_least_squares_is_exact_from_d_examples_on():
    x, y = prompts(linear, 40, 8, 4)
    errors = prediction_difference(along(least_squares, x, y), y)
    assert (errors[4:] < 1e-18).all() and (errors[:4] > 0.1).all()
    # The shortest solution knows k of d directions: its error is the rest of |w|^2 = d, d - k.
    x, y = prompts(linear, 6000, 5, 4)
    errors = prediction_difference(along(least_squares, x, y), y)
    assert np.allclose(errors[:4], [4, 3, 2, 1], atol=0.25)  # standard error at most 4 sqrt(8/6000)


def test_without_examples_every_prediction_is_zero():
    x, y = prompts(linear, 3, 1, 4)
    for predictor in ALL.values():
        assert np.array_equal(along(predictor, x, y), np.zeros((3, 1)))


def test_ridge_is_the_posterior_mean():
    sigma, tau, rng = 0.6, 1.5, np.random.default_rng(0)
    x, y, query = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    found = ridge(sigma**2 / tau**2)(x, y, query)
    for b in range(2):
        # (y, f) are jointly normal: E[f | y] = cov(f, y) cov(y)^-1 y
        covariance = tau**2 * x[b] @ x[b].T + sigma**2 * np.eye(3)
        expected = tau**2 * query[b] @ x[b].T @ np.linalg.solve(covariance, y[b])
        assert np.isclose(found[b], expected)


def test_with_noise_the_right_ridge_is_best():
    x, y = prompts(linear, 4000, 6, 3, noise=1.0, seed=1)
    errors = {
        strength: prediction_difference(along(ridge(strength), x, y), y)[-1]
        for strength in (0.1, 1.0, 10.0)
    }
    assert min(errors, key=errors.get) == 1.0
    plain = prediction_difference(along(least_squares, x, y), y)[-1]
    assert plain > errors[1.0]
    x, y = x[:20], y[:20]  # a few, none of which is close to singular
    small = along(ridge(1e-9), x, y)
    assert np.allclose(small[:, 4:], along(least_squares, x, y)[:, 4:], atol=1e-4)
    with pytest.raises(ConfigError, match="strength 0 must be positive"):
        ridge(0)


def test_nearest_examples_are_averaged():
    x = np.array([[[0.0], [1.0], [2.0], [9.0]]])
    y = np.array([[1.0, 2.0, 6.0, 100.0]])
    assert nearest()(x, y, np.array([[0.9]])).tolist() == [3.0]
    assert nearest(1)(x, y, np.array([[0.9]])).tolist() == [2.0]
    assert nearest(3)(x[:, :2], y[:, :2], np.array([[7.0]])).tolist() == [1.5]


def test_averaging_and_descent_go_from_zero_to_least_squares():
    x, y = prompts(linear, 10, 6, 3)
    query = np.random.default_rng(0).normal(size=(10, 3))
    by_hand = ((y[..., None] * x).mean(axis=1) * query).sum(axis=1)
    assert np.allclose(averaging(x, y, query), by_hand)
    assert np.allclose(descent(1, 0.2)(x, y, query), 0.2 * by_hand)
    assert np.allclose(descent(4000, 0.3)(x, y, query), least_squares(x, y, query), atol=1e-6)


def test_of_a_direction_that_no_example_has_linear_methods_know_nothing():
    x, y = prompts(linear, 10, 3, 5)
    query = orthogonal_query(x, np.random.default_rng(0).normal(size=(10, 5)))
    for name in ("least squares", "ridge", "averaging", "descent"):
        assert np.allclose(ALL[name](x, y, query), 0, atol=1e-12)
    assert not np.allclose(ALL["nearest"](x, y, query), 0)


def test_a_model_is_nearest_to_the_method_that_it_computes():
    x, y = prompts(linear, 30, 6, 3, noise=0.3)
    for name, predictor in ALL.items():
        names, found = closest(along(predictor, x, y), ALL, x, y)
        assert names[1:] == [name] * 5 and np.allclose(found[name], 0, atol=1e-20)
        assert all(found[other][3] > 1e-6 for other in set(ALL) - {name})
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(3, 2\)"):
        prediction_difference(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match=r"\(2,\) and \(2,\)"):
        prediction_difference(np.zeros(2), np.zeros(2))


def test_settings_are_those_with_the_least_error_on_the_prompts():
    x, y = prompts(linear, 200, 7, 4, seed=3)
    tuned = tuned_methods(x, y)
    assert tuple(tuned) == METHODS

    def error(predictor):
        return prediction_difference(along(predictor, x, y), y).mean()

    assert error(tuned["ridge"]) == min(error(ridge(one)) for one in STRENGTHS)
    assert error(tuned["descent"]) == min(error(descent(*one)) for one in DESCENTS)
    assert error(tuned["ridge"]) < max(error(ridge(one)) for one in STRENGTHS)
    assert error(tuned["descent"]) < max(error(descent(*one)) for one in DESCENTS)


def test_with_noise_ridge_has_the_strength_of_the_posterior():
    x, y = prompts(linear, 50, 7, 4, seed=3, noise=1.5)
    found = along(tuned_methods(x, y, 1.5)["ridge"], x, y)
    np.testing.assert_array_equal(found, along(ridge(2.25), x, y))
