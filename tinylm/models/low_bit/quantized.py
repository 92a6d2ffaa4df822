"""A matrix that stays in 8 or 4 bits and is multiplied so.

A language model that decodes one token multiplies every weight by one number, so the time goes into
moving weights, and memory into holding them. Here W keeps its codes, 1 or 1/2 byte a weight, and
float32 scales for each group of g:

    y_r = sum over groups b of    scale_rb * (sum over i in b of code_ri x_i)
                               + offset_rb * (sum over i in b of x_i)

so scales multiply sums, not weights: the only work for each weight is the conversion of its code to
float32, and BLAS's product. Rows are converted in slices that stay in the cache; float32 weights
never touch memory. Integers throughout gain nothing: NumPy has no fast integer product (see
`fixedpoint.py`).

Memory against speed, on one core of an AMD EPYC: milliseconds for W of 49,152 x 576 (SmolLM2's
embedding, which is also its output) times 1, 8 and 64 vectors. Medians, in a machine whose memory
others use too: they vary by a fifth and more.

                      bytes a weight      1     8    64
    float32                4            8.6    28    56
    8 bits, rows           1.01         9.4    40    85     `from_rows`: one scale a row
    Q8_0                   1.125         14    38    81
    Q4_1                   0.75          15    58   103
    Q4_0                   0.625         19    48    96

So 8 bits take 4 times less memory for 1.1 to 1.6 times the time, 4 bits 5 to 6 times less for 2
times the time: NumPy spends half of it on converting codes through memory, which a compiled kernel
does within registers, gaining time as well. SmolLM2 whole takes 538 MB in float32 and 112 MB in its
own blocks. Where float32 fits, it is the faster choice here. Book section 2.3.1. Read next:
`fixedpoint.py`.
"""

import threading

import numpy as np

from tinylm.errors import CheckpointError, ShapeError
from tinylm.models.low_bit.blocks import FORMATS, quantize
from tinylm.models.low_bit.fixedpoint import to_fixed

_SLICE = 1 << 18  # float32 numbers converted at a time: 1 MB, measured best of 2^14 to 2^19
_local = threading.local()  # each thread has its own scratch


