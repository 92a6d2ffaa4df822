"""Memories that work segment by segment: hidden states, compressed pairs, memory tokens, sums.

Transformer-XL reads the previous segment's hidden states without a gradient (Dai et al. 2019). The
compressive transformer compresses what falls out of its memory instead of dropping it (book eqs.
2.61-2.63; Rae et al. 2019). From segment to segment, recurrent memory passes on tokens (Bulatov et
al. 2022), block recurrence a gated state (Hutchins et al. 2022), and Infini-attention the state of
a linear attention beside exact attention (Munkhdalai et al. 2024). All have a fixed size. Read
next: retrieved.py, where the memory lies outside the model.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd import Tensor, attention, concatenate, mean, sigmoid, tanh
from tinylm.autograd.kernels.heads import check_heads, even_heads
from tinylm.autograd.primitives.statistics import mean_square
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.linear_attention import elu_features, initial_state
from tinylm.nn.attention.multi_head import CrossAttention, SelfAttention, merge_heads
from tinylm.nn.linear import Linear, normal_parameter, undecayed
from tinylm.nn.memory.fixed_size import Memory, _joined
from tinylm.nn.module import Module


class SegmentRecurrentAttention(Module):
    """Attention to a segment and to earlier inputs of the same layer   (Dai et al. 2019).

    d_model  D;  heads H
    memory   how many earlier positions are kept
    bias     module of position/bias.py, called with query and key positions counted from the
             oldest one kept. Positions must be relative: the same state is read again one segment
             later, when it lies further back. None for no positions
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random,
        memory: int,
        bias: Module | None = None,
        dtype: DType = np.float32,
    ) -> None:
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

    def __call__(
        self, x: Tensor, past: Tensor | None = None, detach: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Attention of a segment to itself and to the inputs kept from earlier segments.

        x        (B, T, D)  this segment's input of the layer
        past     (B, M, D)  what the call for the segment before returned, or None
        detach   stop the gradient into the past, as in training; False backpropagates through all
                 segments
        returns  (y (B, T, D), the newest `memory` inputs of past and x, for the next segment)
        """
        B, T, D = x.shape
        H = self.heads
        if past is None:
            past = Tensor(np.zeros_like(x.data, shape=(B, 0, D)))
        if detach:
            past = past.detach()
        seen = concatenate([past, x], axis=1)  # (B, M + T, D)
        S = seen.shape[1]
        q = self.q(x).reshape(B, T, H, D // H).transpose(0, 2, 1, 3)  # (B, H, T, K)
        kv = self.kv(seen).reshape(B, S, 2 * H, D // H).transpose(0, 2, 1, 3)  # (B, 2H, S, K)
        k, v = kv[:, :H], kv[:, H:]
        bias = None
        if self.bias is not None:
            positions = np.arange(S, like=x.data)
            bias = self.bias(positions[S - T :], positions)  # (1|H, T, S)
        y = attention(q, k, v, bias=bias, causal=True)
        kept = seen[:, max(S - self.memory, 0) :]  # (B, min(S, memory), D)
        if detach:
            kept = kept.detach()
        return self.out(merge_heads(y)), kept


class SegmentStates:
    """What each layer's attention read in the segments before, during one pass through a stack.

    SelfAttention with these computes what SegmentRecurrentAttention does, with its own rotations,
    biases and norms; a GPT makes them in read().

    size  M, the positions that are kept
    past  one Tensor (B, m, D), m <= M, for each layer, as `kept` of the pass before; None for the
          first segment
    """

    def __init__(self, size: int, past: Sequence[Tensor] | None = None) -> None:
        self.size, self.past = size, past
        self.kept = []  # for the next segment

    @property
    def length(self) -> int:
        """m, the positions before the new ones."""
        if self.past is None:
            return 0
        return self.past[0].shape[1]

    def extended(self, layer: int, x: Tensor) -> Tensor:
        """The states before, without a gradient, and the new ones: (B, T, D) -> (B, m + T, D)."""
        if self.past is not None:
            x = concatenate([self.past[layer].detach(), x], axis=1)
        self.kept.append(x[:, max(x.shape[1] - self.size, 0) :].detach())
        return x


def _pooled(x, rate):
    """(B, G, m, K) -> (B, G, m / rate, rate, K): groups of neighbors to be merged."""
    B, G, m, K = x.shape
    if m % rate:
        raise ConfigError(
            f"compressive memory: {m} pairs do not divide by the rate {rate}: "
            "let it divide the segment and the memory"
        )
    return x.reshape(B, G, m // rate, rate, K)


def pool_by_mean(rate: int) -> Callable:
    """Compression by the mean of `rate` neighbors."""
    return lambda x: mean(_pooled(x, rate), axis=3)


def pool_by_max(rate: int) -> Callable:
    """Compression by the largest entry of `rate` neighbors, channel by channel."""
    return lambda x: ad.max(_pooled(x, rate), axis=3)


class ConvolutionPool(Module):
    """Compression by a learned convolution whose kernel and stride are `rate` pairs.

    (B, G, m, K) -> (B, G, m / rate, K), width  K
    """

    def __init__(self, rate: int, width: int, rng: Random, dtype: DType = np.float32) -> None:
        self.rate = rate
        self.weight = normal_parameter((rate * width, width), rng, (rate * width) ** -0.5, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        x = _pooled(x, self.rate)  # (B, G, m / rate, rate, K)
        x = x.reshape(*x.shape[:3], -1)  # (B, G, m / rate, rate K)
        return x @ self.weight  # (B, G, m / rate, K)


def compressive(
    size: int, compressed: int, pool_keys: Callable, pool_values: Callable | None = None
) -> Memory:
    """A recent memory Mem, and CMem of compressed pairs that left it   (book eqs. 2.61-2.63).

    size         n_mem, the newest pairs, kept as they are
    compressed   n_cmem, compressed pairs kept; older ones are forgotten
    pool_keys    compresses (B, G, m, K) to (B, G, m / c, K): pool_by_mean(c), pool_by_max(c) or
                 ConvolutionPool(c, K, rng). The number of pairs that fall out at once must divide
                 by c
    pool_values  the same as pool_keys unless given
    returns      Memory; reads [CMem, Mem], the oldest first. Together they span n_mem + c n_cmem
                 tokens

    A segment is taken in before its queries attend, so its own pairs are in Mem.
    """
    if pool_values is None:
        pool_values = pool_keys

    def compressed_rest(old, pairs, pool):
        """CMem after an update, and the newest pairs, for keys or for values."""
        cut = max(pairs.shape[2] - size, 0)  # pairs that fall out of Mem
        if cut:
            old = concatenate([old, pool(pairs[:, :, :cut])], axis=2)
        return old[:, :, max(old.shape[2] - compressed, 0) :], pairs[:, :, cut:]

    def update(k, v, state):
        if state is None:
            old_keys, old_values = k[:, :, :0], v[:, :, :0]
        else:
            (old_keys, old_values), (keys, values) = state
            k = concatenate([keys, k], axis=2)
            v = concatenate([values, v], axis=2)
        old_keys, keys = compressed_rest(old_keys, k, pool_keys)
        old_values, values = compressed_rest(old_values, v, pool_values)
        return (old_keys, old_values), (keys, values)

    return Memory(update, _joined)


def reconstruction_loss(
    q: Tensor, pairs: tuple[Tensor, Tensor], squeezed: tuple[Tensor, Tensor]
) -> Tensor:
    """mean (Att(q, pairs) - Att(q, squeezed))^2: how much compression changes attention.

    Rae et al. 2019. It is to train the compression alone: pass q and pairs detached, as the paper
    does.

    q         (B, H, T, K) queries
    pairs     (keys, values)
    squeezed  (keys, values) after compression
    """
    difference = attention(q, *pairs) - attention(q, *squeezed)
    return mean_square(difference)


def infini_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gate: Tensor,
    state: Tensor | None = None,
    features: Callable = elu_features,
) -> tuple[Tensor, Tensor]:
    """g Linear(q, earlier segments) + (1 - g) Att(q, k, v), g one gate per head.

    Exact attention inside a segment, linear attention to all segments before it.

    q, k     (B, H, T, K), v (B, H, T, J)  one segment
    gate     (H,) Tensor: g = sigmoid(gate) is the share of the memory
    state    (B, H, F, J + 1) of the segments before, as in attention/linear_attention.py; None for
             none
    returns  (y (B, H, T, J), state with this segment added)   (Munkhdalai et al. 2024)
    """
    check_heads("infini_attention", q, k, v)
    if gate.shape != (q.shape[1],):
        raise ShapeError(
            f"infini_attention: a gate of shape {gate.shape} for {q.shape[1]} heads: give (H,)"
        )
    phi_q = features(q)  # (B, H, T, F)
    phi_k = features(k)
    if state is None:
        state = initial_state(phi_q, v)

    # phi(q) mu / phi(q) nu, as in linear attention; 0 where the memory is empty.
    y = phi_q @ state  # (B, H, T, J + 1)
    empty = (y.data[..., -1:] == 0).astype(q.dtype)
    remembered = y[..., :-1] / (y[..., -1:] + empty)  # (B, H, T, J)
    share = sigmoid(gate).reshape(1, -1, 1, 1)
    mixed = share * remembered + (1 - share) * attention(q, k, v, causal=True)

    # The segment enters the memory after its queries have read: [mu, nu] += phi(k)^T [v, 1].
    ones = np.ones_like(v.data, shape=(*v.shape[:3], 1))
    state = state + phi_k.swapaxes(-1, -2) @ concatenate([v, ones], axis=-1)
    return mixed, state


class RecurrentMemory(Module):
    """Memory tokens around each segment, passed on to the next (RMT; Bulatov et al. 2022).

    The outputs of the n tokens behind a segment are the n tokens before the next one.

    layers  a Module (B, T, D) -> (B, T, D) that mixes positions; causal, so the tokens behind see
            the segment, and the segment sees the tokens before it
    count   n; the tokens of the first segment are learned
    """

    def __init__(
        self,
        layers: Callable | None,
        count: int,
        d_model: int,
        rng: Random,
        dtype: DType = np.float32,
    ) -> None:
        self.layers = layers
        self.start = normal_parameter((1, count, d_model), rng, 1.0, dtype)

    def __call__(self, x: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), memory (B, n, D) of the segment before or None -> (y (B, T, D), memory)."""
        B, T, D = x.shape
        n = self.start.shape[1]
        if memory is None:
            memory = ad.broadcast_to(self.start, shape=(B, n, D))  # the same for every row
        y = self.layers(concatenate([memory, x, memory], axis=1))  # (B, n + T + n, D)
        return y[:, n : n + T], y[:, n + T :]


class BlockRecurrentCell(Module):
    """A recurrent cell whose input is a segment, and whose state is n vectors.

    Tokens attend to themselves and to the state. The state attends to the tokens, and a gate keeps
    a part of it, like that of an LSTM: state' = g state + (1 - g) tanh(update), with a learned g
    per channel   (Hutchins et al. 2022).
    """

    def __init__(
        self, d_model: int, heads: int, states: int, rng: Random, dtype: DType = np.float32
    ) -> None:
        self.inside = SelfAttention(d_model, heads, rng, dtype=dtype)
        self.reading = CrossAttention(d_model, heads, rng, dtype=dtype)
        self.writing = CrossAttention(d_model, heads, rng, dtype=dtype)
        # The vectors start different; equal ones would be updated equally for ever.
        self.start = undecayed(normal_parameter((1, states, d_model), rng, 1.0, dtype))
        self.gate = Tensor(np.ones(d_model, dtype), requires_grad=True)  # sigmoid(1) = 0.73

    def __call__(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), state (B, n, D) or None -> (y (B, T, D), state)."""
        if state is None:
            _, n, D = self.start.shape
            state = ad.broadcast_to(self.start, shape=(len(x), n, D))  # the same for every row
        y = x + self.inside(x) + self.reading(x, state)  # (B, T, D)
        g = sigmoid(self.gate)  # (D,)
        update = self.writing(state, x)  # the state attends to the tokens: (B, n, D)
        return y, g * state + (1 - g) * tanh(update)
