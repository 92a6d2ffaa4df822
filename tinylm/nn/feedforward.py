"""Feed-forward sub-layers: one hidden layer per position, plain or gated   (book eqs. 2.25-2.31).

Each position is transformed on its own; only attention mixes positions. D is the model width, F
the hidden width: 4 D in GPT-2, about 8/3 D in LLaMA, whose gated form has three matrices instead of
two. Read next: attention/multi_head.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor, TensorLike, geglu, gelu, gelu_tanh, glu, relu, silu, swiglu
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN


def geglu_tanh(gate: TensorLike, up: TensorLike) -> Tensor:
    """gelu_tanh(gate) * up: GeGLU with the tanh approximation of GELU, as in Gemma."""
    return gelu_tanh(gate) * up


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}
GATES = {"swiglu": swiglu, "geglu": geglu, "geglu_tanh": geglu_tanh, "glu": glu}


class FeedForward(Module):
    """sigma(x W_h + b_h) W_f + b_f   (book eq. 2.25), sigma one of ACTIVATIONS.

    rng  as in Linear
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        rng: Random | None = OWN,
        activation: str = "gelu",
        bias: bool = True,
        out_std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        if activation not in ACTIVATIONS:
            message = f"FeedForward: activation {activation!r} is not one of "
            message += ", ".join(ACTIVATIONS)
            if activation in GATES:
                message += "; that gate is GatedFeedForward's"
            raise ConfigError(message)
        self.activation = ACTIVATIONS[activation]
        self.hidden = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, bias, std=out_std, dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        h = self.activation(self.hidden(x))  # sigma(x W_h + b_h): (..., D) -> (..., F)
        return self.out(h)  # h W_f + b_f: (..., F) -> (..., D)


class GatedFeedForward(Module):
    """(sigma(x W_1 + b_1) * (x W_2 + b_2)) W_f + b_f   (book eqs. 2.28-2.30).

    activation  the product of the two halves, one of GATES
    rng         as in Linear
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        rng: Random | None = OWN,
        activation: str = "swiglu",
        bias: bool = False,
        out_std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.product = GATES[activation]
        self.gate = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.up = Linear(d_model, d_hidden, rng, bias, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, bias, std=out_std, dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        gate = self.gate(x)  # x W_1 + b_1: (..., D) -> (..., F)
        up = self.up(x)  # x W_2 + b_2: (..., D) -> (..., F)
        return self.out(self.product(gate, up))  # (..., F) -> (..., D)


def feed_forward(activation: str) -> Callable[..., Module]:
    """The class of feed-forward that has this activation, or this gate."""
    if activation in GATES:
        return GatedFeedForward
    return FeedForward
