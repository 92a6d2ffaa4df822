"""Normalization layers, and where a block places them. Read next: feedforward.py."""

import numpy as np

from tinylm.autograd import Tensor, layer_norm, rms_norm
from tinylm.nn.module import Module


class LayerNorm(Module):
    """Layer normalization with learned gain, and bias unless left out   (book eq. 2.23)."""

    def __init__(self, d_model, bias=True, eps=1e-5, dtype=np.float32):
        self.gain = Tensor(np.ones(d_model, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(d_model, dtype), requires_grad=True) if bias else None
        self.eps = eps

    def __call__(self, x):
        return layer_norm(x, self.gain, self.bias, eps=self.eps)


class RMSNorm(Module):
    """Root-mean-square normalization with learned gain   (book eq. 2.24); it has no bias, whatever
    is asked for.
    """

    def __init__(self, d_model, bias=False, eps=1e-6, dtype=np.float32):
        self.gain = Tensor(np.ones(d_model, dtype), requires_grad=True)
        self.eps = eps

    def __call__(self, x):
        return rms_norm(x, self.gain, eps=self.eps)


NORMS = {"layer": LayerNorm, "rms": RMSNorm}


def pre_norm(x, branch, norm):
    """x + F(norm(x)): what GPT-2 and LLaMA do and "pre-norm" means in the literature."""
    return x + branch(norm(x))


def post_norm(x, branch, norm):
    """norm(x + F(x))   (book eq. 2.4; Vaswani et al. 2017, BERT)."""
    return norm(x + branch(x))


def branch_norm(x, branch, norm):
    """x + norm(F(x)): what book eq. 2.5 prints as pre-norm; the branch's output is normalized (as
    in OLMo 2).
    """
    return x + norm(branch(x))


def sandwich_norm(x, branch, norms):
    """x + outer(F(inner(x))), norms the pair (inner, outer): normalized on both sides of the branch
    (as in Gemma 2).
    """
    inner, outer = norms
    return x + outer(branch(inner(x)))


# Those that take one norm for each branch.
PLACEMENTS = {"pre": pre_norm, "post": post_norm, "branch": branch_norm}
