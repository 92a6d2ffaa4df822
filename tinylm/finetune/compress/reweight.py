"""Linear maps with a function of their weight: y = x change(W) + b, and W is trained.

Pruning multiplies W by a mask, movement pruning learns the mask, quantization-aware training rounds
W. `reweight` puts such a change into the linear maps of a model; names of parameters stay, and
masks and marks of the change are saved beside them, so that weights load only into a model with the
same change. Step functions (rounding, choosing the largest) have derivative 0 or none;
`straight_through` uses another in its place. Read next: prune.py, quantize.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, linear, no_grad
from tinylm.autograd.engine.operation import primitive
from tinylm.backend import to_device
from tinylm.finetune.wrap import places, put
from tinylm.nn import Linear, Module


@primitive(lambda g, y, x, value: g, linear=True)
def straight_through(x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """y = value forward, dL/dx = dL/dy backward   (straight-through estimator; Bengio et al. 2013)

    Deliberately not the derivative: `value` is a step function of x, whose derivative is 0 almost
    everywhere, so that nothing could be learned.

    x        (...) Tensor
    value    (...) array, computed from x by the caller
    returns  (...)
    """
    return value.astype(x.dtype, copy=True)


class Reweighted(Module):
    """A linear map whose weight is changed before use: x change(W) + b.

    inner    Linear whose weight (d_in, d_out) and bias these are, not copied
    change   Tensor (d_in, d_out) -> Tensor (d_in, d_out); a Module, if it has parameters
    before   Tensor (..., d_in) -> Tensor (..., d_in), applied to the input; None: nothing
    """

    def __init__(self, inner: Module, change: Callable, before: Callable | None = None) -> None:
        self.weight, self.bias = inner.weight, inner.bias
        self.change, self.before = change, before

    def settings(self) -> dict[str, np.ndarray]:
        """Fingerprints of functions without parameters: their values at a few fixed numbers.

        A model whose functions differ (4 bits, 5 bits) then refuses the weights.
        """
        found = {}
        if hasattr(self.change, "marks"):
            found = self.change.marks(self.weight)
        if self.before is not None:
            inputs = Tensor(to_device(probe(1, self.weight.shape[0]), self.weight.device))
            found["before"] = self.before(inputs).data
        return found

    def __call__(self, x: Tensor) -> Tensor:
        if self.before is not None:
            x = self.before(x)
        return linear(x, self.change(self.weight), self.bias)  # (..., d_in) -> (..., d_out)


def probe(rows: int, width: int) -> np.ndarray:
    """(rows, width) fixed numbers, exact in every format: n/8 from -5/8 to 5/8."""
    return ((np.arange(rows * width) * 7 % 11 - 5) / 8.0).reshape(rows, width)


def linear_maps(model: Module, pattern: str) -> dict[str, Module]:
    """The linear maps of a model with a matching name: dict name -> Linear or Reweighted.

    pattern  as in wrap.places(), such as "blocks.*" or "attention.qkv";  raises as it does
    """
    return {name: inner for name, _, _, inner in places(model, (Linear, Reweighted), pattern)}


def reweight(
    model: Module, make: Callable, pattern: str, before: Callable | None = None
) -> dict[str, Any]:
    """Make linear maps Reweighted, in place; an earlier change is replaced.

    make     (name, weight Tensor) -> change, see Reweighted
    returns  dict name -> Reweighted;  raises as wrap.places()
    """
    made = {}
    for name, holder, key, inner in places(model, (Linear, Reweighted), pattern):
        change = make(name, inner.weight)
        made[name] = put(holder, key, Reweighted(inner, change, before))
    return made


def bake(model: Module) -> Module:
    """Make change(W) the weight of plain Linear maps, after training. Returns the model."""
    for _, holder, key, inner in places(model, Reweighted):
        settle(inner)
        plain = Linear.__new__(Linear)  # without drawing weights that would be replaced
        plain.weight, plain.bias = inner.weight, inner.bias  # the same Tensors, not copies
        put(holder, key, plain)
    return model


def settle(inner: Reweighted) -> None:
    """W <- change(W) of a Reweighted map, in place."""
    with no_grad():
        inner.weight.assign_(inner.change(inner.weight).data)
