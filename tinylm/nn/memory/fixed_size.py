"""Memories of fixed size: attention to what has been kept of the past   (book eqs. 2.52-2.60).

Attention needs keys and values, not the tokens they came from: Att(q, Mem). If Mem holds all pairs,
this is causal attention; any other rule Mem = Update(S_kv, Mem_before) (eq. 2.58) is another model.
A Memory here is such a rule and how to read it; a state is whatever the rule keeps, None before the
first token. Shapes: G heads of keys and values, K and J their widths, m pairs in memory, n new
ones. Book Fig. 2.6. Read next: segments.py, where the rule takes whole segments and compresses
them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd import Tensor, attention, concatenate, rotary
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.module import Module
from tinylm.nn.position.rotary import rotary_angles


@dataclass(frozen=True)
class Memory:
    """A way to remember   (book eq. 2.58).

    update  (k (B, G, n, K), v (B, G, n, J), state or None) -> state, with the pairs of n new tokens
    read    state -> keys (B, G, m, K), values (B, G, m, J) for the next queries, the newest last
    """

    update: Callable
    read: Callable


def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Att(q, Mem): n queries attend to a memory that ends with their own n pairs (book eq. 2.52).

    q        (B, H, n, K);  keys (B, G, m, K), values (B, G, m, J)
    returns  (B, H, n, J); query t of n does not see the n - 1 - t pairs that came after it
    raises   ShapeError if there are more queries than pairs, so that some would see nothing
    """
    if q.shape[2] > keys.shape[2]:
        raise ShapeError(
            f"attend: {q.shape[2]} queries at once, but the memory holds {keys.shape[2]} pairs: "
            "give it one token a time"
        )
    return attention(q, keys, values, causal=True)


def attend_rotated(q: Tensor, keys: Tensor, values: Tensor, base: float = 10000.0) -> Tensor:
    """attend() with rotary positions inside the memory, from 0 for its first pair.

    Keys must be stored unrotated, because a key moves up when one before it is dropped. With m
    pairs no distance exceeds m - 1, however long the stream   (Xiao et al. 2024).
    """
    n, m = q.shape[2], keys.shape[2]
    positions = np.arange(m, like=q.data)
    cos, sin = rotary_angles(positions, q.shape[3], base, q.dtype)  # (m, K/2) each
    q = rotary(q, cos=cos[m - n :], sin=sin[m - n :])  # the queries belong to the last n pairs
    keys = rotary(keys, cos=cos, sin=sin)
    return attend(q, keys, values)


def stream(
    memory: Memory,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segment: int = 1,
    attend: Callable = attend,
    state: tuple | Tensor | None = None,
) -> tuple[Tensor, tuple | Tensor | None]:
    """A sequence through a memory, `segment` tokens at a time: update, then attend.

    q        (B, H, T, K);  k (B, G, T, K), v (B, G, T, J)
    attend   attention of queries to what memory.read returns: attend() or attend_rotated()
    returns  (y (B, H, T, J), state after the last token)
    """
    if q.shape[2] == 0:
        return attention(q, k, v), state  # empty, and the memory is unchanged
    outputs = []
    for start in range(0, q.shape[2], segment):
        now = slice(start, start + segment)
        state = memory.update(k[:, :, now], v[:, :, now], state)
        outputs.append(attend(q[:, :, now], *memory.read(state)))
    return concatenate(outputs, axis=2), state


def stored_numbers(state: Any) -> int:
    """How many numbers a state holds, for the whole batch   (book section 2.3.3).

    This size is the capacity of a memory. Parameters of the rule are not counted.
    """
    if isinstance(state, (tuple, list)):
        return sum(stored_numbers(part) for part in state)
    if isinstance(state, Tensor):
        return state.size
    return 0


def _appended(state, k, v):
    """Pairs (keys, values) with n new ones behind them: (B, G, m, .) -> (B, G, m + n, .)."""
    if state is None:
        return k, v
    keys, values = state
    return concatenate([keys, k], axis=2), concatenate([values, v], axis=2)


def _last(pairs, size):
    """The newest `size` pairs: (B, G, m, .) -> (B, G, min(m, size), .)."""
    keys, values = pairs
    cut = max(keys.shape[2] - size, 0)
    return keys[:, :, cut:], values[:, :, cut:]


def _joined(state):
    """Two sets of pairs as one, the second behind the first."""
    (keys, values), (more_keys, more_values) = state
    return concatenate([keys, more_keys], axis=2), concatenate([values, more_values], axis=2)


def _itself(state):
    return state


def _positive(name, size):
    if size < 1:
        raise ConfigError(f"{name}: size {size} must be 1 or more")


def full() -> Memory:
    """Everything: the key-value cache, and causal attention   (book eq. 2.47)."""

    def update(k, v, state):
        return _appended(state, k, v)

    return Memory(update, _itself)


def fifo(size: int) -> Memory:
    """The newest `size` pairs: first in, first out.

    One token at a time this is the window of book eq. 2.53. By segments it is eq. 2.60: with a size
    of two segments a token sees its own segment up to itself and all of the segment before, so the
    last token of a segment sees more than the first.
    """
    _positive("fifo", size)

    def update(k, v, state):
        return _last(_appended(state, k, v), size)

    return Memory(update, _itself)


