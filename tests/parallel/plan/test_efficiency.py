"""When more workers help: closed forms against brute force and drawn delays."""

import numpy as np
import pytest

from tinylm.parallel.plan.efficiency import (
    break_even_work,
    data_parallel_seconds,
    efficiency,
    harmonic,
    most_useful_workers,
    ring_seconds,
    straggler_seconds,
)


def test_ideal_speed_up_is_efficiency_one():
    assert efficiency(12.0, 3.0, 4) == 1
    assert efficiency(12.0, 6.0, 4) == 0.5


def test_a_ring_by_hand():
    # 4 workers: 6 messages of 25 bytes, each 2 s of latency and 25 / 5 s of sending
    assert ring_seconds(4, 100, 2, 5) == 6 * (2 + 5)
    assert ring_seconds(1, 100, 2, 5) == 0


def test_without_communication_throughput_is_linear():
    for n in (1, 2, 7, 64):
        T = data_parallel_seconds(n, 10.0, 0, 0, 1)
        assert efficiency(10.0, T, n) == pytest.approx(1)


@pytest.mark.parametrize("work, size, latency, rate", [(10, 5, 1e-3, 10), (100, 1, 1e-4, 1)])
def test_the_best_number_of_workers_is_found_by_trying_all(work, size, latency, rate):
    n = np.arange(1, 2000)
    seconds = data_parallel_seconds(n, work, size, latency, rate)
    assert abs(n[np.argmin(seconds)] - most_useful_workers(work, size, latency, rate)) <= 1
    # beyond it the gain is eaten: more workers are slower
    assert np.all(np.diff(seconds[int(most_useful_workers(work, size, latency, rate)) + 1 :]) > 0)


def test_where_gradients_take_half_the_work_no_second_worker_pays():
    assert most_useful_workers(1.0, 0.6, 1e-3, 1) == 1
    assert data_parallel_seconds(2, 1.0, 0.6, 1e-3, 1) > 1


def test_at_the_break_even_work_n_workers_take_as_long_as_one():
    for n in (2, 8, 100):
        work = break_even_work(n, 50, 0.01, 10)
        assert data_parallel_seconds(n, work, 50, 0.01, 10) == pytest.approx(work, rel=1e-12)
        assert data_parallel_seconds(n, 1.01 * work, 50, 0.01, 10) < 1.01 * work


def test_the_slowest_of_n_exponential_delays():
    assert harmonic(4) == pytest.approx(25 / 12)
    rng = np.random.default_rng(0)
    drawn = 5 + rng.exponential(2, (20_000, 16)).max(axis=1)
    assert straggler_seconds(16, 5, 2) == pytest.approx(
        drawn.mean(), abs=4 * drawn.std() / 20_000**0.5
    )
    assert straggler_seconds(1, 5, 2) == 7
