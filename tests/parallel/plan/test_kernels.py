"""Products by shape: waves of tiles counted by hand, limits of the roofline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.kernels import matrix_rate, memory_seconds, product_seconds, waves

A100 = MACHINES["a100"]
WHOLE = Constants(matrix=1.0, matrix_hopper=1.0, memory=1.0)


def test_waves_by_hand():
    # 4096 x 4096 in tiles of 256 x 128: 16 * 32 = 512 tiles, 4.74 times 108
    assert waves(4096, 4096, (256, 128), 108) == 5
    assert waves(257, 128, (256, 128), 108) == 1  # two tiles
    assert waves(256, 128, (256, 128), 108, batch=109) == 2  # the last wave has one tile


def test_a_product_that_fills_its_waves_runs_at_the_peak():
    # 27 * 256 rows and 4 * 128 columns are 108 tiles: one full wave, and 2 M N K operations
    M, N, K = 27 * 256, 4 * 128, 8192
    assert product_seconds(M, N, K, A100, WHOLE) == pytest.approx(2 * M * N * K / 312e12, rel=1e-12)


def test_one_more_tile_costs_at_most_a_wave():
    full = product_seconds(27 * 256, 512, 8192, A100, WHOLE)
    more = product_seconds(27 * 256 + 1, 512, 8192, A100, WHOLE)
    assert full < more <= 2 * full


@given(st.integers(1, 8192), st.integers(1, 8192), st.integers(1, 8192), st.integers(1, 64))
def test_no_product_is_faster_than_its_operations_or_its_bytes(M, N, K, batch):
    seconds = product_seconds(M, N, K, A100, WHOLE, batch)
    assert seconds >= 2 * M * N * K * batch / 312e12 * (1 - 1e-12)
    assert seconds >= 2 * batch * (M * K + K * N + M * N) / 2.039e12 * (1 - 1e-12)


def test_thin_products_are_bound_by_memory():
    # eight rows: each of 1024 * 65536 weights of 2 bytes is read for 16 operations
    traffic = 2 * (8 * 1024 + 1024 * 65536 + 8 * 65536)
    assert product_seconds(8, 65536, 1024, A100, WHOLE) == pytest.approx(traffic / 2.039e12)


def test_constants_scale_what_they_name():
    half = Constants(matrix=0.5, matrix_hopper=0.25, memory=0.5)
    assert matrix_rate(A100, half) == 156e12
    assert matrix_rate(MACHINES["h100"], half) == pytest.approx(989.4e12 / 4)
    assert memory_seconds(2.039e12, A100, half) == 2
    big = 8192, 8192, 8192
    assert product_seconds(*big, A100, half) == 2 * product_seconds(*big, A100, WHOLE)
    assert product_seconds(*big, A100, WHOLE, speedup=2) == product_seconds(*big, A100, WHOLE) / 2
