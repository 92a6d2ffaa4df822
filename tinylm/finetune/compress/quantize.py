"""Quantization: weights as small integers with a scale, after training or during it   (book section
1.3.3; Shen et al. 2020)

    symmetric    s = max|w| / (2^(b-1) - 1),             q = round(w / s),       w ~ s q
    asymmetric   s = (max w - min w) / (2^b - 1),        q = round(w / s) + z,   w ~ s (q - z)

with one s (and z) for a whole matrix, for each output, or for each group of inputs of an output;
the error |w - s (q - z)| is at most s / 2. Rounding after training costs accuracy when there are
few bits; with training through the rounding (straight-through estimator) a model adapts to it.
Read next: peft/quantized_base.py, layers whose weights stay packed; models/low_bit/quantized.py,
products with them.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import to_cpu
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.compress.prune import BLOCKS
from tinylm.finetune.compress.reweight import linear_maps, probe, reweight, straight_through
from tinylm.models.low_bit.quantized import QuantizedMatrix, pack_halves
from tinylm.nn import Module


@dataclass(frozen=True)
class Quantized:
    """A matrix (d_in, d_out) as integers in n blocks of g inputs: d_in = n g.

    codes   (n, g, d_out) signed integers q of `bits` bits
    scale   (n, 1, d_out) floats s, or (1, 1, 1)
    zero    as scale, whole numbers z: the code that stands for 0; None in the symmetric form
    """

    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray | None
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """(d_in, d_out)"""
        return self.codes.shape[0] * self.codes.shape[1], self.codes.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of memory: `bits` for each code, 4 for each scale and each zero."""
        floats = self.scale.size
        if self.zero is not None:
            floats += self.zero.size
        return math.ceil(self.codes.size * self.bits / 8) + 4 * floats

    def dequantize(self) -> np.ndarray:
        """s (q - z), (d_in, d_out), in the dtype of the scale."""
        codes = self.codes.astype(self.scale.dtype)
        if self.zero is not None:
            codes = codes - self.zero
        return (codes * self.scale).reshape(self.shape)  # (n, g, d_out) -> (d_in, d_out)

    def packed(self) -> QuantizedMatrix:
        """A QuantizedMatrix (d_out, d_in) on the CPU, for products without unpacking first.

        raises  ConfigError for bits other than 4 and 8, ShapeError for 4 bits and an odd d_in
        """
        if self.bits not in (4, 8):
            raise ConfigError(f"Quantized.packed: {self.bits} bits a code; 4 and 8 are packed")
        d_in, d_out = self.shape
        if self.bits == 4 and d_in % 2:
            raise ShapeError(f"Quantized.packed: {d_in} inputs, but codes of 4 bits come in pairs")
        groups = len(self.codes)
        codes = to_cpu(self.codes).reshape(d_in, d_out)
        scale = np.broadcast_to(to_cpu(self.scale)[:, 0], (groups, d_out)).astype(np.float32)
        # Two codes of 4 bits share a byte and have no sign there: -8 .. 7 is stored as 0 .. 15.
        lift = 0
        if self.bits == 4:
            lift = 8
            codes = pack_halves(codes, lift, d_in)
        else:
            codes = np.ascontiguousarray(codes)
        shape = (d_out, d_in)
        if self.zero is None:
            return QuantizedMatrix(shape, self.bits, codes, scale, None, lift)
        # s (q - z) = s (q + lift) + offset with offset = -s (z + lift)
        zero = np.broadcast_to(to_cpu(self.zero)[:, 0], scale.shape)
        offset = -scale * (zero + np.float32(lift))
        return QuantizedMatrix(shape, self.bits, codes, scale, offset, 0)


def _blocks(weight, bits, share):
    """A matrix in blocks (n, g, d_out) with a scale each, in float32 or wider; a block's axes."""
    if not 2 <= bits <= 16:
        raise ConfigError(f"quantize: {bits} bits; 2 to 16 are possible")
    d_in, d_out = weight.shape
    size, axes = share, (1,)  # a group of inputs of one output
    if share == "output":
        size = d_in
    elif share == "matrix":
        size, axes = d_in, (1, 2)
    if not isinstance(size, int) or size < 1 or d_in % size:
        raise ConfigError(
            f"quantize: a scale for each {share!r}: 'matrix', 'output', "
            f"or a group size that divides {d_in} inputs"
        )
    return _wide(weight).reshape(-1, size, d_out), axes


def _wide(x):
    """x in float32 or wider: a scale rounded to float16 would move weights by over half a step."""
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


def _integers(bits):
    if bits <= 8:
        return np.int8
    return np.int16


