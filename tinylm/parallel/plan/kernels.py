"""Seconds of one operation on one GPU: matrix products by shape, and work bound by memory.

A product is cut into tiles of its output, and the multiprocessors take them in waves; the last wave
is as long as a full one, however few tiles it has. Of several tile sizes the fastest is taken, as
libraries do: large tiles reuse more of what they read, small ones leave less of a wave empty. No
product is faster than its operands and result pass through memory. Read next: layer.py.
"""

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import Hardware

# (rows, columns) of a tile, and its rate relative to the largest. The sizes are those of CUTLASS; a
# tile of m x n reads (m + n) / m n numbers for each multiplication, and the rates keep that order.
TILES = (
    (256, 128, 1.00),
    (128, 256, 1.00),
    (128, 128, 0.95),
    (256, 64, 0.90),
    (64, 256, 0.90),
    (128, 64, 0.85),
    (64, 64, 0.70),
)
HALF = 2  # bytes of a number in 16 bits


def waves(
    rows: ArrayLike,
    columns: ArrayLike,
    tile: tuple[int, int, float],
    units: int,
    batch: ArrayLike = 1,
) -> np.ndarray | float:
    """Rounds of tiles that a product takes on `units` multiprocessors."""
    tiles = np.ceil(rows / tile[0]) * np.ceil(columns / tile[1]) * batch
    return np.ceil(tiles / units)


def matrix_rate(hardware: Hardware, constants: Constants) -> float | np.ndarray:
    """Operations a second of a large product: the peak times the constant of its generation."""
    share = np.where(
        np.asarray(hardware.generation) >= 9, constants.matrix_hopper, constants.matrix
    )
    return hardware.peak * share


def product_seconds(
    rows: ArrayLike,
    columns: ArrayLike,
    inner: ArrayLike,
    hardware: Hardware,
    constants: Constants,
    batch: ArrayLike = 1,
    speedup: ArrayLike = 1,
) -> np.ndarray | float:
    """Seconds of `batch` products (rows, inner) @ (inner, columns) in 16 bits.

    speedup  2 where the operands have 8 bits, and the rate doubles
    """
    rate = matrix_rate(hardware, constants) * speedup
    best = np.inf
    for tile in TILES:
        # 2 m n K operations a tile, and each multiprocessor has its share of the rate.
        work = 2 * tile[0] * tile[1] * inner * hardware.units / (rate * tile[2])
        best = np.minimum(best, waves(rows, columns, tile, hardware.units, batch) * work)
    traffic = HALF * batch * (rows * inner + inner * columns + rows * columns)
    return np.maximum(best, memory_seconds(traffic, hardware, constants))


def memory_seconds(
    traffic: ArrayLike, hardware: Hardware, constants: Constants
) -> np.ndarray | float:
    """Seconds in which `traffic` bytes pass between device memory and the multiprocessors."""
    return traffic / (hardware.bandwidth * constants.memory)
