"""Functions are drawn as their class is defined, and prompts as the curriculum wants them."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.prompt.in_context.function_classes import (
    CLASSES,
    Curriculum,
    decision_tree,
    linear,
    orthogonal_query,
    prompts,
    sparse_linear,
    two_layer_relu,
)


def axes(rows, d, scale=1.0):
    """The unit vectors as points, the same for all rows: (rows, d, d)."""
    return np.broadcast_to(scale * np.eye(d), (rows, d, d))


def test_every_row_has_a_function_of_its_own():
    for function_class in CLASSES.values():
        f = function_class(3, 5, Random(0))
        x = np.random.default_rng(0).normal(size=(1, 6, 5))
        values = f(np.repeat(x, 3, axis=0))
        assert values.shape == (3, 6) and len(np.unique(values[:, 0])) == 3
        assert np.array_equal(f(np.repeat(x, 3, axis=0)), values)


def test_linear_functions():
    f = linear(4000, 2, Random(1))
    w = f(axes(4000, 2))  # the values at unit vectors are the weights
    x = np.random.default_rng(0).normal(size=(4000, 3, 2))
    assert np.allclose(f(x), np.einsum("rkd,rd->rk", x, w))
    # mean of 8000 squares of N(0, 1): standard error sqrt(2 / 8000) = 0.016
    assert abs((w**2).mean() - 1) < 0.07


def test_sparse_functions_have_three_weights_anywhere():
    w = sparse_linear(2000, 6, Random(0))(axes(2000, 6))
    assert (np.count_nonzero(w, axis=1) == 3).all()
    # each coordinate in half of the rows: standard error 0.011
    assert (abs((w != 0).mean(axis=0) - 0.5) < 0.05).all()
    assert (np.count_nonzero(sparse_linear(5, 6, Random(0), 6)(axes(5, 6)), axis=1) == 6).all()
    assert (np.count_nonzero(sparse_linear(5, 6, Random(0), 1)(axes(5, 6)), axis=1) == 1).all()
    with pytest.raises(ConfigError, match="7 nonzero weights of 6"):
        sparse_linear(1, 6, Random(0), 7)
    with pytest.raises(ConfigError, match="0 nonzero"):
        sparse_linear(1, 6, Random(0), 0)


def test_networks_are_piecewise_linear_with_the_variance_of_their_width():
    f = two_layer_relu(3000, 4, Random(0), hidden=30)
    x = np.random.default_rng(0).normal(size=(3000, 1, 4))
    values = f(np.concatenate([x, 2 * x, -x, 0 * x], axis=1))
    assert np.allclose(values[:, 1], 2 * values[:, 0]) and (values[:, 3] == 0).all()
    assert not np.allclose(values[:, 2], -values[:, 0])  # relu is not linear
    # E f^2 = r (2/r) E relu(w.x)^2 = 2 |x|^2 / 2, and E |x|^2 = d = 4
    assert abs((values[:, 0] ** 2).mean() / 4 - 1) < 0.15
    rng = Random(5)
    w, a = rng.normal((2, 3, 100), np.float64), rng.normal((2, 100), np.float64) / 50**0.5
    by_hand = np.einsum("rdh,rh->rd", np.maximum(w, 0), a)  # at the unit vectors
    assert np.allclose(two_layer_relu(2, 3, Random(5))(axes(2, 3)), by_hand)


def test_trees_look_at_signs_of_few_coordinates():
    f = decision_tree(200, 20, Random(0))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 300, 20))
    values = f(x)
    # Signs decide, so sizes do not matter; 16 leaves have at most 16 values.
    assert np.array_equal(f(x * rng.uniform(0.1, 9, x.shape)), values)
    counts = [len(np.unique(row)) for row in values]
    assert max(counts) == 16 and min(counts) > 4
    # A path has 4 coordinates: changing the others changes nothing, so most single changes do not.
    changed = np.mean(f(np.where(np.arange(20) == 7, -x, x)) != values)
    assert 0 < changed <= 4 / 20 + 0.05
    two = decision_tree(50, 3, Random(1), depth=1)
    assert max(len(np.unique(row)) for row in two(x[:50, :, :3])) == 2
    # The value is that of the leaf to the right of a positive coordinate.
    alone = decision_tree(1, 1, Random(2), depth=2)
    below, at, above = alone(np.array([[[-1.0], [0.0], [1.0]]]))[0]
    assert below == at != above


def test_a_prompt_is_examples_of_one_function():
    x, y = prompts(linear, 50, 7, 4, seed=3)
    w = np.linalg.pinv(x) @ y[..., None]
    assert x.shape == (50, 7, 4) and np.allclose((x @ w)[..., 0], y)
    assert np.array_equal(prompts(linear, 50, 7, 4, seed=3)[0], x)
    assert not np.array_equal(prompts(linear, 50, 7, 4)[0], x)
    few, _ = prompts(linear, 2, 7, 4, active=3)
    assert (few[..., 3:] == 0).all() and (few[..., :3] != 0).all()
    noise = prompts(linear, 50, 7, 4, seed=3, noise=0.5)[1] - y
    rng = Random(3, "functions")
    rng.normal((50, 7, 4), np.float64)
    linear(50, 4, rng)
    assert np.allclose(noise, 0.5 * rng.normal((50, 7), np.float64))  # drawn after all else


def test_an_orthogonal_query_has_nothing_of_the_examples():
    rng = np.random.default_rng(0)
    x, query = rng.normal(size=(5, 3, 4)), rng.normal(size=(5, 4))
    found = orthogonal_query(x, query)
    assert np.allclose(x @ found[..., None], 0, atol=1e-12)
    assert np.allclose((found**2).sum(1), (query**2).sum(1))
    assert ((found * query).sum(1) > 0).all()
    with pytest.raises(ConfigError, match="4 examples leave no direction free in 4"):
        orthogonal_query(rng.normal(size=(5, 4, 4)), query)


def test_the_curriculum_of_the_paper():
    plan = Curriculum()
    assert [plan.active(step) for step in (0, 1999, 2000, 29_999, 30_000, 90_000)] == [
        *(5, 5, 6, 19, 20, 20),
    ]
    assert plan.points(0) == 11 and plan.points(90_000) == 41
    assert Curriculum(3, 3, 1).active(5) == 3 and Curriculum(3, 1, 1).active(1) == 2
    for wrong in ((3, 4, 1), (3, 0, 1), (3, 3, 0)):
        with pytest.raises(ConfigError, match="start must be from 1 to d"):
            Curriculum(*wrong)