def symmetric(weight: np.ndarray, bits: int = 8, share: str = "output") -> Quantized:
    """Codes from -(2^(b-1) - 1) to 2^(b-1) - 1; 0 is coded as 0.

    weight   (d_in, d_out) array of floats
    bits     b, 2 to 16
    share    what shares a scale: the "matrix", an "output", or a number of inputs of an output
    returns  Quantized, its scale in float32 or the weight's wider dtype;  raises ConfigError
    """
    blocks, axes = _blocks(weight, bits, share)
    top = 2 ** (bits - 1) - 1
    scale = abs(blocks).max(axis=axes, keepdims=True) / top  # (n, 1, d_out) or (1, 1, 1)
    scale = np.where(scale == 0, 1, scale).astype(blocks.dtype)  # a block of zeros
    codes = np.clip(np.rint(blocks / scale), -top, top).astype(_integers(bits))
    return Quantized(codes, scale, None, bits)


def asymmetric(weight: np.ndarray, bits: int = 8, share: str = "output") -> Quantized:
    """Codes from -2^(b-1) to 2^(b-1) - 1 for the range of weights, extended to include 0.

    Arguments and result as in symmetric().
    """
    blocks, axes = _blocks(weight, bits, share)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    least = np.minimum(blocks.min(axis=axes, keepdims=True), 0)
    scale = (np.maximum(blocks.max(axis=axes, keepdims=True), 0) - least) / (high - low)
    scale = np.where(scale == 0, 1, scale).astype(blocks.dtype)
    # floor(x + n + 1/2) = floor(x + 1/2) + n for a whole n; rint rounds halves to even and lacks
    # this. With it both ends of the range get the end codes.
    nearest = lambda x: np.floor(x + 0.5)  # noqa: E731
    zero = (low - nearest(least / scale)).astype(blocks.dtype)
    codes = np.clip(nearest(blocks / scale) + zero, low, high).astype(_integers(bits))
    return Quantized(codes, scale, zero, bits)


class FakeQuantize(Module):
    """W rounded by `quantizer`, with the gradient of W itself: for quantization-aware training.

    quantizer  array -> Quantized, such as functools.partial(symmetric, bits=4); scales follow the
               weights
    """

    def __init__(self, quantizer: Callable) -> None:
        self.quantizer = quantizer

    def marks(self, weight: Tensor) -> dict[str, np.ndarray]:
        """A fingerprint of the quantizer: two fixed columns (d_in, 2), rounded by it."""
        columns = probe(2, weight.shape[0]).T * np.array([1.0, 3.0])
        return {"quantizer": self.quantizer(columns).dequantize()}

    def __call__(self, weight: Tensor) -> Tensor:
        return straight_through(weight, self.quantizer(weight.data).dequantize())


def round_activations(x: Tensor, bits: int = 8) -> Tensor:
    """Activations rounded with a scale per token, computed on the fly; the gradient passes through
    (Jacob et al. 2018)

    x  (..., D) Tensor -> (..., D)
    """
    top = 2 ** (bits - 1) - 1
    wide = _wide(x.data)
    scale = abs(wide).max(axis=-1, keepdims=True) / top
    scale = np.where(scale == 0, 1, scale)
    return straight_through(x, np.rint(wide / scale) * scale)


def quantization_aware(
    model: Module, quantizer: Callable, activations: int | None = None, pattern: str = BLOCKS
) -> Module:
    """Train through the rounding, in place; reweight.bake() makes the rounded weights the weights.

    activations  bits of the maps' inputs; None: not rounded
    returns      the model
    """
    before = None
    if activations is not None:
        before = functools.partial(round_activations, bits=activations)
    reweight(model, lambda name, weight: FakeQuantize(quantizer), pattern, before)
    return model


def quantize_weights(model: Module, quantizer: Callable, pattern: str = BLOCKS) -> dict[str, Any]:
    """Post-training quantization, in place: every weight becomes the value of its code.

    returns  dict name -> Quantized, for counting bytes: see bytes_of()
    """
    made = {}
    for name, module in linear_maps(model, pattern).items():
        made[name] = quantizer(module.weight.data)
        module.weight.assign_(made[name].dequantize())
    return made


def bytes_of(model: Module, quantized: dict[str, Any]) -> int:
    """Bytes of all parameters; of quantized ones, of their codes and scales."""
    codes = {f"{name}.weight": matrix.nbytes for name, matrix in quantized.items()}
    sizes = {name: p.data.nbytes for name, p in model.named_parameters().items()}
    return sum(codes.get(name, nbytes) for name, nbytes in sizes.items())
