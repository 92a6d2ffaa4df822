"""Sizes of published sets of instructions, as the book gives them."""

import pytest

from tinylm.align.selection.published_sets import SETS
from tinylm.errors import ConfigError

FLAN, LIMA = SETS


def test_many_tasks_with_many_samples_each():
    assert (FLAN.name, FLAN.tasks, FLAN.samples) == ("FLAN", 1836, 15_000_000)
    assert FLAN.samples_per_task == pytest.approx(8169.9, abs=0.05)  # 15,000,000 / 1,836


def test_a_thousand_samples_are_one_of_fifteen_thousand():
    assert (LIMA.name, LIMA.samples) == ("LIMA", 1000)
    assert FLAN.samples / LIMA.samples == 15_000
    with pytest.raises(ConfigError, match="the tasks of LIMA were not counted"):
        LIMA.samples_per_task  # noqa: B018
