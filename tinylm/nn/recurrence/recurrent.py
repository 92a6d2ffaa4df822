"""Recurrent networks: read a token, update a state of fixed size, forget the token   (book section
2.3.3, Fig. 2.5 d).

Elman's RNN (1990), the GRU (Cho et al. 2014) and the LSTM (Hochreiter & Schmidhuber 1997). Each is
said twice: a step in primitives that reads like the equations, and for GRU and LSTM the whole
sequence, forward and backward by hand, in one operation. Products with the inputs do not depend on
the state, so they are made for all tokens at once before (`cell.input`). Read next: state_space.py,
where the recurrence is linear and need not go step by step.
"""

import numpy as np

from tinylm.autograd import Tensor, fused, sigmoid, split, stack, tanh
from tinylm.autograd.engine import profile
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.linear import Linear, normal_parameter
from tinylm.nn.module import Module


def rnn_step(inputs, h, weight):
    """h' = tanh(inputs + h W): one step of Elman's network. inputs, h (B, H), W (H, H) -> (B, H)."""
    return tanh(inputs + h @ weight)


def gru_step(inputs, h, weight, bias):
    """One step of the gated recurrent unit.

    inputs   (B, 3H)  x W_x + b for reset gate, update gate and candidate, in this order
    h        (B, H);  weight (H, 3H);  bias (H,) of the candidate's state part: the reset gate multiplies it too
    returns  (B, H)   z h + (1 - z) n: the update gate z keeps, the candidate n replaces
    """
    H = h.shape[-1]
    u = h @ weight  # (B, 3H)
    r, z = sigmoid(inputs[:, :H] + u[:, :H]), sigmoid(inputs[:, H : 2 * H] + u[:, H : 2 * H])
    n = tanh(inputs[:, 2 * H :] + r * (u[:, 2 * H :] + bias))
    return z * h + (1 - z) * n


def lstm_step(inputs, h, c, weight):
    """One step of the long short-term memory.

    inputs   (B, 4H)  x W_x + b for input gate, forget gate, candidate and output gate, in this order
    h, c     (B, H) hidden and cell state;  weight (H, 4H)
    returns  (h', c') with c' = f c + i g: what the cell keeps is only multiplied by f, never
             squashed
    """
    i, f, g, o = split(inputs + h @ weight, 4, axis=-1)  # 4 times (B, H)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru_by_steps(inputs, weight, bias, h):
    """gru_scan() in primitives: gru_step once per token."""
    states = []
    for t in range(inputs.shape[1]):
        h = gru_step(inputs[:, t], h, weight, bias)
        states.append(h)
    return stack(states, axis=1)  # T times (B, H) -> (B, T, H)


def lstm_by_steps(inputs, weight, h, c):
    """lstm_scan() in primitives: lstm_step once per token."""
    states = []
    for t in range(inputs.shape[1]):
        h, c = lstm_step(inputs[:, t], h, c, weight)
        states.append(stack([h, c]))  # (2, B, H)
    return stack(states, axis=2)  # (2, B, T, H)


def _check(operation, gates, inputs, weight, **states):
    H = weight.shape[0]
    if (
        inputs.ndim != 3
        or weight.shape != (H, gates * H)
        or inputs.shape[2] != gates * H
        or inputs.shape[1] == 0
    ):
        raise ShapeError(
            f"{operation}: inputs {inputs.shape} and weight {weight.shape} must be (B, T, {gates}H) with T >= 1 "
            f"and (H, {gates}H)"
        )
    for name, state in states.items():
        if state.shape != (inputs.shape[0], H):
            raise ShapeError(
                f"{operation}: the state {name} has shape {state.shape}, but B and H are {inputs.shape[0], H}"
            )


def _sigmoid(a):
    return 0.5 * np.tanh(0.5 * a) + 0.5  # the same function; cannot overflow


def _time_first(a):
    """(B, T, n) -> (T, B, n) in row order, so that a step reads memory in one piece."""
    return a.swapaxes(0, 1).copy()


