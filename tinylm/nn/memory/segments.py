"""Memories that work by segments: reused hidden states, compressed ones, memory tokens, and a
matrix that sums all.

Transformer-XL reads the previous segment's hidden states without a gradient (Dai et al. 2019); the
compressive transformer squeezes what falls out of its memory instead of dropping it (book eqs.
2.61-2.63; Rae et al. 2019); recurrent memory passes tokens on (Bulatov et al. 2022), block
recurrence a gated state (Hutchins et al. 2022), and Infini-attention a linear-attention state
beside exact attention (Munkhdalai et al. 2024). All have a fixed size. Read next: retrieved.py,
where the memory lies outside.
"""

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd import Tensor, attention, concatenate, mean, sigmoid, tanh
from tinylm.autograd.kernels.heads import check_heads, even_heads
from tinylm.autograd.primitives.statistics import mean_square
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.linear_attention import elu_features, initial_state
from tinylm.nn.attention.multi_head import CrossAttention, SelfAttention, merge_heads
from tinylm.nn.linear import Linear, normal_parameter, undecayed
from tinylm.nn.memory.fixed_size import Memory
from tinylm.nn.module import Module


class SegmentRecurrentAttention(Module):
    """Attention to a segment and to the hidden states that this layer read before it   (Dai et al.
    2019).

    d_model  D;  heads H
    memory   how many earlier positions are kept
    bias     module of nn.position_bias, called with query and key positions counted from the oldest
             kept; relative positions are what lets a state be read again one segment further back.
             None for no positions
    """

    def __init__(self, d_model, heads, rng, memory, bias=None, dtype=np.float32):
        even_heads("SegmentRecurrentAttention", d_model, heads)
        if memory < 0:
            raise ConfigError(
                f"SegmentRecurrentAttention: width {d_model}, {heads} heads, memory {memory}: "
                "heads must divide the width and memory be 0 or more"
            )
        self.heads, self.memory, self.bias = heads, memory, bias
        self.q = Linear(d_model, d_model, rng, dtype=dtype)
        self.kv = Linear(d_model, 2 * d_model, rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x, past=None, detach=True):
        """Attend.

        x        (B, T, D)  this segment's input of the layer
        past     (B, M, D)  what the call for the segment before returned, or None
        detach   stop the gradient into the past, as training does; False goes back through all
                 segments
        returns  (y (B, T, D), the newest `memory` inputs of past and x, for the next segment)
        """
        (B, T, D), H = x.shape, self.heads
        if past is None:
            past = Tensor(np.zeros_like(x.data, shape=(B, 0, D)))
        seen = concatenate([past.detach() if detach else past, x], axis=1)  # (B, M + T, D)
        S = seen.shape[1]
        q = self.q(x).reshape(B, T, H, D // H).transpose(0, 2, 1, 3)  # (B, H, T, K)
        kv = self.kv(seen).reshape(B, S, 2 * H, D // H).transpose(0, 2, 1, 3)  # (B, 2H, M + T, K)
        positions = np.arange(S, like=x.data)
        bias = None if self.bias is None else self.bias(positions[S - T :], positions)
        y = attention(q, kv[:, :H], kv[:, H:], bias=bias, causal=True)
        kept = seen[:, max(S - self.memory, 0) :]
        return self.out(merge_heads(y)), kept.detach() if detach else kept


def _pooled(x, rate):
    """(B, G, m, K) -> (B, G, m / rate, rate, K): neighbors to be made one."""
    B, G, m, K = x.shape
    if m % rate:
        raise ConfigError(
            f"compressive memory: {m} pairs do not divide by the rate {rate}: "
            "let it divide the segment and the memory"
        )
    return x.reshape(B, G, m // rate, rate, K)


def mean_pool(rate):
    """Compression by the mean of `rate` neighbors."""
    return lambda x: mean(_pooled(x, rate), axis=3)


def max_pool(rate):
    """Compression by the largest entry of `rate` neighbors, channel by channel."""
    return lambda x: ad.max(_pooled(x, rate), axis=3)


class ConvolutionPool(Module):
    """Compression by a learned convolution with kernel and stride `rate`: (B, G, m, K) -> (B, G, m
    / rate, K).
    """

    def __init__(self, rate, width, rng, dtype=np.float32):
        self.rate = rate
        self.weight = normal_parameter((rate * width, width), rng, (rate * width) ** -0.5, dtype)

    def __call__(self, x):
        x = _pooled(x, self.rate)
        return x.reshape(*x.shape[:3], -1) @ self.weight  # (.., rate K) -> (.., K)


def compressive(size, compressed, pool_keys, pool_values=None):
    """A recent memory and a compressed one: what falls out of the first is squeezed into the
    second   (book eqs. 2.61-2.63)

    size        n_mem, newest pairs kept as they are
    compressed  n_cmem, squeezed pairs kept; older ones are forgotten
    pool_keys   turns (B, G, m, K) into fewer: mean_pool(c), max_pool(c), ConvolutionPool(c, K,
                rng); pool_values the same unless given. The number of pairs that fall out at once
                must divide by c
    returns     Memory; reads [CMem, Mem], the oldest first. Together they span n_mem + c n_cmem
                tokens

    By segments of n tokens, a segment's own pairs are in Mem when its queries read: first in, then
    attend.
    """
    pools = pool_keys, pool_values or pool_keys

    def update(k, v, state):
        squeezed, recent = [], []
        for i, (x, pool) in enumerate(zip((k, v), pools)):
            if state is not None:
                x = concatenate([state[1][i], x], axis=2)
            cut = max(x.shape[2] - size, 0)
            recent.append(x[:, :, cut:])
            old = x[:, :, :0] if state is None else state[0][i]
            if cut:
                old = concatenate([old, pool(x[:, :, :cut])], axis=2)
            squeezed.append(old[:, :, max(old.shape[2] - compressed, 0) :])
        return tuple(squeezed), tuple(recent)

    return Memory(
        update, lambda state: tuple(concatenate(list(both), axis=2) for both in zip(*state))
    )


def reconstruction_loss(q, pairs, squeezed):
    """How much attention changes when pairs are replaced by squeezed ones: mean squared difference
    (Rae et al. 2019)

    q         (B, H, T, K) queries;  pairs, squeezed: (keys, values). Trains the compression alone: pass q and pairs
              detached, as the paper does
    """
    difference = attention(q, *pairs) - attention(q, *squeezed)
    return mean_square(difference)


def infini_attention(q, k, v, gate, state=None, features=elu_features):
    """Exact attention inside a segment, linear attention to all segments before it, mixed by a gate
    per head

    q, k     (B, H, T, K), v (B, H, T, J)  one segment
    gate     (H,) Tensor: sigmoid(gate) is the share of the memory
    state    (B, H, F, J + 1) of the segments before, as in attention/linear_attention.py; None for
             none
    returns  (y (B, H, T, J), state with this segment added)   (Munkhdalai et al. 2024)
    """
    check_heads("infini_attention", q, k, v)
    if gate.shape != (q.shape[1],):
        raise ShapeError(
            f"infini_attention: a gate of shape {gate.shape} for {q.shape[1]} heads: give (H,)"
        )
    a, b = features(q), features(k)
    if state is None:
        state = initial_state(a, v)
    y = a @ state  # (B, H, T, J + 1)
    empty = (y.data[..., -1:] == 0).astype(q.dtype)
    remembered = y[..., :-1] / (y[..., -1:] + empty)
    share = sigmoid(gate).reshape(1, -1, 1, 1)
    ones = np.ones_like(v.data, shape=(*v.shape[:3], 1))
    state = state + b.swapaxes(-1, -2) @ concatenate([v, ones], axis=-1)
    return share * remembered + (1 - share) * attention(q, k, v, causal=True), state


class RecurrentMemory(Module):
    """Memory tokens before and behind each segment; what becomes of those behind stands before the
    next   (RMT).

    layers  a Module (B, T, D) -> (B, T, D) that mixes positions; causal, so the tokens behind see
            the segment and the tokens before are seen by it
    count   n memory tokens, learned as the first segment gets them
    """

    def __init__(self, layers, count, d_model, rng, dtype=np.float32):
        self.layers = layers
        self.start = normal_parameter((1, count, d_model), rng, 1.0, dtype)

    def __call__(self, x, memory=None):
        """x (B, T, D), memory (B, n, D) of the segment before or None -> (y (B, T, D), memory)
        (Bulatov et al. 2022).
        """
        n = self.start.shape[1]
        if memory is None:
            memory = self.start + np.zeros_like(x.data, shape=(x.shape[0], 1, 1))
        y = self.layers(concatenate([memory, x, memory], axis=1))  # (B, n + T + n, D)
        return y[:, n : n + x.shape[1]], y[:, n + x.shape[1] :]


class BlockRecurrentCell(Module):
    """A recurrent cell whose input is a segment and whose state is n vectors   (Hutchins et al.
    2022).

    Tokens attend to themselves and to the state; the state attends to the tokens, and a gate like
    an LSTM's keeps a part of what it was: state' = g state + (1 - g) tanh(update), with a learned g
    per channel.
    """

    def __init__(self, d_model, heads, states, rng, dtype=np.float32):
        self.inside = SelfAttention(d_model, heads, rng, dtype=dtype)
        self.reading = CrossAttention(d_model, heads, rng, dtype=dtype)
        self.writing = CrossAttention(d_model, heads, rng, dtype=dtype)
        start = normal_parameter(
            (1, states, d_model), rng, 1.0, dtype
        )  # unlike each other, so they stay so
        self.start = undecayed(start)
        self.gate = Tensor(np.ones(d_model, dtype), requires_grad=True)  # begins by keeping 73 %

    def __call__(self, x, state=None):
        """x (B, T, D), state (B, n, D) or None -> (y (B, T, D), state)."""
        if state is None:
            state = self.start + np.zeros_like(x.data, shape=(x.shape[0], 1, 1))
        keep = sigmoid(self.gate)
        y = x + self.inside(x) + self.reading(x, state)
        return y, keep * state + (1 - keep) * tanh(self.writing(state, x))
