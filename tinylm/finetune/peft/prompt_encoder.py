"""Soft prompts made by a small network   (book section 3.3.2.2; Liu et al. 2021, P-tuning)

Vectors that are learnt one by one know nothing of each other. Sent through a network that reads
them as a sequence they are learnt together, p = f(u_0 .. u_n), and training is often easier. Once
trained, f has done its work: its output is kept and the network thrown away, so what is stored and
used is prompt tuning's n D numbers. Read next: soft_prompts.py.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, flip, no_grad, relu
from tinylm.finetune.peft.soft_prompts import SoftPrompt
from tinylm.nn import Block, FeedForward, LayerNorm, Linear, Module, SelfAttention, pre_norm
from tinylm.nn.recurrence.recurrent import LSTMCell, Recurrent


class PromptEncoder(Module):
    """Learnt vectors behind a network: called without arguments, it returns the prompt (n, D).

    start    (n, E) array that the vectors start from
    network  module (1, n, E) -> (1, n, D), one of the functions below; None for the identity, which
             is prompt tuning
    """

    def __init__(self, start, network=None):
        self.vectors, self.network = Tensor(np.array(start), requires_grad=True), network

    def __call__(self):
        if self.network is None:
            return self.vectors
        return self.network(self.vectors[None])[0]

    def cached(self):
        """The prompt as it is now, without the network: a SoftPrompt that says the same."""
        with no_grad():
            return SoftPrompt(self().numpy()).to(self.vectors.device)


class MLP(Module):
    """relu(x W + b) W' + b', for each vector alone."""

    def __init__(self, width, d_hidden, d_model, rng, dtype=np.float32):
        self.hidden = Linear(width, d_hidden, rng, std=width**-0.5, dtype=dtype)
        self.out = Linear(d_hidden, d_model, rng, std=d_hidden**-0.5, dtype=dtype)

    def __call__(self, x):
        return self.out(relu(self.hidden(x)))


class BidirectionalLSTM(Module):
    """An LSTM from each end, and an MLP over both: P-tuning's own network. d_hidden is the width of
    each LSTM.
    """

    def __init__(self, width, d_hidden, d_model, rng, dtype=np.float32):
        self.forward, self.backward = (
            Recurrent(LSTMCell(width, d_hidden, rng, dtype)) for _ in range(2)
        )
        for parameter in (*self.forward.parameters(), *self.backward.parameters()):
            if parameter.ndim == 2:
                parameter.data *= width**-0.5 / max(float(np.std(parameter.data)), 1e-12)
        self.out = MLP(2 * d_hidden, d_hidden, d_model, rng, dtype)

    def __call__(self, x):
        ahead, _ = self.forward(x)
        back, _ = self.backward(flip(x, axis=1))
        return self.out(concatenate([ahead, flip(back, axis=1)], axis=-1))  # (1, n, E) -> (1, n, D)


def transformer(width, heads, rng, dtype=np.float32):
    """One block in which every vector of the prompt sees every other: (1, n, D) -> (1, n, D)."""
    attention = SelfAttention(width, heads, rng, causal=False, dtype=dtype)
    hidden = FeedForward(width, 4 * width, rng, dtype=dtype)
    return Block(
        attention, hidden, [LayerNorm(width, dtype=dtype) for _ in range(2)], pre_norm, rng
    )
