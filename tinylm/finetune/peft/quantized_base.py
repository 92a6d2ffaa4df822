"""Linear maps whose frozen weights stay in 4 or 8 bits, to train something small on top of
(Dettmers et al. 2023, QLoRA)

The gradient has to pass through a frozen map, not into it: dL/dx = g W^T needs the weights once
more and nothing else. So they are unpacked for the forward pass, dropped, and unpacked again for
the backward pass; floats of one layer exist at a time. (QLoRA's own 4-bit code spaces its levels as
a normal distribution; here they are GGUF's blocks of 32.) Read next: lora.py;
models/low_bit/quantized.py for the packed matrix.
"""

from tinylm.autograd import Tensor, checkpoint, linear
from tinylm.backend import to_device
from tinylm.errors import ShapeError
from tinylm.finetune.wrap import places, put
from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.nn import Linear, Module


class QuantizedLinear(Module):
    """x W + b with W in quantized blocks, not trained. They are kept and unpacked on the CPU,
    whatever device x is on.

    linear  Linear with weight (d_in, d_out), d_in a multiple of 32
    kind    "Q8_0", "Q4_0" or "Q4_1": bits a weight, and whether blocks have an offset
    """

    def __init__(self, linear, kind="Q8_0"):
        d_in, _ = linear.weight.shape
        if d_in % 32:
            raise ShapeError(
                f"QuantizedLinear: weights are quantized in blocks of 32 along d_in, and {d_in} is no multiple of 32"
            )
        self.matrix = QuantizedMatrix.from_array(linear.weight.numpy().T, kind)
        self.bias = linear.bias
        self.dtype = linear.weight.dtype

    frozen_settings = True  # the weights, which are not trained

    def settings(self):
        """The packed weights: codes, scales, and offsets where there are any."""
        found = {"codes": self.matrix.codes, "scale": self.matrix.scale}
        if self.matrix.offset is None:
            return found
        return {**found, "offset": self.matrix.offset}

    def check_settings(self, arrays):
        """Any of these shapes are taken, all of one matrix."""
        if len(arrays) < len(self.settings()):
            return "of the quantized weights a part is missing"

    def take_settings(self, arrays):
        """Take over packed weights."""
        old = self.matrix
        self.matrix = QuantizedMatrix(
            old.shape,
            old.bits,
            arrays["codes"].copy(),
            arrays["scale"].copy(),
            arrays["offset"].copy() if "offset" in arrays else None,
            old.zero,
        )

    def __call__(self, x):
        return checkpoint(self._product, x)

    def _product(self, x):
        weight = self.matrix.dequantize().T.astype(x.dtype, copy=False)  # (d_in, d_out)
        return linear(x, Tensor(to_device(weight, x.device)), self.bias)


def sizes(base):
    """(d_in, d_out), dtype and device of a linear map, quantized or not."""
    if isinstance(base, QuantizedLinear):
        return base.matrix.shape[::-1], base.dtype, "cpu" if base.bias is None else base.bias.device
    return base.weight.shape, base.weight.dtype, base.weight.device


def quantize_linears(model, *patterns, kind="Q8_0"):
    """Replace Linears by quantized ones, in place; their float weights are gone.

    patterns  of names, as in parts.places; none: every Linear
    returns   (bytes of these weights before, after)
    """
    before = after = 0
    for _, holder, key, old in places(model, Linear, *patterns):
        new = put(holder, key, QuantizedLinear(old, kind))
        before, after = before + old.weight.data.nbytes, after + new.matrix.nbytes
    return before, after