window = fifo


def first_and_window(first: int, size: int) -> Memory:
    """The first pairs of the sequence, kept for good, and the newest `size`   (Xiao et al. 2024).

    first  how many pairs are kept as attention sinks
    size   how many recent pairs
    """
    _positive("first_and_window", size)

    def update(k, v, state):
        if state is None:  # begin with no pairs of either kind
            no_pairs = k[:, :, :0], v[:, :, :0]
            state = no_pairs, no_pairs
        sinks, recent = state
        room = first - sinks[0].shape[2]
        if room > 0:
            sinks = _appended(sinks, k[:, :, :room], v[:, :, :room])
            k = k[:, :, room:]
            v = v[:, :, room:]
        return sinks, _last(_appended(recent, k, v), size)

    return Memory(update, _joined)


def weighted_average(weights: np.ndarray) -> Memory:
    """One pair: the weighted mean of the newest n   (book eq. 2.55).

    weights  (n,) Tensor or array, the last for the newest pair; learned or given, only their ratios
             count. While fewer pairs have come, the last weights are used. For weights that stay
             positive pass a softplus of parameters

    With one pair the softmax is 1 whatever the query: attention to it alone returns the mean value
    and no gradient reaches queries or keys. It is a summary to use beside other pairs. The state
    holds all n pairs.
    """
    n = len(weights)
    _positive("weighted_average", n)

    def read(state):
        keys, values = state  # m <= n pairs
        w = weights[n - keys.shape[2] :]
        w = (w / ad.sum(w)).reshape(-1, 1)  # (m, 1), sum 1
        # (B, G, m, .) -> (B, G, 1, .)
        return ad.sum(keys * w, axis=2, keepdims=True), ad.sum(values * w, axis=2, keepdims=True)

    return Memory(fifo(n).update, read)


def moving_average(n: int) -> Memory:
    """One pair: the mean of the newest n, or of all while there are fewer   (book eq. 2.54)."""

    def read(state):
        keys, values = state  # (B, G, m, .) -> (B, G, 1, .)
        return ad.mean(keys, axis=2, keepdims=True), ad.mean(values, axis=2, keepdims=True)

    return Memory(fifo(n).update, read)


def _zero_pair(k, v):
    """A key and a value of zeros: (B, G, 1, K), (B, G, 1, J)."""
    return Tensor(np.zeros_like(k.data[:, :, :1])), Tensor(np.zeros_like(v.data[:, :, :1]))


def cumulative_average() -> Memory:
    """One pair: the mean of all so far   (book eqs. 2.56-2.57).

        Mem_i = ((k_i, v_i) + i Mem_{i-1}) / (i + 1)

    The state is the pair and the number of tokens in it. Several tokens at once are taken in one
    after the other.
    """

    def update(k, v, state):
        if state is None:
            state = _zero_pair(k, v), 0
        (key, value), i = state
        for t in range(k.shape[2]):
            key = (k[:, :, t : t + 1] + i * key) / (i + 1)
            value = (v[:, :, t : t + 1] + i * value) / (i + 1)
            i += 1
        return (key, value), i

    def read(state):
        pair, _ = state
        return pair

    return Memory(update, read)


def exponential_average(alpha: ArrayLike, delta: ArrayLike = 1.0) -> Memory:
    """One pair: y_i = alpha x_i + (1 - alpha delta) y_{i-1}, y_0 = 0   (Mega; Ma et al. 2023).

    alpha, delta  numbers or Tensors (width,) in (0, 1]; delta = 1 is the usual average.
                  recurrence/state_space.py computes it for all tokens at once
    """

    def update(k, v, state):
        if state is None:
            state = _zero_pair(k, v)
        key, value = state
        kept = 1 - alpha * delta
        for t in range(k.shape[2]):
            key = alpha * k[:, :, t : t + 1] + kept * key
            value = alpha * v[:, :, t : t + 1] + kept * value
        return key, value

    return Memory(update, _itself)


def recurrent(cell: Module) -> Memory:
    """One pair made by a recurrent cell: Mem = f((k_i, v_i), Mem_before)   (book eq. 2.59).

    cell  RNNCell, GRUCell or LSTMCell of recurrence/recurrent.py with d_in = d_hidden = K + J: its
          input is a pair, and so is its hidden state
    """

    def update(k, v, state):
        B, G, n, K = k.shape
        J = v.shape[3]
        if state is None:
            h = cell.initial_state(B * G)
        else:
            h, _ = state
        pairs = concatenate([k, v], axis=-1).reshape(B * G, n, K + J)
        for t in range(n):
            h = cell(pairs[:, t], h)
        return h, (B, G, K)

    def read(state):
        (h, *_), (B, G, K) = state  # an LSTM has a cell state too, which is not read
        pair = h.reshape(B, G, 1, h.shape[-1])  # (B G, K + J) -> (B, G, 1, K + J)
        return pair[..., :K], pair[..., K:]

    return Memory(update, read)