@fused(gru_by_steps, reads="both")
def gru_scan(inputs, weight, bias, h, *, keep):
    """A GRU over a whole sequence   (Cho et al. 2014; gru_step for each token)

    inputs   (B, T, 3H)  x W_x + b: reset, update, candidate
    weight   (H, 3H);  bias (H,) of the candidate's state part;  h (B, H) the state before the first token
    returns  (B, T, H)   the state after each token
    raises   ShapeError
    """
    # h' = z h + (1 - z) n,  n = tanh(a + r v),  v = h W_n + b. With d = dL/dh' (from above and from
    # the step after):
    #   dn = d (1 - z)(1 - n^2)      by what is inside tanh       dv = dn r
    #   dr = dn v r (1 - r)          by what is inside r          dz = d (h - n) z (1 - z)
    #   dL/dh = d z + [dr, dz, dv] W^T,  and the same three against h, summed over the steps, are dL/dW.
    _check("gru_scan", 3, inputs, weight, h=h)
    (B, T, _), H = inputs.shape, weight.shape[0]
    inputs, states = _time_first(inputs), np.empty_like(inputs, shape=(T + 1, B, H))
    states[0] = h
    gates, candidates, pulls = (np.empty_like(inputs, shape=(T, B, n * H)) for n in (2, 1, 1))
    for t in range(T):
        u = states[t] @ weight  # (B, 3H)
        gates[t] = _sigmoid(inputs[t, :, : 2 * H] + u[:, : 2 * H])
        pulls[t] = u[:, 2 * H :] + bias
        candidates[t] = np.tanh(inputs[t, :, 2 * H :] + gates[t, :, :H] * pulls[t])
        states[t + 1] = candidates[t] + gates[t, :, H:] * (states[t] - candidates[t])

    def backward(g):
        g, d = _time_first(g), np.zeros_like(states[0])
        by_inputs = np.empty_like(inputs)
        by_u = np.empty_like(inputs)  # they differ in the candidate only
        for t in reversed(range(T)):
            r, z, n = gates[t, :, :H], gates[t, :, H:], candidates[t]
            d = d + g[t]
            dn = d * (1 - z) * (1 - n * n)
            by_inputs[t, :, :H] = dn * pulls[t] * r * (1 - r)
            by_inputs[t, :, H : 2 * H] = d * (states[t] - n) * z * (1 - z)
            by_inputs[t, :, 2 * H :] = dn
            by_u[t] = by_inputs[t]
            by_u[t, :, 2 * H :] *= r
            d = d * z + by_u[t] @ weight.T
        rows = by_u.reshape(T * B, 3 * H)
        return (
            by_inputs.swapaxes(0, 1),
            lambda out: np.matmul(states[:-1].reshape(T * B, H).T, rows, out=out),
            lambda out: rows[:, 2 * H :].sum(0),
            d,
        )

    return states[1:].swapaxes(0, 1), backward


@fused(lstm_by_steps, reads="both")
def lstm_scan(inputs, weight, h, c, *, keep):
    """An LSTM over a whole sequence   (Hochreiter & Schmidhuber 1997, with forget gates; lstm_step
    for each token)

    inputs   (B, T, 4H)  x W_x + b: input gate, forget gate, candidate, output gate
    weight   (H, 4H);  h, c (B, H) the states before the first token
    returns  (2, B, T, H)  hidden and cell state after each token
    raises   ShapeError
    """
    # c' = f c + i g,  h' = o tanh(c').  With dh, dc the derivatives by h', c' from above and from
    # the step after:
    #   dc += dh o (1 - tanh(c')^2)
    #   inside the gates:  di = dc g i (1 - i),  df = dc c f (1 - f),  dg = dc i (1 - g^2),  do = dh tanh(c') o (1 - o)
    #   to the step before:  dc f, and [di, df, dg, do] W^T;  against h, summed over the steps, they are dL/dW.
    _check("lstm_scan", 4, inputs, weight, h=h, c=c)
    (B, T, _), H = inputs.shape, weight.shape[0]
    inputs, states = _time_first(inputs), np.empty_like(inputs, shape=(2, T + 1, B, H))
    states[0, 0], states[1, 0] = h, c
    gates, squashed = np.empty_like(inputs), np.empty_like(inputs, shape=(T, B, H))
    for t in range(T):
        a = states[0, t] @ weight
        a += inputs[t]
        gates[t] = _sigmoid(a)
        np.tanh(a[:, 2 * H : 3 * H], out=gates[t, :, 2 * H : 3 * H])
        i, f, g, o = (gates[t, :, n * H : (n + 1) * H] for n in range(4))
        states[1, t + 1] = f * states[1, t] + i * g
        np.tanh(states[1, t + 1], out=squashed[t])
        states[0, t + 1] = o * squashed[t]

    def backward(cotangent):
        by_h, by_c = _time_first(cotangent[0]), _time_first(cotangent[1])
        by_inputs = np.empty_like(inputs)
        dh = np.zeros_like(states[0, 0])
        dc = np.zeros_like(states[0, 0])
        for t in reversed(range(T)):
            i, f, g, o = (gates[t, :, n * H : (n + 1) * H] for n in range(4))
            dh = dh + by_h[t]
            dc = dc + by_c[t] + dh * o * (1 - squashed[t] * squashed[t])
            d = by_inputs[t]  # a view: (B, 4H)
            d[:, :H] = dc * g * i * (1 - i)
            d[:, H : 2 * H] = dc * states[1, t] * f * (1 - f)
            d[:, 2 * H : 3 * H] = dc * i * (1 - g * g)
            d[:, 3 * H :] = dh * squashed[t] * o * (1 - o)
            dh, dc = d @ weight.T, dc * f
        rows = by_inputs.reshape(T * B, 4 * H)
        # A copy of the first: the walk may add to what it is given, before it asks for the
        # weight's.
        return (
            by_inputs.swapaxes(0, 1).copy(),
            lambda out: np.matmul(states[0, :-1].reshape(T * B, H).T, rows, out=out),
            dh,
            dc,
        )

    return states[:, 1:].swapaxes(1, 2), backward


