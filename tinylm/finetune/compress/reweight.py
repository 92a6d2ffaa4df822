"""A weight seen through a function: a layer multiplies with change(W), and W is what is trained.

Pruning multiplies W by a mask, movement pruning learns the mask, quantization-aware training rounds
W. `reweight` puts such a change around the linear maps of a model; names of parameters stay, and
masks and marks of the change are saved beside them, so that weights are loaded into a model changed
alike. Steps (rounding, choosing the largest) have the derivative 0 or none; `straight_through` says
which one is used in its place. Read next: prune.py, quantize.py.
"""

import numpy as np

from tinylm.autograd import Tensor, linear, no_grad
from tinylm.autograd.engine.operation import primitive
from tinylm.backend import to_device
from tinylm.finetune.wrap import places, put
from tinylm.nn import Linear, Module


@primitive(lambda g, y, x, value: g, linear=True)
def straight_through(x, value):
    """`value` going forward, the derivative of x going backward: dL/dx = dL/dy   (Bengio et al.
    2013)

    Not a derivative, on purpose: `value` is a step function of x whose own derivative is 0 almost
    everywhere, and nothing would be learned from that.

    x        (...) Tensor
    value    (...) array, made from x by the caller
    returns  (...)
    """
    return value.astype(x.dtype, copy=True)


class Reweighted(Module):
    """x change(W) + b.

    inner    Linear whose weight (d_in, d_out) and bias these are, not copied
    change   Tensor (d_in, d_out) -> Tensor (d_in, d_out); a Module, if it has parameters
    before   Tensor (..., d_in) -> Tensor (..., d_in), applied to the input; None: nothing
    """

    def __init__(self, inner, change, before=None):
        self.weight, self.bias, self.change, self.before = inner.weight, inner.bias, change, before

    def settings(self):
        """Marks of functions that have no parameters: what they make of a few fixed numbers."""
        found = self.change.marks(self.weight) if hasattr(self.change, "marks") else {}
        if self.before is not None:
            inputs = Tensor(to_device(probe(1, self.weight.shape[0]), self.weight.device))
            found["before"] = self.before(inputs).data
        return found

    def __call__(self, x):
        return linear(
            x if self.before is None else self.before(x), self.change(self.weight), self.bias
        )


def probe(rows, width):
    """(rows, width) fixed numbers, exact in every format: n/8 from -5/8 to 5/8."""
    return ((np.arange(rows * width) * 7 % 11 - 5) / 8.0).reshape(rows, width)


def linear_maps(model, pattern):
    """The linear maps of a model whose name matches, seen through something or not: dict name ->
    Linear or Reweighted.

    pattern  as in parts.places(), such as "blocks.*" or "attention.qkv";  raises as it does
    """
    return {name: inner for name, _, _, inner in places(model, (Linear, Reweighted), pattern)}


def reweight(model, make, pattern, before=None):
    """See the weights of linear maps through a change, in place; what they were seen through before
    is replaced.

    make     (name, weight Tensor) -> change, see Reweighted
    returns  dict name -> Reweighted;  raises as parts.places()
    """
    return {
        name: put(holder, key, Reweighted(inner, make(name, inner.weight), before))
        for name, holder, key, inner in places(model, (Linear, Reweighted), pattern)
    }


def bake(model):
    """Make change(W) the weight, and plain Linear maps again: what is left when training is done.
    Returns the model.
    """
    for _, holder, key, inner in places(model, Reweighted):
        settle(inner)
        plain = Linear.__new__(Linear)
        plain.weight, plain.bias = inner.weight, inner.bias
        put(holder, key, plain)
    return model


def settle(inner):
    """Make what a Reweighted map multiplies with its weight, in place."""
    with no_grad():
        inner.weight.assign_(inner.change(inner.weight).data)
