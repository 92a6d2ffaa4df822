"""The norm and the residual sum around a branch, on arrays   (book eqs. 2.4, 2.5).

    pre    x + F(norm(x))      as in GPT-2 and LLaMA
    post   norm(x + F(x))      as in BERT

A block recorded part by part has ten operations. What the engine does for each, about 20
microseconds forward and backward, is a third of a step of a small model. In a sublayer the kernels
of the parts run one after another, and their backward functions in reverse: nothing is derived
anew, and results have the bits of the parts (but for the order of three terms where two maps of a
gate read x itself). Read next: feed_forward.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.kernels.norms import layer_norm, rms_norm
from tinylm.errors import ConfigError, ShapeError

PLACEMENTS = ("pre", "post")
NORMS = ("layer", "rms")


def sublayer(
    name: str,
    branch: Callable,
    x: np.ndarray,
    gain: np.ndarray,
    shift: np.ndarray | None,
    norm: str,
    eps: float,
    placement: str,
    keep: bool,
) -> tuple[np.ndarray, Callable]:
    """A branch with its norm and its residual sum, as (y, backward).

    name      of the operation, for errors
    branch    (..., D) -> (y (..., D), backward), a kernel: its y is fresh, and its backward(g)
              gives the derivative by the input first
    norm      one of NORMS, with gain, shift and eps;  placement  one of PLACEMENTS
    returns   backward(g) gives the derivatives by x, gain and shift, then those of the branch
    raises    ConfigError for another norm or placement
    """
    if placement not in PLACEMENTS:
        raise ConfigError(f"{name}: placement {placement!r} is not pre or post")
    around = _pre if placement == "pre" else _post
    return around(name, branch, x, (gain, shift, norm, eps, keep))


def _pre(name, branch, x, norm):
    normed, norm_back = _normed(name, x, *norm)
    y, branch_back = branch(normed)
    _add(name, y, x)

    # y = x + F(n), n = norm(x):   dL/dn by F's own rule, dL/dx = g + (dn/dx)^T dL/dn
    def backward(g):
        by_normed, *by_weights = branch_back(g)
        by_x, by_gain, by_shift = norm_back(formed(by_normed))
        return _and_along(by_x, g), by_gain, by_shift, *by_weights

    return y, backward


def _post(name, branch, x, norm):
    total, branch_back = branch(x)
    _add(name, total, x)
    y, norm_back = _normed(name, total, *norm)

    # y = norm(s), s = x + F(x):   dL/ds by the norm's rule, dL/dx = dL/ds + (dF/dx)^T dL/ds
    def backward(g):
        by_total, by_gain, by_shift = norm_back(g)
        d = formed(by_total)
        by_x, *by_weights = branch_back(d)
        return _and_along(by_x, d), by_gain, by_shift, *by_weights

    return y, backward


def formed(derivative: np.ndarray | Callable) -> np.ndarray:
    """A derivative as an array: a kernel gives a function of the array to write it into, or None,
    where it may not be needed.
    """
    if callable(derivative):
        return derivative(None)
    return derivative


def _normed(name, x, gain, shift, norm, eps, keep):
    """norm(x) and backward, which gives the derivatives by x, gain and shift."""
    if norm == "layer":
        return layer_norm.kernel(x, gain, shift, eps=eps, keep=keep)
    if norm != "rms" or shift is not None:
        raise ConfigError(f"{name}: norm {norm!r} is not layer, or rms without a shift")
    y, backward = rms_norm.kernel(x, gain, eps=eps, keep=keep)
    return y, lambda g: (*backward(g), None)


def _add(name, y, x):
    """y += x: nothing else refers to the result of a branch."""
    if y.shape != x.shape:
        raise ShapeError(f"{name}: the branch gives {y.shape}, which is added to {x.shape}")
    y += x


def _and_along(by_x, g):
    """The derivative by x through the branch, and g itself along the residual path."""

    def both(out):
        d = formed(by_x)
        d += g
        return d

    return both
