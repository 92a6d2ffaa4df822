"""Tiled products: the product, whatever the tiles, and the traffic of the formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, ShapeError
from tinylm.parallel.tiled_matmul import tiled_matmul

sizes, tiles = st.integers(1, 9), st.integers(1, 5)


@given(m=sizes, k=sizes, n=sizes, R=tiles, S=tiles, r=tiles, s=tiles, depth=tiles)
def test_it_is_the_product_with_the_traffic_of_the_formula(m, k, n, R, S, r, s, depth):
    rng = np.random.default_rng(m * 10 + n)
    a, b = rng.integers(-9, 9, (m, k)).astype(float), rng.integers(-9, 9, (k, n)).astype(float)
    c, traffic = tiled_matmul(a, b, (R, S), (r, s), depth)
    np.testing.assert_array_equal(c, a @ b)
    assert traffic.read == m * k * -(-n // S) + k * n * -(-m // R)
    assert traffic.written == m * n
    # tiles of threads: every full or ragged tile of C on its own
    widths = [min(S, n - j) for j in range(0, n, S)]
    heights = [min(R, m - i) for i in range(0, m, R)]
    columns, rows = (sum(-(-w // t) for w in all_) for all_, t in ((widths, s), (heights, r)))
    assert traffic.shared == m * k * columns + k * n * rows


def test_a_tile_of_all_reads_once_and_a_tile_of_one_every_time():
    a, b = np.ones((6, 4)), np.ones((4, 8))
    assert tiled_matmul(a, b, (6, 8), (6, 8), 4)[1].read == 6 * 4 + 4 * 8
    assert tiled_matmul(a, b, (1, 1), (1, 1), 1)[1].read == 2 * 6 * 4 * 8


def test_tiles_are_of_64_and_8_unless_given():
    _, traffic = tiled_matmul(np.ones((130, 1)), np.ones((1, 130)))
    # 130 = 64 + 64 + 2: three strips, and 8 + 8 + 1 of the threads
    assert traffic.read == 2 * 130 * 3 and traffic.shared == 2 * 130 * 17


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="do not fit"):
        tiled_matmul(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ConfigError, match="at least 1"):
        tiled_matmul(np.ones((2, 3)), np.ones((3, 2)), (0, 1))
