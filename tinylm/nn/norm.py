"""Normalization layers, and where a block places them. Read next: feedforward.py."""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.autograd import Array, Tensor, layer_norm, rms_norm
from tinylm.backend import DType
from tinylm.nn.module import Module


class LayerNorm(Module):
    """gain * (x - mean) / std + bias over the last axis   (book eq. 2.23).

    bias  False leaves it out
    eps   added to the variance before the root
    """

    def __init__(
        self, d_model: int, bias: bool = True, eps: float = 1e-5, dtype: DType = np.float32
    ) -> None:
        self.gain = Tensor(np.ones(d_model, dtype), requires_grad=True)
        self.bias = None
        if bias:
            self.bias = Tensor(np.zeros(d_model, dtype), requires_grad=True)
        self.eps = eps

    def __call__(self, x: Array) -> Tensor:
        return layer_norm(x, self.gain, self.bias, eps=self.eps)  # (..., D) -> (..., D)


class RMSNorm(Module):
    """gain * x / sqrt(mean(x^2) + eps) over the last axis   (book eq. 2.24).

    bias  accepted so that NORMS share a signature, and ignored: this norm has none
    """

    def __init__(
        self, d_model: int, bias: bool = False, eps: float = 1e-6, dtype: DType = np.float32
    ) -> None:
        self.gain = Tensor(np.ones(d_model, dtype), requires_grad=True)
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.gain, eps=self.eps)  # (..., D) -> (..., D)


NORMS = {"layer": LayerNorm, "rms": RMSNorm}


# Where the norm stands around a branch F and its residual connection; x (B, T, D) -> (B, T, D).
# Pre-norm leaves the path from the last layer to the first free of norms, so gradients reach the
# lower layers of a deep model; post-norm puts every norm into that path.


def pre_norm(x: Tensor, branch: Callable[[Tensor], Tensor], norm: Module) -> Tensor:
    """x + F(norm(x)): "pre-norm" in the literature, as in GPT-2 and LLaMA."""
    return x + branch(norm(x))


def post_norm(x: Tensor, branch: Callable[[Tensor], Tensor], norm: Module) -> Tensor:
    """norm(x + F(x))   (book eq. 2.4; Vaswani et al. 2017, BERT)."""
    return norm(x + branch(x))


def branch_norm(x: Tensor, branch: Callable[[Tensor], Tensor], norm: Module) -> Tensor:
    """x + norm(F(x)): the output of the branch is normalized, as in OLMo 2.

    Book eq. 2.5 prints this as pre-norm; see pre_norm for what the literature means by it.
    """
    return x + norm(branch(x))


def sandwich_norm(
    x: Tensor, branch: Callable[[Tensor], Tensor], norms: Sequence[Callable[[Tensor], Tensor]]
) -> Tensor:
    """x + outer(F(inner(x))): a norm on both sides of the branch, as in Gemma 2.

    norms  the pair (inner, outer)
    """
    inner, outer = norms
    return x + outer(branch(inner(x)))


# The placements that take one norm for each branch.
PLACEMENTS = {"pre": pre_norm, "post": post_norm, "branch": branch_norm}
