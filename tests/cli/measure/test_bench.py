"""`tinylm bench` compares times of the same work alone."""

from types import SimpleNamespace

import pytest

from tinylm.cli.measure.bench import _row, same_work, table


def contestant(label, seconds, values):
    return SimpleNamespace(label=label, seconds=seconds, values=values, shares=[0.25], job={})


REFERENCE = contestant("torch", [2.0, 3.0, 4.0], [5.0, 4.0, 3.0, 9.0])
PEAKS = {"torch": 2**20, "tinylm": 2**21}


def test_ratios_are_those_of_each_round():
    row = _row(contestant("tinylm", [1.0, 6.0, 2.0], [5.0, 4.0, 3.0, 1.0]), REFERENCE, PEAKS)
    assert (row["ratio_min"], row["ratio_median"], row["ratio_max"]) == (0.5, 2.0, 2.0)
    assert row["seconds"] == 2.0 and row["memory_ratio"] == 2.0
    assert row["communication"] == 0.25
    assert row["apart"] == 0 and row["values"] == [5.0, 4.0, 3.0]  # the first three alone


@pytest.mark.parametrize(
    "values, same",
    [
        ([5.0, 4.0, 3.0], True),
        ([5.0, 4.0 + 0.9e-4, 3.0], True),
        ([5.0, 4.0, 3.0 - 1.1e-4], False),
        ([5.0, float("nan"), 3.0], False),
        ([5.0, 4.0, float("inf")], False),
    ],
)
def test_other_losses_are_other_work(values, same):
    row = _row(contestant("tinylm", [1.0] * 3, values), REFERENCE, PEAKS)
    assert same_work(row) == same
    reference = _row(REFERENCE, REFERENCE, PEAKS)
    result = {"work": "W1", "kind": "training", "skipped": {"x": "gone"}}
    lines = table(result | {"contestants": [reference, row]})
    assert ("tinylm: NOT THE SAME WORK" in lines) != same and "  x: left out (gone)" in lines