class QuantizedMatrix:
    """A matrix (R, D), rows first as published: `matvec` and `matmul` give W x for each x of width
    D.

    bits    8 or 4
    codes   (R, C) int8 or uint8; for 4 bits (R, C / 2) uint8, the low halves being the first C / 2
            columns. C is D, for 4 bits rounded up to an even number of groups
    scale   (C / g, R) float32
    offset  (C / g, R) float32, or None
    zero    the code of 4 bits that stands for 0, where there is no offset

    Make one with `from_file`, `from_blocks`, `from_array` or `from_rows`.
    """

    def __init__(self, shape, bits, codes, scale, offset=None, zero=0):
        self.shape = tuple(shape)
        self.bits = bits
        self.codes = codes
        self.scale = scale
        self.offset = offset
        self.zero = zero

    @classmethod
    def from_file(cls, weights, name):
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
    def from_blocks(cls, raw, kind, shape):
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
            padded += groups % 2  # the two halves of a byte are columns C / 2 apart
        blocks = raw.reshape(R, D // block.weights * block.nbytes)
        matrix = None
        step = max(1, _SLICE // max(D, 1))  # rows at a time
        for start in range(0, R, step):
            rows = slice(start, start + step)
            codes, scale, offset = block.split(blocks[rows].reshape(-1, block.nbytes))
            if matrix is None:
                matrix = cls._empty(shape, bits, padded, block.group, codes.dtype, offset)
            codes = codes.reshape(-1, D)
            if bits == 4:
                codes = pack_halves(codes, matrix.zero, padded * block.group)
            matrix.codes[rows] = codes
            matrix.scale[:groups, rows] = scale.reshape(-1, groups).T  # (r, groups) -> (groups, r)
            if offset is not None:
                matrix.offset[:groups, rows] = offset.reshape(-1, groups).T
        return matrix

    @classmethod
    def _empty(cls, shape, bits, groups, width, dtype, offset):
        """A matrix to be filled: `groups` groups of `width` columns a row.

        dtype   of the unpacked codes: signed ones of 4 bits are stored with 8 added
        offset  None if there is none
        """
        zero = 0
        if bits == 4:
            zero = 8 if dtype == np.int8 else 0
            dtype = np.uint8
        codes = np.empty((shape[0], groups * width * bits // 8), dtype)
        scale = np.zeros((groups, shape[0]), np.float32)
        if offset is not None:
            offset = np.zeros((groups, shape[0]), np.float32)
        return cls(shape, bits, codes, scale, offset, zero)

    @classmethod
    def from_array(cls, array, kind="Q8_0"):
        """Quantize a matrix (R, D), D a multiple of 32, to "Q8_0", "Q4_0" or "Q4_1"."""
        raw = quantize(array, kind).reshape(-1)
        return cls.from_blocks(raw, kind, np.shape(array))

    @classmethod
    def from_rows(cls, array):
        """Quantize a matrix (R, D) to 8 bits with one scale for each row: the fastest to multiply,
        and less exact than Q8_0.

        array    (R, D) finite floats, any D
        """
        codes, scale = to_fixed(array, axis=-1)
        return cls(codes.shape, 8, codes, scale.T)

    @property
    def nbytes(self):
        """Bytes of memory that codes, scales and offsets take."""
        parts = [self.codes, self.scale, self.offset]
        return sum(part.nbytes for part in parts if part is not None)

    def __repr__(self):
        R, D = self.shape
        return f"QuantizedMatrix({R} x {D}, {self.bits} bits, {self.nbytes / 2**20:.1f} MiB)"

    def dequantize(self):
        """The matrix in float32, (R, D)."""
        out = np.empty(self.shape, np.float32)
        for rows in self._slices():
            weights = self._weights(rows)  # (r, C)
            out[rows] = weights[:, : self.shape[1]]  # without the columns that fill up
        return out

    def matvec(self, x):
        """W x, without forming W.

        x        (D,) floats
        returns  (R,) float32
        raises   ShapeError if x has another width
        """
        x = np.asarray(x, np.float32)
        if x.shape != self.shape[1:]:
            raise ShapeError(f"matvec: {self.shape} @ {x.shape}, but x must be ({self.shape[1]},)")
        groups = len(self.scale)  # b
        x = self._pad(x).reshape(groups, -1, 1)  # (D,) -> (b, g, 1)
        sums = x.sum(axis=(1, 2))  # (b,): sum over i in b of x_i
        y = np.empty(self.shape[0], np.float32)
        for rows in self._slices():
            codes = self._codes(rows)  # (r, C)
            codes = codes.reshape(len(codes), groups, -1).transpose(1, 0, 2)  # -> (b, r, g)
            partial = (codes @ x)[..., 0]  # (b, r, g) @ (b, g, 1) -> (b, r)
            if self.zero:
                # sum of (code - zero) x = sum of code x - zero * sum of x
                partial -= self.zero * sums[:, None]
            partial *= self.scale[:, rows]
            partial.sum(axis=0, out=y[rows])
        if self.offset is not None:
            y += sums @ self.offset  # (b,) @ (b, R)
        return y

    def matmul(self, x):
        """x Wᵀ: W times each vector of x. A slice of W is dequantized once for all of them.

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
            y[0] = self.matvec(flat[0])
        else:
            flat = self._pad(flat)
            for rows in self._slices():
                y[:, rows] = flat @ self._weights(rows).T  # (n, C) @ (C, r)
        return y.reshape(*x.shape[:-1], self.shape[0])

    def _slices(self):
        step = max(1, _SLICE // max(self.shape[1], 1))
        return [
            slice(start, min(start + step, self.shape[0]))
            for start in range(0, self.shape[0], step)
        ]

    def _pad(self, x):
        """x with zeros for the columns of W that were added to make an even number of groups."""
        columns = self.codes.shape[1] * 8 // self.bits  # C
        lacking = columns - x.shape[-1]
        if not lacking:
            return x
        before_and_after = [(0, 0)] * (x.ndim - 1) + [(0, lacking)]
        return np.pad(x, before_and_after)

    def _codes(self, rows):
        """The codes of some rows as float32, (r, C). In this thread's scratch: read before the next
        call.
        """
        packed = self.codes[rows]
        if self.bits == 8:
            out = _scratch(packed.shape)
            np.copyto(out, packed)
            return out
        half = packed.shape[1]
        out = _scratch((len(packed), 2 * half))
        np.copyto(out[:, :half], packed & 15)
        np.copyto(out[:, half:], packed >> 4)
        return out

    def _weights(self, rows):
        """Some rows of W in float32, (r, C). In this thread's scratch, as _codes()."""
        codes = self._codes(rows)
        if self.zero:
            codes -= self.zero
        grouped = codes.reshape(len(codes), len(self.scale), -1)  # (r, b, g)
        grouped *= self.scale[:, rows].T[..., None]
        if self.offset is not None:
            grouped += self.offset[:, rows].T[..., None]
        return codes


def pack_halves(codes, zero, columns):
    """(r, D) codes -> (r, columns / 2) bytes: low halves the first columns, high halves the rest.

    Columns beyond D get `zero`, the code of 0.
    """
    unsigned = np.full((len(codes), columns), zero, np.uint8)
    unsigned[:, : codes.shape[1]] = codes + codes.dtype.type(zero)
    half = columns // 2
    return unsigned[:, :half] | unsigned[:, half:] << 4


def _scratch(shape):
    """An array for a short use, kept: to map fresh memory costs more than the work done in it."""
    size = shape[0] * shape[1]
    if getattr(_local, "scratch", None) is None or _local.scratch.size < size:
        _local.scratch = np.empty(max(size, _SLICE), np.float32)
    return _local.scratch[:size].reshape(shape)
