"""A matrix that stays in 8 or 4 bits and is multiplied so.

A language model that decodes one token multiplies every weight by one number, so the time goes into
moving weights, and memory into holding them. Here W keeps its codes, 1 or 1/2 byte a weight, and
float32 scales for each group of g:

    y_r = sum over groups b of    scale_rb * (sum over i in b of code_ri x_i)
                               + offset_rb * (sum over i in b of x_i)

so scales multiply sums, not weights: the only work for each weight is the conversion of its code to
float32, and BLAS's product. Codes lie input by input, (D, R): the inputs of a group are then a
matrix (g, R) that one product reads in long rows, for all groups in one call. Codes are converted
tile by tile into a scratch that stays in the cache; float32 weights never touch memory. Integers
throughout gain nothing: NumPy has no fast integer product (see `fixedpoint.py`).

Memory against speed, on one core of an AMD EPYC (Zen 5): milliseconds for W of 49,152 x 576
(SmolLM2's embedding, which is also its output) times 1, 8 and 64 vectors, medians of nine.

                      bytes a weight      1     8    64
    float32                4            3.4    12    36
    8 bits, rows           1.01         6.3    15    40     `from_rows`: one scale a row
    Q8_0                   1.125        4.6    15    41
    Q4_1                   0.75         5.3    17    44
    Q4_0                   0.625        5.4    15    41

One core reads float32 at 24 to 33 GB/s here and converts 12 codes a nanosecond, so 8 bits take it
about the time of float32, 0.8 to 1.4 times. Two cores gain: they share the memory, and each
converts at its own rate (generate/fast/few_bits.py). SmolLM2 whole takes 538 MB in float32 and 112
MB in its own blocks.
Book section 2.3.1. Read next: `fixedpoint.py`; `prepared.py`, many products with the same matrix.
"""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import CheckpointError, ShapeError
from tinylm.machine import last_cache
from tinylm.models.low_bit.blocks import FORMATS, quantize
from tinylm.models.low_bit.fixedpoint import to_fixed

if TYPE_CHECKING:
    from tinylm.models.published.formats.mapped import WeightFile

# Codes converted at a time. Where the last cache holds 4 MB of float32 and more beside, long runs
# of codes are fastest to read from memory: tiles of 2^17 take 1.4 times as long. They fit the
# second-level cache of other processors.
TILE = 1 << 20 if (last_cache() or 0) >= 16 << 20 else 1 << 17
BYTES = 1 << 20  # bytes of two codes each that are taken apart at a time
_local = threading.local()  # each thread has its own scratch


