"""Parts of a layer on arrays, which all decoders of this folder share.

Read next: folded.py.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm.backend import DType
from tinylm.nn import ACTIVATIONS, GATES, LayerNorm
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module


def normed(x: np.ndarray, norm: Module) -> np.ndarray:
    """Layer norm or RMS norm of arrays: (n, D) -> (n, D)."""
    if isinstance(norm, LayerNorm):
        x = x - x.mean(axis=1, keepdims=True)
    size = np.einsum("bd,bd->b", x, x)[:, None] / x.shape[1]  # (n, 1) mean square
    y = x * ((size + norm.eps) ** -0.5).astype(x.dtype)
    y *= norm.gain.data
    if getattr(norm, "bias", None) is not None:
        y += norm.bias.data
    return y


def rising(forward: Module, activation: str) -> list[Linear]:
    """The maps into the hidden layer: [gate, up], or one."""
    if activation in GATES:
        return [forward.gate, forward.up]
    return [forward.hidden]


def bias_of(linear: Linear) -> np.ndarray | None:
    """The bias of a linear map as an array, or None."""
    if linear.bias is None:
        return None
    return linear.bias.data


def activation_into(name: str, dtype: DType) -> tuple[Callable, float, float]:
    """(function (hidden, out) on vectors, factor for the matrix before, factor for that after)."""
    one = np.ones((), dtype)
    if name == "swiglu":

        def swiglu(hidden, out):  # gate / (1 + e^-gate) * up; 0 where e^-gate overflows
            gate, up = hidden[: len(out)], hidden[len(out) :]
            np.negative(gate, out)
            np.exp(out, out)
            np.add(out, one, out)
            np.divide(gate, out, out)
            np.multiply(out, up, out)

        return swiglu, 1.0, 1.0
    if name in GATES:

        def gated(hidden, out):  # (2F,) -> (F,): gate first, then up
            np.copyto(out, GATES[name](hidden[: len(out)], hidden[len(out) :]).data)

        return gated, 1.0, 1.0
    if name == "relu":
        zero = np.zeros((), dtype)
        return lambda hidden, out: np.maximum(hidden, zero, out=out), 1.0, 1.0
    if name != "gelu_tanh":
        return lambda hidden, out: np.copyto(out, ACTIVATIONS[name](hidden).data), 1.0, 1.0
    # gelu(x) = x/2 (1 + tanh(c (x + a x^3))), c = sqrt(2/pi), a = 0.044715. With h = s x and s^3 =
    # a c the argument of tanh is h (h^2 + c/s), so s goes into the matrix before, 1/(2s) into the
    # one after, and six calls are left.
    c = math.sqrt(2 / math.pi)
    s = (0.044715 * c) ** (1 / 3)
    shift = np.array(c / s, dtype)

    def gelu_tanh(hidden, out):
        np.multiply(hidden, hidden, out)
        np.add(out, shift, out)
        np.multiply(out, hidden, out)
        np.tanh(out, out)
        np.add(out, one, out)
        np.multiply(out, hidden, out)

    return gelu_tanh, s, 1 / (2 * s)