# What a sequence costs, for autograd/engine/profile.py: the products with the state, 2 H per number
# that they make
profile.FLOPS.update(
    gru_scan=lambda args, out, options: 2 * out.size * args[1].shape[1],
    lstm_scan=lambda args, out, options: out.size * args[1].shape[1],
)


def _maps(cell, gates, d_in, d_hidden, rng, dtype):
    """Give a cell its input map and its recurrent weights, with deviation 1/sqrt(width): sums stay
    of size one.
    """
    if d_in < 1 or d_hidden < 1:
        raise ConfigError(f"{type(cell).__name__}: widths {d_in} and {d_hidden} must be at least 1")
    cell.d_hidden = d_hidden
    cell.input = Linear(d_in, gates * d_hidden, rng, std=d_in**-0.5, dtype=dtype)
    cell.weight = normal_parameter((d_hidden, gates * d_hidden), rng, d_hidden**-0.5, dtype)


def _zeros(cell, batch):
    return Tensor(np.zeros_like(cell.weight.data, shape=(batch, cell.d_hidden)))


class RNNCell(Module):
    """Elman's network: h' = tanh(x W_x + h W + b). `cell(x, state)` takes (B, D) and (h,), and
    returns the new (h,).
    """

    def __init__(self, d_in, d_hidden, rng, dtype=np.float32):
        _maps(self, 1, d_in, d_hidden, rng, dtype)

    def initial_state(self, batch):
        """The state before the first token: (h,), zeros (B, H)."""
        return (_zeros(self, batch),)

    def __call__(self, x, state):
        return (rnn_step(self.input(x), *state, self.weight),)

    def scan(self, inputs, state):
        """inputs (B, T, H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        _check("RNNCell.scan", 1, inputs, self.weight, h=state[0])
        states, h = [], state[0]
        for t in range(inputs.shape[1]):
            h = rnn_step(inputs[:, t], h, self.weight)
            states.append(h)
        return stack(states, axis=1), (h,)


class GRUCell(Module):
    """Gated recurrent unit, as gru_step. `cell(x, state)` takes (B, D) and (h,), and returns the
    new (h,).
    """

    def __init__(self, d_in, d_hidden, rng, dtype=np.float32):
        _maps(self, 3, d_in, d_hidden, rng, dtype)
        self.bias = Tensor(np.zeros(d_hidden, dtype), requires_grad=True)

    def initial_state(self, batch):
        """The state before the first token: (h,), zeros (B, H)."""
        return (_zeros(self, batch),)

    def __call__(self, x, state):
        return (gru_step(self.input(x), *state, self.weight, self.bias),)

    def scan(self, inputs, state):
        """inputs (B, T, 3H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        outputs = gru_scan(inputs, self.weight, self.bias, *state)
        return outputs, (outputs[:, -1],)


class LSTMCell(Module):
    """Long short-term memory, as lstm_step. `cell(x, state)` takes (B, D) and (h, c), and returns
    the new pair.

    The forget gate's bias begins at 1, so that the cell remembers before it has learned to
    (Jozefowicz et al. 2015).
    """

    def __init__(self, d_in, d_hidden, rng, dtype=np.float32):
        _maps(self, 4, d_in, d_hidden, rng, dtype)
        self.input.bias.data[d_hidden : 2 * d_hidden] = 1

    def initial_state(self, batch):
        """The states before the first token: (h, c), zeros (B, H)."""
        return _zeros(self, batch), _zeros(self, batch)

    def __call__(self, x, state):
        return lstm_step(self.input(x), *state, self.weight)

    def scan(self, inputs, state):
        """inputs (B, T, 4H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        both = lstm_scan(inputs, self.weight, *state)  # (2, B, T, H)
        return both[0], (both[0, :, -1], both[1, :, -1])


CELLS = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}


class Recurrent(Module):
    """A cell applied along a sequence.

    cell  RNNCell, GRUCell or LSTMCell
    """

    def __init__(self, cell):
        self.cell = cell

    def initial_state(self, batch):
        """The state before the first token."""
        return self.cell.initial_state(batch)

    def __call__(self, x, state=None):
        """Read T tokens.

        x        (B, T, D)
        state    what an earlier call returned, to go on where it ended; None begins anew
        returns  (outputs (B, T, H), state), the state a tuple of Tensors whose first axis is B
        """
        return self.cell.scan(
            self.cell.input(x), self.initial_state(len(x)) if state is None else state
        )
