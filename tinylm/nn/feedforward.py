"""Feed-forward sub-layers: one hidden layer per position, plain or gated   (book eqs. 2.25-2.31).

Read next: attention/multi_head.py.
"""

import numpy as np

from tinylm.autograd import geglu, gelu, gelu_tanh, glu, relu, silu, swiglu
from tinylm.errors import ConfigError
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module


def geglu_tanh(gate, up):
    """gelu_tanh(gate) * up: GeGLU with the tanh form of GELU, as Gemma has it."""
    return gelu_tanh(gate) * up


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}
GATES = {"swiglu": swiglu, "geglu": geglu, "geglu_tanh": geglu_tanh, "glu": glu}


class FeedForward(Module):
    """sigma(x W_h + b_h) W_f + b_f   (book eq. 2.25), sigma one of ACTIVATIONS."""

    def __init__(
        self,
        d_model,
        d_hidden,
        rng,
        activation="gelu",
        bias=True,
        out_std=INIT_STD,
        dtype=np.float32,
    ):
        if activation not in ACTIVATIONS:
            other = "; that gate is GatedFeedForward's" if activation in GATES else ""
            raise ConfigError(
                f"FeedForward: activation {activation!r} is not one of {', '.join(ACTIVATIONS)}{other}"
            )
        self.activation = ACTIVATIONS[activation]
        self.hidden = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, bias, std=out_std, dtype=dtype)

    def __call__(self, x):
        return self.out(self.activation(self.hidden(x)))  # (..., D) -> (..., F) -> (..., D)


class GatedFeedForward(Module):
    """(sigma(x W_1 + b_1) * (x W_2 + b_2)) W_f + b_f   (book eqs. 2.28-2.30), the product one of
    GATES.
    """

    def __init__(
        self,
        d_model,
        d_hidden,
        rng,
        activation="swiglu",
        bias=False,
        out_std=INIT_STD,
        dtype=np.float32,
    ):
        self.product = GATES[activation]
        self.gate = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.up = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, bias, std=out_std, dtype=dtype)

    def __call__(self, x):
        return self.out(self.product(self.gate(x), self.up(x)))


def feed_forward(activation):
    """The class that builds a feed-forward with this activation or gate."""
    if activation in GATES:
        return GatedFeedForward
    return FeedForward
