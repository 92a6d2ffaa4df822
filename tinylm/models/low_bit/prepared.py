"""A quantized matrix times one vector after another: what does not depend on it is done once.

Views of the codes, of the scratch and of the sums are made beforehand, so that a product of a tile
is three calls of NumPy: convert the codes, multiply, scale. Short Python between them matters where
two threads work side by side, as only one of them can hold the interpreter's lock. The plain twin
is QuantizedMatrix.matvec. Read next: generate/fast/few_bits.py.
"""

import math

import numpy as np

from tinylm.models.low_bit.quantized import BYTES, TILE, QuantizedMatrix


class Prepared:
    """W x again and again, by one thread: QuantizedMatrix.matvec with what does not depend on x
    done once.

    matrix   QuantizedMatrix
    room     Room, which several may share if they are not used at the same time
    ahead    convert() and multiply() are called instead of the whole, and the matrix keeps a place
             in the room for itself in between
    """

    def __init__(self, matrix: QuantizedMatrix, room: "Room", ahead: bool = False) -> None:
        self.matrix = matrix
        groups, size = len(matrix.scale), matrix.inputs * matrix.shape[0]
        x = np.zeros((groups, 1, matrix.inputs // groups), np.float32)
        self.vector, self.by_group = x.reshape(-1)[: matrix.shape[1]], x[:, 0]
        floats, tile = room.floats, TILE
        if ahead:
            floats, tile = room.place(size), size
        self.parts = []
        for rows, tiles in matrix.tiles(tile):
            sums = room.sums((groups, 1, rows.stop - rows.start))
            steps = []
            for some in tiles:
                shape = some.stop - some.start, x.shape[2], rows.stop - rows.start
                codes = floats[: math.prod(shape)].reshape(shape)
                calls = matrix.conversions(some, rows, codes, room.bytes)
                steps.append((calls, (x[some], codes, sums[some])))
            self.parts.append((rows, steps, sums[:, 0]))

    def __call__(self, x: np.ndarray, out: np.ndarray) -> None:
        """W x: (D,) -> (R,), written into `out`."""
        np.copyto(self.vector, x)
        for rows, steps, sums in self.parts:
            for calls, product in steps:
                for function, arguments in calls:
                    function(*arguments)
                np.matmul(*product)
            self.matrix.add_up(sums, self.by_group, rows, out[rows])

    def convert(self) -> None:
        """Convert the codes, for one multiply()."""
        for _, steps, _ in self.parts:
            for calls, _ in steps:
                for function, arguments in calls:
                    function(*arguments)

    def multiply(self, x: np.ndarray, out: np.ndarray) -> None:
        """As a call, of codes that were converted."""
        np.copyto(self.vector, x)
        for rows, steps, sums in self.parts:
            for _, product in steps:
                np.matmul(*product)
            self.matrix.add_up(sums, self.by_group, rows, out[rows])


class Room:
    """Scratch of one thread.

    ahead   numbers that are converted ahead, in all
    """

    def __init__(self, ahead: int = 0) -> None:
        self.floats = np.empty(TILE, np.float32)
        self._ahead, self._used = np.empty(ahead, np.float32), 0
        self._bytes = np.empty(BYTES, np.uint8)
        self._sums = {}

    def place(self, size: int) -> np.ndarray:
        """So many numbers for one matrix alone, until again()."""
        self._used += size
        return self._ahead[self._used - size : self._used]

    def again(self) -> None:
        """Give the places out again, to the next layer."""
        self._used = 0

    def bytes(self, shape: tuple[int, ...]) -> np.ndarray:
        """Scratch of uint8."""
        return self._bytes[: math.prod(shape)].reshape(shape)

    def sums(self, shape: tuple[int, ...]) -> np.ndarray:
        """Scratch of float32; the same for the same shape."""
        return self._sums.setdefault(shape, np.empty(shape, np.float32))
