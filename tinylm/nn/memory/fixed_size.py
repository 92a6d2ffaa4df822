"""Memories of fixed size: attention to what has been kept of the past   (book eqs. 2.52-2.60, Fig.
2.6)

Attention needs keys and values, not the tokens they came from: Att(q, Mem). With Mem = everything
this is causal attention; any other rule Mem = Update(S_kv, Mem_before) (eq. 2.58) is another model.
A Memory here is that rule and how to read it; a state is whatever the rule keeps, None before the
first token. Read next: segments.py, where the rule takes whole segments and compresses them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd import Tensor, attention, concatenate, rotary
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.position.rotary import rotary_angles


@dataclass(frozen=True)
class Memory:
    """A way to remember   (book eq. 2.58).

    update  (k (B, G, n, K), v (B, G, n, J), state or None) -> state: takes in the pairs of n new
            tokens
    read    state -> keys (B, G, m, K), values (B, G, m, J): what the next queries attend to, the
            newest last
    """

    update: Callable
    read: Callable


def attend(q, keys, values):
    """Att(q, Mem)   (book eq. 2.52): attention of n queries to a memory that ends with their own n
    pairs.

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


def attend_rotated(q, keys, values, base=10000.0):
    """attend() with rotary positions counted inside the memory: 0 for its first pair, whatever was
    dropped between.

    Keys must be stored unrotated: a key moves up when one before it is dropped   (Xiao et al. 2024). With m pairs no
    distance exceeds m - 1, however long the stream.
    """
    n, m = q.shape[2], keys.shape[2]
    cos, sin = rotary_angles(np.arange(m, like=q.data), q.shape[3], base, q.dtype)  # (m, K/2)
    return attend(
        rotary(q, cos=cos[m - n :], sin=sin[m - n :]), rotary(keys, cos=cos, sin=sin), values
    )


def stream(memory, q, k, v, segment=1, attend=attend, state=None):
    """Read a sequence through a memory, `segment` tokens a time: take them in, then attend.

    q        (B, H, T, K);  k (B, G, T, K), v (B, G, T, J)
    attend   how queries read what memory.read gives
    returns  (y (B, H, T, J), state after the last token)
    """
    if q.shape[2] == 0:
        return attention(q, k, v), state  # nothing is read, and the memory stays what it was
    outputs = []
    for start in range(0, q.shape[2], segment):
        now = slice(start, start + segment)
        state = memory.update(k[:, :, now], v[:, :, now], state)
        outputs.append(attend(q[:, :, now], *memory.read(state)))
    return concatenate(outputs, axis=2), state


def stored_numbers(state):
    """How many numbers a state keeps, of the whole batch: the capacity of a memory as its size
    (book section 2.3.3).

    Parameters are not counted: they say how, not what.
    """
    if isinstance(state, (tuple, list)):
        return sum(stored_numbers(part) for part in state)
    if isinstance(state, Tensor):
        return state.size
    return 0


def _appended(state, k, v):
    if state is None:
        return (k, v)
    return (concatenate([state[0], k], axis=2), concatenate([state[1], v], axis=2))


def _last(pairs, size):
    """The newest `size` pairs, and the older rest."""
    cut = max(pairs[0].shape[2] - size, 0)
    return tuple(x[:, :, cut:] for x in pairs), tuple(x[:, :, :cut] for x in pairs)


def _positive(name, size):
    if size < 1:
        raise ConfigError(f"{name}: size {size} must be 1 or more")


def full():
    """Everything: the key-value cache, and causal attention   (book eq. 2.47)."""
    return Memory(lambda k, v, state: _appended(state, k, v), lambda state: state)


def fifo(size):
    """The newest `size` pairs: first in, first out.

    One token a time this is the window of book eq. 2.53. By segments it is eq. 2.60: with size = 2
    segments a token sees its own segment up to itself and all of the one before, more or less of
    the past by where it stands.
    """
    _positive("fifo", size)
    return Memory(lambda k, v, state: _last(_appended(state, k, v), size)[0], lambda state: state)


window = fifo


