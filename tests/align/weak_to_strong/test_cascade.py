"""The small model first, the large one where that is not good enough."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.weak_to_strong import Cascade, curve, expected_cost
from tinylm.errors import ConfigError, ShapeError

CONFIDENCE = {"a": 0.9, "b": 0.5, "c": 0.2}


def small(inputs):
    return [f"small {x}" for x in inputs], [CONFIDENCE[x] for x in inputs]


class Large:
    def __init__(self):
        self.read = []

    def __call__(self, inputs):
        self.read += inputs
        return [f"large {x}" for x in inputs]


def run(threshold, **options):
    large = Large()
    return Cascade(small, large, threshold, **options).predict("abc"), large.read


def test_what_the_small_model_is_unsure_of_goes_to_the_large_one():
    found, read = run(0.5, costs=(1, 20))
    assert found.answers == ["small a", "small b", "large c"]
    assert found.deferred.tolist() == [False, False, True]  # the threshold itself is kept
    assert read == ["c"] and found.cost == 3 * 1 + 1 * 20
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.cost = 0


def test_threshold_zero_is_the_small_model_and_above_one_the_large():
    found, read = run(0.0)
    assert found.answers == ["small a", "small b", "small c"] and read == [] and found.cost == 3
    found, read = run(1.01)
    assert found.answers == ["large a", "large b", "large c"] and found.cost == 3 + 30


def test_the_expected_cost_is_that_of_the_run():
    found, _ = run(0.6, costs=(2, 5))
    assert found.cost / 3 == pytest.approx(expected_cost((2, 5), 2 / 3)) == pytest.approx(16 / 3)
    for share in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            expected_cost((1, 2), share)
    assert expected_cost((1, 2), 0) == 1 and expected_cost((1, 2), 1) == 3


def test_the_curve_has_every_accuracy_and_cost():
    confidences = [0.9, 0.5, 0.2, 0.5]
    small_right, large_right = [True, False, False, True], [True, True, True, False]
    found = curve(confidences, small_right, large_right, costs=(1, 4))
    # below .2: the small model alone; .5: one of four is passed on; .9: three; then all
    assert found == [
        (0.0, 2 / 4, 1.0),
        (0.5, 3 / 4, 1 + 4 * 1 / 4),
        (0.9, 3 / 4, 1 + 4 * 3 / 4),
        (np.inf, 3 / 4, 1 + 4),
    ]
    assert curve([0.5], [True], [True])[-1][2] == 11.0  # costs 1 and 10 unless given


def test_a_point_of_the_curve_is_the_cascade_with_its_threshold():
    right = [x == "a" for x in "abc"]
    for threshold, accuracy, cost in curve(list(CONFIDENCE.values()), right, [True] * 3):
        found, _ = run(threshold)
        gold = [answer.startswith("large") or answer == "small a" for answer in found.answers]
        assert np.mean(gold) == accuracy
        assert found.cost / 3 == pytest.approx(cost)


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="costs -1"):
        Cascade(small, small, 0.5, costs=(-1, 2))
    with pytest.raises(ConfigError, match="costs 1 and -2"):
        expected_cost((1, -2), 0.5)
    assert Cascade(small, small, 0.5, costs=(0, 0)).costs == (0, 0)
    with pytest.raises(ShapeError, match="2 answers and 3 confidences"):
        Cascade(lambda xs: (["a", "b"], [1, 1, 1]), small, 0.5).predict("abc")
    for count in (1, 3):
        with pytest.raises(ShapeError, match=f"{count} answers of the large model for 2 inputs"):
            Cascade(small, lambda xs, n=count: ["yes"] * n, 0.6).predict("abc")
    with pytest.raises(ShapeError, match="three times"):
        curve([0.5], [True, False], [True])
    assert Cascade(small, Large(), 0.5).predict("").answers == []
