"""Products that were prepared are those of the matrix."""

import numpy as np
import pytest

from tinylm.models.low_bit import prepared, quantized
from tinylm.models.low_bit.prepared import Prepared, Room
from tinylm.models.low_bit.quantized import QuantizedMatrix

# 3 groups are odd, so that 4 bits are filled up; with tiles of 2^12 numbers the second has several
# tiles of rows, and the last several tiles of groups.
SHAPES = [(7, 96), (600, 96), (40, 576)]


@pytest.fixture
def small_tiles(monkeypatch):
    for module in (quantized, prepared):
        monkeypatch.setattr(module, "TILE", 1 << 12)
        monkeypatch.setattr(module, "BYTES", 1 << 10)
    monkeypatch.setattr(QuantizedMatrix.tiles, "__defaults__", (1 << 12,))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1"])
def test_products_follow_one_another(small_tiles, kind, shape, rng):
    matrix = QuantizedMatrix.from_array(rng.standard_normal(shape), kind)
    room = Room(matrix.inputs * shape[0])
    whole, ahead = Prepared(matrix, room), Prepared(matrix, room, ahead=True)
    found, after = np.empty((2, shape[0]), np.float32)
    for x in rng.standard_normal((2, shape[1])).astype(np.float32):
        whole(x, found)
        ahead.convert()
        ahead.multiply(x, after)
        # float32 sums of D products of size about 1, as in test_quantized.py
        np.testing.assert_allclose(found, matrix.matvec(x), atol=1e-4)
        np.testing.assert_allclose(found, matrix.dequantize() @ x, atol=1e-4)
        np.testing.assert_allclose(after, found, atol=1e-4)


def test_places_of_a_room_do_not_overlap():
    room = Room(10)
    first, second = room.place(4), room.place(6)
    assert len(first) == 4 and len(second) == 6 and not np.shares_memory(first, second)
    room.again()
    assert np.shares_memory(room.place(4), first)