def first_and_window(first, size):
    """The sequence's first pairs for good, and the newest `size`: attention sinks   (Xiao et al.
    2024).
    """
    _positive("first_and_window", size)

    def update(k, v, state):
        sinks, recent = state if state is not None else (None, None)
        room = first - (0 if sinks is None else sinks[0].shape[2])
        if room > 0 or sinks is None:
            sinks = _appended(sinks, k[:, :, :room], v[:, :, :room])
            k = k[:, :, room:]
            v = v[:, :, room:]
        return sinks, _last(_appended(recent, k, v), size)[0]

    return Memory(
        update, lambda state: tuple(concatenate(list(both), axis=2) for both in zip(*state))
    )


def weighted_average(weights):
    """One pair: the weighted mean of the newest n   (book eq. 2.55).

    weights  (n,) Tensor or array, the last for the newest pair; learned or given, only their ratios
             count. While fewer pairs have come, the last weights are used. For weights that stay
             positive pass a softplus of parameters

    With one pair the softmax is 1 whatever the query: attention to it alone returns the mean value
    and no gradient reaches queries or keys. It is a summary to use beside other pairs. What is
    stored are the n pairs.
    """
    n = len(weights)
    _positive("weighted_average", n)

    def read(state):
        w = weights[n - state[0].shape[2] :]
        w = (w / ad.sum(w)).reshape(-1, 1)  # (m, 1)
        return tuple(
            ad.sum(x * w, axis=2, keepdims=True) for x in state
        )  # (B, G, m, K) -> (B, G, 1, K)

    return Memory(fifo(n).update, read)


def moving_average(n):
    """One pair: the mean of the newest n   (book eq. 2.54). While fewer have come, the mean of
    those.
    """
    return Memory(
        fifo(n).update, lambda state: tuple(ad.mean(x, axis=2, keepdims=True) for x in state)
    )


def _zero_pair(k, v):
    return tuple(Tensor(np.zeros_like(x.data[:, :, :1])) for x in (k, v))


def cumulative_average():
    """One pair: the mean of all so far, Mem_i = ((k_i, v_i) + i Mem_{i-1}) / (i + 1)   (book eqs.
    2.56-2.57).

    Stores the one pair and how many it stands for. Several tokens at once are taken in one after
    the other.
    """

    def update(k, v, state):
        pair, count = state if state is not None else (_zero_pair(k, v), 0)
        for t in range(k.shape[2]):
            pair = tuple(
                (x[:, :, t : t + 1] + count * mean) / (count + 1) for x, mean in zip((k, v), pair)
            )
            count += 1
        return pair, count

    return Memory(update, lambda state: state[0])


def exponential_average(alpha, delta=1.0):
    """One pair: y = alpha x + (1 - alpha delta) y_before, from zero   (Mega's damped average; Ma et
    al. 2023).

    alpha, delta  numbers or Tensors (width,) in (0, 1]; delta = 1 is the usual average.
                  nn.state_space has it for all tokens at once
    """

    def update(k, v, state):
        pair = state if state is not None else _zero_pair(k, v)
        for t in range(k.shape[2]):
            pair = tuple(
                alpha * x[:, :, t : t + 1] + (1 - alpha * delta) * old
                for x, old in zip((k, v), pair)
            )
        return pair

    return Memory(update, lambda state: state)


def recurrent(cell):
    """One pair made by a recurrent cell: Mem = f((k_i, v_i), Mem_before)   (book eq. 2.59).

    cell  RNNCell, GRUCell or LSTMCell of nn.recurrent with d_in = d_hidden = K + J: reads a pair,
          its state is one
    """

    def update(k, v, state):
        (B, G, n, K), J = k.shape, v.shape[3]
        h = cell.initial_state(B * G) if state is None else state[0]
        pairs = concatenate([k, v], axis=-1).reshape(B * G, n, K + J)
        for t in range(n):
            h = cell(pairs[:, t], h)
        return h, (B, G, K)

    def read(state):
        h, (B, G, K) = state[0][0], state[1]
        pair = h.reshape(B, G, 1, h.shape[-1])  # (B G, K + J) -> (B, G, 1, K + J)
        return pair[..., :K], pair[..., K:]

    return Memory(update, read)
