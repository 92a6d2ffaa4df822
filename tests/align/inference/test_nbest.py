"""Diversity of lists, and what temperature does to the best of n."""

import numpy as np
import pytest

from tinylm.align.inference import (
    expected_best,
    expected_distinct,
    joined_lists,
    list_diversity,
    temperature_sweep,
    tempered,
)


def test_diversity_of_a_list():
    """Pairs: one of two words differs, equal, one of two differs: (1/2 + 0 + 1/2) / 3."""
    found = list_diversity([(1, 2), (1, 3), (1, 2)])
    assert found.distinct == pytest.approx(2 / 3) and found.count == 3
    assert found.distance == pytest.approx((0.5 + 0.0 + 0.5) / 3)
    assert list_diversity([(1,), (2, 3)]).distance == 1.0
    alone = list_diversity([(1, 2)])
    assert alone.distinct == 1 and alone.distance == 0
    assert list_diversity([]).count == 0


def test_lists_of_several_models_are_joined_by_rank():
    assert joined_lists([["a", "b", "c"], ["b", "d"]]) == ["a", "b", "d", "c"]
    assert joined_lists([[], ["x"]]) == ["x"] and joined_lists([]) == []


def test_temperature_flattens_a_law():
    p = np.array([0.5, 0.3, 0.2, 0.0])
    np.testing.assert_allclose(tempered(p, 1.0), p, atol=1e-15)
    np.testing.assert_allclose(tempered(p, 1e9), [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-8)
    np.testing.assert_allclose(tempered(p, 0.5), np.array([25, 9, 4, 0]) / 38, atol=1e-15)
    np.testing.assert_allclose(tempered(p, 1e-3)[0], 1)


def test_expected_number_of_different_samples():
    """Two coins: equal with probability 1/2, so 1.5 different."""
    assert expected_distinct([0.5, 0.5], 2) == pytest.approx(1.5)
    assert expected_distinct([1.0, 0.0], 9) == pytest.approx(1)
    assert expected_distinct(np.full(4, 0.25), 1) == pytest.approx(1)


def test_a_sweep_trades_quality_for_diversity():
    """Rewards grow with probability but for one rare good response: warmer lists find it."""
    p, rewards = np.array([0.6, 0.25, 0.1, 0.05]), np.array([2.0, 1.0, 0.0, 5.0])
    rows = temperature_sweep(p, rewards, 4, [0.5, 1.0, 2.0])
    assert [row["temperature"] for row in rows] == [0.5, 1.0, 2.0]
    assert rows[1]["best"] == pytest.approx(expected_best(p, rewards, 4))
    assert rows[1]["mean"] == pytest.approx(p @ rewards)
    assert rows[1]["distinct"] == pytest.approx(expected_distinct(p, 4))
    assert rows[0]["distinct"] < rows[1]["distinct"] < rows[2]["distinct"]
    assert rows[0]["best"] < rows[1]["best"] < rows[2]["best"]
