"""An expression is read, never run; names become arrays of fitting shapes."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, ShapeError
from tinylm.explore.formula import Formula, given_arrays


@pytest.mark.parametrize(
    "text, shapes",
    [
        ("sum(tanh(x @ w + b) ** 2)", {"x": (2, 3), "w": (3, 2), "b": (2,)}),
        ("sum(b + x @ w)", {"x": (2, 3), "w": (3, 2), "b": (2,)}),
        ("x * x", {"x": ()}),
        ("mean(x)", {"x": (3,)}),
        ("sum(relu(x @ v) @ u)", {"x": (2, 3), "v": (3, 2), "u": (2, 2)}),
    ],
)
def test_drawn_arrays_fit_where_they_stand(text, shapes):
    formula = Formula(text)
    formula.run()
    assert {name: leaf.shape for name, leaf in formula.leaves.items()} == shapes


def test_the_value_is_that_of_numpy():
    given = {"x": [[1, -2], [0.5, 3]], "w": [[2, 1], [0, -1]], "c": 0.25}
    found = Formula("sum(tanh(x @ w.T) / c - -x ** 2)", given).run().item()
    x, w = np.array(given["x"]), np.array(given["w"])
    assert found == pytest.approx((np.tanh(x @ w.T) / 0.25 - -(x**2)).sum(), rel=1e-14)


def test_the_same_seed_draws_the_same_and_another_draws_others():
    a, b, c = (Formula("sum(x @ y)", seed=seed) for seed in (1, 1, 2))
    values = [(f.run(), f.leaves["x"].data)[1] for f in (a, b, c)]
    np.testing.assert_array_equal(values[0], values[1])
    assert (values[0] != values[2]).any()


@pytest.mark.parametrize(
    "text, match",
    [
        ("__import__('os').system('true')", "not among the functions"),
        ("x.__class__", "not understood"),
        ("(lambda: 1)()", "not among"),
        ("[x for x in y]", "not understood"),
        ("x @", "no expression"),
        ("sum(x", "no expression"),
        ("", "no expression"),
        ("x", "no operation"),
        ("3 + 4", "no operation"),
        ("sum(x, axis=y)", "axis is a number"),
        ("sum(x, dtype=1)", "no option dtype"),
        ("sum()", "needs an argument"),
        ("exp(x, y)", "exp"),
        ("x" + " + x" * 200, "at most"),
        ("-" * 60 + "x", "levels"),
        ("'a' * x", "not understood"),
    ],
)
def test_anything_else_is_refused_by_name(text, match):
    with pytest.raises(ConfigError, match=match):
        Formula(text).run()


def test_shapes_that_do_not_fit_name_the_operation():
    with pytest.raises(ShapeError, match="matmul"):
        Formula("sum(x @ w)", {"x": [[1, 2]], "w": [[1, 2]]}).run()


def test_arrays_are_given_as_name_and_numbers():
    assert given_arrays(("x=[[1, 2]]", "b = 0.5")) == {"x": [[1, 2]], "b": 0.5}
    for word in ("x", "=1", "x=[1,", "1x=3"):
        with pytest.raises(ConfigError, match="array"):
            given_arrays((word,))


@pytest.mark.parametrize("value", [[[1], [2, 3]], "no", [[[1]]], [], list(range(99))])
def test_an_array_that_cannot_be_shown_is_refused(value):
    with pytest.raises(ConfigError, match="array x"):
        Formula("sum(x)", {"x": value})


def test_an_array_that_does_not_occur_is_refused():
    with pytest.raises(ConfigError, match="y is given"):
        Formula("x * x", {"y": 1}).run()
