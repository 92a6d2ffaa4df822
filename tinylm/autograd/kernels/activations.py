"""Fused activations   (book section 2.2.2). Each keeps its slope from the forward pass.

With y = f(x) elementwise, dL/dx = g f'(x): backward is one product with the slope f'(x), which is
cheap to compute beside f(x). No `x**3`: np.power on float32 of both signs costs as much as 300
multiplications. Scratch arrays are written with `out=` and reused, which is half of what makes
these fast. The plain twins are in composed.py. Read next: losses.py.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd.device import activations as raw
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike
from tinylm.autograd.kernels import composed
from tinylm.autograd.primitives.choice import blockwise
from tinylm.autograd.primitives.elementwise import mul, sigmoid, sigmoid_step
from tinylm.autograd.primitives.erf import normal_cdf
from tinylm.autograd.primitives.exponentials import exp_times, is_short
from tinylm.backend import DType
from tinylm.errors import ConfigError, ShapeError


def _by_blocks(step):
    """Decorator: step(x, y, slope), which writes into flat arrays, becomes (x, keep) -> (y, slope).

    slope is None if it is not kept. Arrays go through in blocks that stay in the cache.
    """

    def on_array(x, keep):
        if keep:
            return blockwise(step, x, outputs=2)
        return blockwise(lambda x, y: step(x, y, None), x), None

    return on_array


@_by_blocks
def _gelu_tanh(x, y, slope):
    """gelu_tanh(x) and, if kept, its slope."""
    # With u = c (x + 0.044715 x^3) and p = (1 + tanh(u))/2 = 1/(1 + exp(-2u)):
    #   y = x p,   y' = p + x p' = p + 2 x p (1 - p) u',   u' = c (1 + 3 * 0.044715 x^2)
    c = math.sqrt(2 / math.pi)
    square = np.multiply(x, x, out=slope)  # a new array if slope is None
    # p is 0 or 1 at 1e4 already, and inf * 0 would be nan. np.clip with both bounds is the fastest.
    np.clip(square, 0, 1e4, out=square)
    # exp() is NumPy's fastest transcendental, except for tanh() of float32 with AVX-512.
    by_tanh = is_short(x)
    times = c if by_tanh else -2 * c
    p = np.multiply(square, 0.044715 * times, out=y)
    p += times
    p *= x
    if by_tanh:
        np.tanh(p, out=p)
        p *= 0.5
        p += 0.5
    else:
        np.exp(p, out=p)  # exp(-2u) may be infinite: then p is 0, as it should
        p += 1
        np.divide(1, p, out=p)
    if slope is not None:
        square *= 6 * 0.044715 * c  # its memory becomes 2 x p (1 - p) u' + p
        square += 2 * c
        scratch = 1 - p  # first, as it is 0 where x is large
        square *= scratch
        square *= np.multiply(x, p, out=scratch)
        square += p
    p *= x


@_by_blocks
def _gelu(x, y, slope):
    """gelu(x) and, if kept, its slope."""
    # y = x Phi(x),   y' = Phi(x) + x phi(x),   phi(x) = Phi'(x) = exp(-x^2/2)/sqrt(2 pi)
    square = np.multiply(x, x, out=slope)  # a new array if slope is None
    cdf = normal_cdf(x, square, out=y)  # three arrays in all: they fit into the cache
    if slope is not None:
        exp_times(square, -0.5, out=slope)
        slope *= 1 / math.sqrt(2 * math.pi)
        slope *= x
        slope += cdf
    np.multiply(x, cdf, out=y)


@_by_blocks
def _silu(x, y, slope):
    """silu(x) and, if kept, its slope."""
    # y = x s with s = sigmoid(x), s' = s (1 - s):   y' = s + x s (1 - s) = s + y (1 - s)
    # Written as s (1 + x (1 - s)): s stands in y until the end, and no third array is needed.
    sigmoid_step(x, y)
    if slope is not None:
        np.subtract(1, y, out=slope)
        slope *= x
        slope += 1
        slope *= y
    y *= x


@fused(composed.gelu_tanh, raw=raw.gelu_tanh)
def gelu_tanh(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """GELU by its tanh approximation, as GPT-2 uses it   (Hendrycks & Gimpel 2016)

    Elementwise, returns x's shape.

    Plain twin: composed.gelu_tanh. Check: tinylm gradcheck gelu_tanh
    """
    y, slope = _gelu_tanh(x, keep)
    return y, lambda g: (g * slope,)


@fused(composed.gelu, raw=raw.gelu)
def gelu(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """GELU: x Phi(x), Phi the normal distribution function   (book eq. 2.27)

    Elementwise, returns x's shape. Plain twin: composed.gelu. Check: tinylm gradcheck gelu
    """
    y, slope = _gelu(x, keep)
    return y, lambda g: (g * slope,)


@fused(composed.silu, raw=raw.silu)
def silu(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """SiLU, or Swish with c = 1: x sigmoid(x)   (book section 2.2.2; Ramachandran et al. 2017)

    Elementwise, returns x's shape. Plain twin: composed.silu. Check: tinylm gradcheck silu
    """
    y, slope = _silu(x, keep)
    return y, lambda g: (g * slope,)


def _gated(activation, gate, up, keep):
    """activation(gate) * up, and the backward of both."""
    if gate.shape != up.shape:
        raise ShapeError(
            f"gated activation: gate {gate.shape} and up {up.shape} must have one shape"
        )
    # y = f(gate) up:   dL/dgate = g f'(gate) up,   dL/dup = g f(gate)
    value, slope = activation(gate, keep)
    return value * up, lambda g: (g * slope * up, g * value)


@fused(composed.swiglu, raw=raw.swiglu)
def swiglu(gate: np.ndarray, up: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """SwiGLU's product: silu(gate) * up   (book eq. 2.30; Shazeer 2020)

    gate, up  of one shape, (..., F); returns that shape

    Plain twin: composed.swiglu. Check: tinylm gradcheck swiglu
    """
    return _gated(_silu, gate, up, keep)


@fused(composed.geglu, raw=raw.geglu)
def geglu(gate: np.ndarray, up: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """GeGLU's product: gelu(gate) * up   (book eq. 2.29; Shazeer 2020)

    gate, up  of one shape, (..., F); returns that shape

    Plain twin: composed.geglu. Check: tinylm gradcheck geglu
    """
    return _gated(_gelu, gate, up, keep)


def dropout(x: Tensor, p: float, rng: Any) -> Tensor:
    """Zero each value with probability p, scale the others by 1/(1-p)   (Srivastava et al. 2014)

    x        Tensor of any shape; its leading axis is the batch, see Random.rows
    p        in [0, 1); 0 returns x itself and draws nothing
    rng      backend.Random: the mask is drawn from it, so a replayed stream gives the same mask
    returns  x's shape, with the same mean

    Composed of primitives. Check: tinylm gradcheck dropout
    """
    if p == 0:
        return x
    return mul(x, kept_scaled(x.shape, p, rng, x.dtype))


def kept_scaled(shape: tuple[int, ...], p: float, rng: Any, dtype: DType) -> np.ndarray:
    """A dropout mask of `shape`: 1/(1-p) where kept, 0 where dropped.

    raises  ConfigError if p is not in [0, 1), or rng is not a stream of random numbers
    """
    if not 0 <= p < 1:
        raise ConfigError(f"dropout: p = {p} is not in [0, 1)")
    if not hasattr(rng, "bernoulli"):
        raise ConfigError(
            f"dropout: rng must be a stream of random numbers, tinylm.Random(seed), not {rng!r}"
        )
    return np.multiply(rng.bernoulli(1 - p, shape), 1 / (1 - p), dtype=dtype)


# The rest has no kernel: a line of primitives each, differentiable to any order.


def swish(x: Array, c: TensorLike = 1.0) -> Tensor:
    """Swish: x sigmoid(c x)   (book section 2.2.2; Ramachandran et al. 2017)

    x        Tensor or array of any shape
    c        number or Tensor that broadcasts to x, differentiated: 0 gives x/2, 1 is silu, 1.702 is
             close to gelu; the larger, the closer to relu
    returns  x's shape

    Check: tinylm gradcheck swish
    """
    return mul(x, sigmoid(mul(x, c)))


def gelu_sigmoid(x: Array) -> Tensor:
    """GELU by a sigmoid: x sigmoid(1.702 x)   (Hendrycks & Gimpel 2016)

    Within 0.021 of gelu everywhere. Check: tinylm gradcheck gelu_sigmoid
    """
    return swish(x, 1.702)


def glu(gate: Array, up: Array) -> Tensor:
    """The gated linear unit's product: sigmoid(gate) * up   (book eq. 2.28; Dauphin et al. 2017)

    gate, up  of one shape, (..., F): two linear maps of the same input; returns that shape

    Check: tinylm gradcheck glu
    """
    return mul(sigmoid(gate), up)