class QuantizedMatrix:
    """A matrix (R, D), rows first as published: `matvec` and `matmul` give W x for each x of width
    D.

    bits    8 or 4
    codes   (C, R) int8 or uint8; for 4 bits (C / 2, R) uint8, the low halves being the first C / 2
            inputs. C is D, for 4 bits rounded up to an even number of groups
    scale   (C / g, R) float32
    offset  (C / g, R) float32, or None
    zero    the code of 4 bits that stands for 0, where there is no offset

    Make one with `from_file`, `from_blocks`, `from_array` or `from_rows`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        bits: int,
        codes: np.ndarray,
        scale: np.ndarray,
        offset: np.ndarray | None = None,
        zero: int = 0,
    ) -> None:
        self.shape = tuple(shape)
        self.bits = bits
        self.codes = codes
        self.scale = scale
        self.offset = offset
        self.zero = zero

    @classmethod
    def from_file(cls, weights: "WeightFile", name: str) -> "QuantizedMatrix":
        """The tensor `name` of a WeightFile, its blocks repacked for the product.

        raises  CheckpointError if it is not in quantized blocks
        """
        entry = weights.entry(name)
        if entry.kind not in FORMATS or not entry.known:
            raise CheckpointError(
                f"{weights.path}: tensor {name!r} is {entry.kind}, not in quantized blocks; "
                "read it with weights[name], and quantize it with QuantizedMatrix.from_array"
            )
        return cls.from_blocks(entry.raw, entry.kind, entry.shape)

    @classmethod
    def from_blocks(cls, raw: np.ndarray, kind: str, shape: tuple[int, ...]) -> "QuantizedMatrix":
        """The matrix of GGUF blocks; formats of 4 bits stay so, those of 5 and 6 are kept in 8.

        raw      (n,) uint8
        kind     a name of blocks.FORMATS
        shape    (R, D)
        raises   ShapeError if it is no matrix
        """
        if len(shape) != 2:
            raise ShapeError(f"QuantizedMatrix: the shape is {shape}, but a matrix has two axes")
        block, (R, D) = FORMATS[kind], shape
        groups = D // block.group
        bits = 4 if block.bits == 4 else 8
        padded = groups  # C / g
        if bits == 4:
            padded += groups % 2  # the two halves of a byte are inputs C / 2 apart
        blocks = raw.reshape(R, D // block.weights * block.nbytes)
        matrix = None
        step = max(1, BYTES // max(D, 1))  # rows at a time
        for start in range(0, R, step):
            rows = slice(start, start + step)
            codes, scale, offset = block.split(blocks[rows].reshape(-1, block.nbytes))
            if matrix is None:
                matrix = cls._empty(shape, bits, padded, block.group, codes.dtype, offset)
            codes = codes.reshape(-1, D).T  # (D, r)
            if bits == 4:
                codes = pack_halves(codes, matrix.zero, padded * block.group)
            matrix.codes[:, rows] = codes
            matrix.scale[:groups, rows] = scale.reshape(-1, groups).T  # (r, groups) -> (groups, r)
            if offset is not None:
                matrix.offset[:groups, rows] = offset.reshape(-1, groups).T
        return matrix

    @classmethod
    def _empty(cls, shape, bits, groups, width, dtype, offset):
        """A matrix to be filled: `groups` groups of `width` inputs a row.

        dtype   of the unpacked codes: signed ones of 4 bits are stored with 8 added
        offset  None if there is none
        """
        zero = 0
        if bits == 4:
            zero = 8 if dtype == np.int8 else 0
            dtype = np.uint8
        codes = np.empty((groups * width * bits // 8, shape[0]), dtype)
        scale = np.zeros((groups, shape[0]), np.float32)
        if offset is not None:
            offset = np.zeros((groups, shape[0]), np.float32)
        return cls(shape, bits, codes, scale, offset, zero)

    @classmethod
    def from_array(cls, array: np.ndarray, kind: str = "Q8_0") -> "QuantizedMatrix":
        """Quantize a matrix (R, D), D a multiple of 32, to "Q8_0", "Q4_0" or "Q4_1"."""
        raw = quantize(array, kind).reshape(-1)
        return cls.from_blocks(raw, kind, np.shape(array))

    @classmethod
    def from_rows(cls, array: np.ndarray) -> "QuantizedMatrix":
        """Quantize a matrix (R, D) to 8 bits with one scale for each row: the fastest to multiply,
        and less exact than Q8_0.

        array    (R, D) finite floats, any D
        """
        codes, scale = to_fixed(array, axis=-1)  # (R, D), (R, 1)
        return cls(codes.shape, 8, np.ascontiguousarray(codes.T), scale.T)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that codes, scales and offsets take."""
        parts = [self.codes, self.scale, self.offset]
        return sum(part.nbytes for part in parts if part is not None)

    def __repr__(self) -> str:
        R, D = self.shape
        return f"QuantizedMatrix({R} x {D}, {self.bits} bits, {self.nbytes / 2**20:.1f} MiB)"

    @property
    def inputs(self) -> int:
        """C: D, and what fills up 4 bits to an even number of groups."""
        return len(self.codes) * 8 // self.bits

    def dequantize(self) -> np.ndarray:
        """The matrix in float32, (R, D)."""
        out = np.empty(self.shape, np.float32)
        for rows in slices(self.shape[0], TILE // max(self.inputs, 1)):
            out[rows] = self._weights(rows)[: self.shape[1]].T  # without the inputs that fill up
        return out

    def matvec(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """W x, without forming W.

        x        (D,) floats
        out      (R,) float32 to write into, or None
        returns  (R,) float32
        raises   ShapeError if x has another width
        """
        x = np.asarray(x, np.float32)
        if x.shape != self.shape[1:]:
            raise ShapeError(f"matvec: {self.shape} @ {x.shape}, but x must be ({self.shape[1]},)")
        groups, width = len(self.scale), self.inputs // len(self.scale)  # b, g
        x = self._pad(x).reshape(groups, 1, width)  # (D,) -> (b, 1, g)
        if out is None:
            out = np.empty(self.shape[0], np.float32)
        for rows, tiles in self.tiles():
            sums = np.empty((groups, 1, rows.stop - rows.start), np.float32)
            for some in tiles:
                codes = self.unpacked(some, rows)  # (k, g, r)
                np.matmul(x[some], codes, out=sums[some])  # (k, 1, g) @ (k, g, r) -> (k, 1, r)
            self.add_up(sums[:, 0], x[:, 0], rows, out[rows])
        return out

    def tiles(self, size: int = TILE) -> list[tuple[slice, list[slice]]]:
        """Tiles of about `size` numbers: a list of (slice of rows, [slices of groups])."""
        groups = len(self.scale)
        # A tile is some groups of all rows, or where W has very many, one group of some rows.
        length = max(1, size * groups // max(self.inputs, 1))
        return [
            (rows, slices(groups, length // max(rows.stop - rows.start, 1)))
            for rows in slices(self.shape[0], length)
        ]

    def add_up(self, sums: np.ndarray, x: np.ndarray, rows: slice, out: np.ndarray | None) -> None:
        """The equation of the header, from the sums of code * x.

        sums  (b, r), which is written over;  x  (b, g);  rows  slice;  out  (r,)
        """
        scale = self.scale[:, rows]
        sums *= scale
        np.add.reduce(sums, axis=0, out=out)
        if self.zero or self.offset is not None:
            by_group = np.add.reduce(x, axis=1)  # (b,): sum over i in b of x_i
            if self.zero:  # the code of 0 is `zero`: sum of (code - zero) x
                out -= (self.zero * by_group) @ scale  # (b,) @ (b, r)
            if self.offset is not None:
                out += by_group @ self.offset[:, rows]

    def matmul(self, x: np.ndarray) -> np.ndarray:
        """x Wᵀ: W times each vector of x. A part of W is dequantized once for all of them.

        x        (..., D) floats
        returns  (..., R) float32
        raises   ShapeError if x has another width
        """
        x = np.asarray(x, np.float32)
        if x.shape[-1:] != self.shape[1:]:
            raise ShapeError(
                f"matmul: {x.shape} @ {self.shape[::-1]}, but the last axis of x must be "
                f"{self.shape[1]}"
            )
        flat = x.reshape(-1, self.shape[1])
        y = np.empty((len(flat), self.shape[0]), np.float32)
        if len(flat) == 1:
            self.matvec(flat[0], y[0])
        else:
            flat = self._pad(flat)
            for rows in slices(self.shape[0], TILE // max(self.inputs, 1)):
                y[:, rows] = flat @ self._weights(rows)  # (n, C) @ (C, r)
        return y.reshape(*x.shape[:-1], self.shape[0])

    def _pad(self, x):
        """x with zeros for the inputs of W that were added to make an even number of groups."""
        lacking = self.inputs - x.shape[-1]
        if not lacking:
            return x
        before_and_after = [(0, 0)] * (x.ndim - 1) + [(0, lacking)]
        return np.pad(x, before_and_after)

    def unpacked(self, groups: slice, rows: slice) -> np.ndarray:
        """The codes of some groups and rows (slices) as float32: (k, g, r).

        In this thread's scratch: read before the next call.
        """
        width = self.inputs // len(self.scale)  # g
        shape = groups.stop - groups.start, width, rows.stop - rows.start
        out = _scratch("floats", shape, np.float32)
        for function, arguments in self.conversions(groups, rows, out, _bytes):
            function(*arguments)
        return out

    def conversions(
        self, groups: slice, rows: slice, out: np.ndarray | None, bytes_of: Callable
    ) -> list:
        """What `unpacked` calls to write into `out`: a list of (function, arguments).

        bytes_of   function shape -> uint8 scratch
        """
        width = self.inputs // len(self.scale)  # g
        flat = out.reshape(-1, out.shape[-1])  # (k g, r)
        start, stop = groups.start * width, groups.stop * width
        if self.bits == 8:
            return [(np.copyto, (flat, self.codes[start:stop, rows]))]
        half = len(self.codes)  # the inputs before it are low halves of bytes, the others high ones
        low = max(0, min(stop, half) - start)
        high = slice(max(start, half) - half, max(stop, half) - half)
        packed = self.codes[:, rows]
        parts = [
            (np.bitwise_and, 15, packed[start : start + low], flat[:low]),
            (np.right_shift, 4, packed[high], flat[low:]),
        ]
        found = []
        for function, number, of, into in parts:
            for some in slices(len(of), BYTES // max(of.shape[1], 1)):
                halves = bytes_of(of[some].shape)
                found.append((function, (of[some], np.uint8(number), halves)))
                found.append((np.copyto, (into[some], halves)))
        return found

    def _weights(self, rows):
        """Some rows of W in float32, transposed, (C, r). In this thread's scratch."""
        grouped = self.unpacked(slice(0, len(self.scale)), rows)  # (b, g, r)
        if self.zero:
            grouped -= self.zero
        grouped *= self.scale[:, None, rows]
        if self.offset is not None:
            grouped += self.offset[:, None, rows]
        return grouped.reshape(self.inputs, -1)


def pack_halves(codes: np.ndarray, zero: int, inputs: int) -> np.ndarray:
    """(D, r) codes -> (inputs / 2, r) bytes: low halves the first inputs, high halves the rest.

    Inputs beyond D get `zero`, the code of 0.
    """
    unsigned = np.full((inputs, codes.shape[1]), zero, np.uint8)
    unsigned[: len(codes)] = codes + codes.dtype.type(zero)
    half = inputs // 2
    return unsigned[:half] | unsigned[half:] << 4


def slices(n: int, step: int) -> list[slice]:
    """Slices of at most `step` that make up 0 .. n."""
    step = max(1, step)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _bytes(shape):
    return _scratch("bytes", shape, np.uint8)


def _scratch(name, shape, dtype):
    """An array for a short use, kept: to map fresh memory costs more than the work done in it."""
    size = math.prod(shape)
    kept = getattr(_local, name, None)
    if kept is None or kept.size < size:
        kept = np.empty(max(size, TILE), dtype)
        setattr(_local, name, kept)
    return kept[:size].reshape(shape)
