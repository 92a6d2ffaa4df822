"""Linear maps with frozen weights in 4 or 8 bits, a base for LoRA   (QLoRA; Dettmers et al. 2023)

    y = x W + b,    dL/dx = g W^T        W unpacked for the product; dL/dW is not needed

The gradient passes through a frozen map, not into it: backward needs the weights once more and
nothing else. So they are unpacked for the forward pass, dropped, and unpacked again for
the backward pass; floats of one layer exist at a time. (QLoRA's own 4-bit code spaces its levels as
a normal distribution; here they are GGUF's blocks of 32.) Read next: lora.py;
models/low_bit/quantized.py for the packed matrix.
"""

import numpy as np

from tinylm.autograd import Tensor, checkpoint, linear
from tinylm.backend import to_device
from tinylm.errors import ShapeError
from tinylm.finetune.wrap import places, put
from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.nn import Linear, Module


class QuantizedLinear(Module):
    """x W + b with a frozen W in quantized blocks, kept and unpacked on the CPU whatever x is on.

    linear  Linear with weight (d_in, d_out), d_in a multiple of 32
    kind    "Q8_0", "Q4_0" or "Q4_1": bits a weight, and whether blocks have an offset
    """

    def __init__(self, linear: Linear, kind: str = "Q8_0") -> None:
        d_in, _ = linear.weight.shape
        if d_in % 32:
            raise ShapeError(
                "QuantizedLinear: weights are quantized in blocks of 32 along d_in, "
                f"and {d_in} is no multiple of 32"
            )
        # (d_in, d_out) -> (d_out, d_in): blocks of 32 run along d_in, the axis that is summed over
        self.matrix = QuantizedMatrix.from_array(linear.weight.numpy().T, kind)
        self.bias = linear.bias
        self.dtype = linear.weight.dtype

    frozen_settings = True  # the weights, which are not trained

    def settings(self) -> dict[str, np.ndarray]:
        """The packed weights: codes, output by output, scales, and offsets where there are any."""
        found = {"codes": self.matrix.codes.T, "scale": self.matrix.scale}
        if self.matrix.offset is None:
            return found
        return {**found, "offset": self.matrix.offset}

    def check_settings(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Any codes may be loaded, but only with the scales and offsets of the same matrix."""
        if len(arrays) < len(self.settings()):
            return "a part of the quantized weights is missing"
        return None

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load packed weights."""
        old, offset = self.matrix, None
        if "offset" in arrays:
            offset = arrays["offset"].copy()
        codes, scale = arrays["codes"].T.copy(), arrays["scale"].copy()
        self.matrix = QuantizedMatrix(old.shape, old.bits, codes, scale, offset, old.zero)

    def __call__(self, x: Tensor) -> Tensor:
        # Recomputed in the backward pass: otherwise the graph would keep the floats of every layer.
        return checkpoint(self._product, x)

    def _product(self, x):
        weight = self.matrix.dequantize().T.astype(x.dtype, copy=False)  # (d_in, d_out)
        return linear(x, Tensor(to_device(weight, x.device)), self.bias)


def sizes(base: Module) -> tuple:
    """(d_in, d_out), dtype and device of a linear map, quantized or not."""
    if isinstance(base, QuantizedLinear):
        device = "cpu"
        if base.bias is not None:
            device = base.bias.device
        return base.matrix.shape[::-1], base.dtype, device  # (d_out, d_in) -> (d_in, d_out)
    return base.weight.shape, base.weight.dtype, base.weight.device


def quantize_linears(model: Module, *patterns: str, kind: str = "Q8_0") -> tuple[int, int]:
    """Replace Linears by quantized ones, in place; their float weights are gone.

    patterns  of names, as in wrap.places; none: every Linear
    returns   (bytes of these weights before, after)
    """
    before = after = 0
    for _, holder, key, old in places(model, Linear, *patterns):
        new = put(holder, key, QuantizedLinear(old, kind))
        before += old.weight.data.nbytes
        after += new.matrix.nbytes
    return before, after
