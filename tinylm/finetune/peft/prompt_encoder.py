"""Soft prompts computed by a small network   (book section 3.3.2.2; Liu et al. 2021, P-tuning)

    p_0 .. p_{n-1} = f(u_0 .. u_{n-1})        u and the parameters of f are learnt

Vectors that are learnt one by one do not depend on each other. A network f that reads them as a
sequence couples them, and training is often easier. After training only the output of f is kept:
stored and used are the n D numbers of prompt tuning. Read next: soft_prompts.py.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, flip, no_grad, relu
from tinylm.backend import DType, Random
from tinylm.finetune.peft.soft_prompts import SoftPrompt
from tinylm.nn import Block, FeedForward, LayerNorm, Linear, Module, SelfAttention, pre_norm
from tinylm.nn.recurrence.recurrent import LSTMCell, Recurrent


class PromptEncoder(Module):
    """Learnt vectors sent through a network; called without arguments, returns the prompt (n, D).

    start    (n, E) array that the vectors start from
    network  module (1, n, E) -> (1, n, D), one of the functions below; None for the identity, which
             is prompt tuning
    """

    def __init__(self, start: np.ndarray, network: Module | None = None) -> None:
        self.vectors = Tensor(np.array(start), requires_grad=True)
        self.network = network

    def __call__(self) -> Tensor:
        if self.network is None:
            return self.vectors
        return self.network(self.vectors[None])[0]  # (n, E) -> (1, n, E) -> (1, n, D) -> (n, D)

    def cached(self) -> SoftPrompt:
        """The present prompt without the network, as a SoftPrompt."""
        with no_grad():
            return SoftPrompt(self().numpy()).to(self.vectors.device)


class MLP(Module):
    """relu(x W + b) W' + b', for each vector by itself."""

    def __init__(
        self, width: int, d_hidden: int, d_model: int, rng: Random, dtype: DType = np.float32
    ) -> None:
        self.hidden = Linear(width, d_hidden, rng, std=width**-0.5, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, std=d_hidden**-0.5, dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return self.out(relu(self.hidden(x)))


class BidirectionalLSTM(Module):
    """An LSTM from each end, and an MLP over both: P-tuning's own network.

    width     E;  d_hidden width of each LSTM;  d_model D
    """

    def __init__(
        self, width: int, d_hidden: int, d_model: int, rng: Random, dtype: DType = np.float32
    ) -> None:
        self.forward = Recurrent(LSTMCell(width, d_hidden, rng, dtype))
        self.backward = Recurrent(LSTMCell(width, d_hidden, rng, dtype))
        # Matrices are rescaled to a standard deviation of 1/sqrt(E): the usual 0.02 is meant for
        # wide models, and here the states would all be close to 0.
        for parameter in (*self.forward.parameters(), *self.backward.parameters()):
            if parameter.ndim == 2:
                parameter.data *= width**-0.5 / max(float(np.std(parameter.data)), 1e-12)
        self.out = MLP(2 * d_hidden, d_hidden, d_model, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        ahead, _ = self.forward(x)  # (1, n, E) -> (1, n, H)
        back, _ = self.backward(flip(x, axis=1))
        both = concatenate([ahead, flip(back, axis=1)], axis=-1)  # (1, n, 2 H)
        return self.out(both)  # (1, n, D)


def transformer(width: int, heads: int, rng: Random, dtype: DType = np.float32) -> Block:
    """One block without a causal mask, every vector sees all: (1, n, D) -> (1, n, D)."""
    attention = SelfAttention(width, heads, rng, causal=False, dtype=dtype)
    hidden = FeedForward(width, 4 * width, rng, dtype=dtype)
    norms = [LayerNorm(width, dtype=dtype) for _ in range(2)]
    return Block(attention, hidden, norms, pre_norm, rng)
