"""Pipelines: the book's table of bubbles, and a schedule played event by event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.parallel.plan.pipeline import bubble, schedule_seconds


@pytest.mark.parametrize(
    "stages, micro_batches, idle",
    [(4, 1, 0.75), (4, 3, 0.5), (4, 8, 0.2727), (4, 32, 0.0857), (8, 3, 0.7), (8, 32, 0.1795)],
)
def test_bubbles_of_the_book(stages, micro_batches, idle):
    assert bubble(stages, micro_batches) == pytest.approx(idle, abs=5e-5)


def test_idle_time_over_all_time_is_the_bubble():
    u, m, p = 3.0, 10, 4
    whole = schedule_seconds(u, p * u, m)
    assert whole == (m + p - 1) * u
    assert 1 - m * u / whole == pytest.approx(bubble(p, m))


def test_interleaving_divides_filling_and_draining():
    # Narayanan et al. 2021: (p - 1) / (v m) of the ideal time
    u, m, p, v = 1.0, 8, 4, 2
    whole = schedule_seconds(u, p * u, m, v)
    assert whole / (m * u) - 1 == (p - 1) / (v * m)
    assert 1 - m * u / whole == pytest.approx(bubble(p, m, v))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 9))
def test_unequal_stages_take_what_playing_them_takes(stages, micro_batches):
    # Forward passes one after another: a stage begins when it is free and the one below is done.
    done = [0] * len(stages)
    for _ in range(micro_batches):
        before = 0
        for i, seconds in enumerate(stages):
            done[i] = before = max(before, done[i]) + seconds
    assert schedule_seconds(max(stages), sum(stages), micro_batches) == done[-1]
