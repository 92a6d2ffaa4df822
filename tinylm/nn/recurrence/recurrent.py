"""Recurrent networks: a state of fixed size, updated token by token   (book section 2.3.3).

Book Fig. 2.5 d. Elman's RNN (1990), the GRU (Cho et al. 2014) and the LSTM (Hochreiter &
Schmidhuber 1997). Each stands here as a step in primitives that reads like the equations; GRU and
LSTM also as one fused operation over the whole sequence, with a hand-written backward. Products
with the inputs do not depend on the state, so `cell.input` computes them for all tokens beforehand.
Shapes: B batch, T tokens, H state width. Read next: state_space.py, where the recurrence is linear
and need not go step by step.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Array, Tensor, fused, sigmoid, split, stack, tanh
from tinylm.autograd.engine import profile
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.linear import Linear, normal_parameter
from tinylm.nn.module import Module


def rnn_step(inputs: Array, h: Tensor, weight: Array) -> Tensor:
    """h' = tanh(inputs + h W): one step of Elman's network.

    inputs   (B, H)  x W_x + b
    h        (B, H);  weight (H, H)
    returns  (B, H)
    """
    return tanh(inputs + h @ weight)


def gru_step(inputs: Array, h: Tensor, weight: Array, bias: Array) -> Tensor:
    """One step of the gated recurrent unit.

    inputs   (B, 3H)  x W_x + b for reset gate, update gate and candidate, in this order
    h        (B, H) state before the token
    weight   (H, 3H)
    bias     (H,) of the candidate's state part, inside the reset gate
    returns  (B, H)   z h + (1 - z) n: where the update gate z is 1, the state is kept; where it is
             0, the candidate n replaces it
    """
    a_r, a_z, a_n = split(inputs, 3, axis=-1)  # (B, H) each
    u_r, u_z, u_n = split(h @ weight, 3, axis=-1)  # (B, 3H) -> (B, H) each
    r = sigmoid(a_r + u_r)
    z = sigmoid(a_z + u_z)
    n = tanh(a_n + r * (u_n + bias))
    return z * h + (1 - z) * n


def lstm_step(inputs: Array, h: Tensor, c: Tensor, weight: Array) -> tuple[Tensor, Tensor]:
    """One step of the long short-term memory.

    inputs   (B, 4H)  x W_x + b for input gate, forget gate, candidate and output gate
    h, c     (B, H) hidden and cell state before the token
    weight   (H, 4H)
    returns  (h', c'), h' = o tanh(c'), c' = f c + i g: the old cell state is only multiplied by f,
             so its gradient does not vanish through a tanh at each step
    """
    i, f, g, o = split(inputs + h @ weight, 4, axis=-1)  # (B, H) each
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


def gru_by_steps(inputs: Tensor, weight: Tensor, bias: Array, h: Tensor) -> Tensor:
    """gru_scan() in primitives: gru_step once per token."""
    states = []
    for t in range(inputs.shape[1]):
        h = gru_step(inputs[:, t], h, weight, bias)
        states.append(h)
    return stack(states, axis=1)  # T times (B, H) -> (B, T, H)


def lstm_by_steps(inputs: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> Tensor:
    """lstm_scan() in primitives: lstm_step once per token."""
    states = []
    for t in range(inputs.shape[1]):
        h, c = lstm_step(inputs[:, t], h, c, weight)
        states.append(stack([h, c]))  # (2, B, H)
    return stack(states, axis=2)  # (2, B, T, H)


def _check(operation, gates, inputs, weight, **states):
    """Raise ShapeError unless inputs (B, T, gates H), weight (H, gates H) and states (B, H) fit."""
    H = weight.shape[0]
    width = gates * H
    fits = inputs.ndim == 3 and inputs.shape[1] > 0 and inputs.shape[2] == width
    if not fits or weight.shape != (H, width):
        raise ShapeError(
            f"{operation}: inputs {inputs.shape} and weight {weight.shape} must be "
            f"(B, T, {gates}H) with T >= 1 and (H, {gates}H)"
        )
    B = inputs.shape[0]
    for name, state in states.items():
        if state.shape != (B, H):
            raise ShapeError(
                f"{operation}: the state {name} has shape {state.shape}, but B and H are {B, H}"
            )


def _sigmoid(a):
    return 0.5 * np.tanh(0.5 * a) + 0.5  # 1/(1 + e^-a), which would overflow for large -a


def _time_first(a):
    """(B, T, n) -> (T, B, n), copied so that the rows of a step are contiguous."""
    return a.swapaxes(0, 1).copy()


@fused(gru_by_steps, reads="both")
def gru_scan(
    inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray, h: np.ndarray, *, keep: bool
) -> tuple[np.ndarray, Callable]:
    """A GRU over a whole sequence: gru_step for each token   (Cho et al. 2014).

    inputs   (B, T, 3H)  x W_x + b: reset, update, candidate
    weight   (H, 3H)
    bias     (H,) of the candidate's state part
    h        (B, H) the state before the first token
    returns  (B, T, H)   the state after each token
    raises   ShapeError

    Check: tinylm gradcheck gru_scan
    """
    # h' = z h + (1 - z) n,  n = tanh(a + r v),  v = h W_n + b. With d = dL/dh', from the output of
    # the step and from the step after it, and with dr, dz, dn the derivatives by the arguments of
    # sigmoid and tanh:
    #   dn = d (1 - z)(1 - n^2)
    #   dv = dn r
    #   dr = dn v r (1 - r)
    #   dz = d (h - n) z (1 - z)
    #   dL/dh = d z + [dr, dz, dv] W^T
    #   dL/dW = sum over steps of h^T [dr, dz, dv]
    _check("gru_scan", 3, inputs, weight, h=h)
    (B, T, _), H = inputs.shape, len(weight)
    inputs = _time_first(inputs)  # (T, B, 3H)
    states, gates, candidates, pulls = _gru_forward(inputs, weight, bias, h)

    def backward(g):
        g = _time_first(g)  # (T, B, H)
        d = np.zeros_like(states[0])
        by_inputs = np.empty_like(inputs)  # dr, dz, dn
        by_u = np.empty_like(inputs)  # dr, dz, dv
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
        before = states[:-1].reshape(T * B, H)
        return (
            by_inputs.swapaxes(0, 1),  # (T, B, 3H) -> (B, T, 3H)
            lambda out: np.matmul(before.T, rows, out=out),  # all steps in one product
            lambda out: rows[:, 2 * H :].sum(0),
            d,
        )

    return states[1:].swapaxes(0, 1), backward


def _gru_forward(inputs, weight, bias, h):
    """What gru_scan computes at each token. inputs (T, B, 3H).

    returns  states (T + 1, B, H), h before each token and at the end; gates (T, B, 2H), r and z;
             candidates n and pulls v, (T, B, H)
    """
    (T, B, _), H = inputs.shape, len(weight)
    states = np.empty_like(inputs, shape=(T + 1, B, H))
    gates = np.empty_like(inputs, shape=(T, B, 2 * H))
    candidates, pulls = np.empty_like(inputs, shape=(2, T, B, H))
    states[0] = h
    for t in range(T):
        u = states[t] @ weight  # (B, H) -> (B, 3H)
        gates[t] = _sigmoid(inputs[t, :, : 2 * H] + u[:, : 2 * H])
        pulls[t] = u[:, 2 * H :] + bias
        candidates[t] = np.tanh(inputs[t, :, 2 * H :] + gates[t, :, :H] * pulls[t])
        states[t + 1] = candidates[t] + gates[t, :, H:] * (states[t] - candidates[t])
    return states, gates, candidates, pulls


@fused(lstm_by_steps, reads="both")
def lstm_scan(
    inputs: np.ndarray, weight: np.ndarray, h: np.ndarray, c: np.ndarray, *, keep: bool
) -> tuple[np.ndarray, Callable]:
    """An LSTM over a whole sequence: lstm_step for each token   (Hochreiter & Schmidhuber 1997).

    inputs   (B, T, 4H)  x W_x + b: input gate, forget gate, candidate, output gate
    weight   (H, 4H)
    h, c     (B, H) the states before the first token
    returns  (2, B, T, H)  hidden and cell state after each token
    raises   ShapeError

    Check: tinylm gradcheck lstm_scan
    """
    # c' = f c + i g,  h' = o tanh(c').  With dh, dc the derivatives by h', c', from the outputs of
    # the step and from the step after it, and di .. do those by the arguments of sigmoid and tanh:
    #   dc += dh o (1 - tanh(c')^2)
    #   di = dc g i (1 - i)
    #   df = dc c f (1 - f)
    #   dg = dc i (1 - g^2)
    #   do = dh tanh(c') o (1 - o)
    #   dL/dc = dc f
    #   dL/dh = [di, df, dg, do] W^T
    #   dL/dW = sum over steps of h^T [di, df, dg, do]
    _check("lstm_scan", 4, inputs, weight, h=h, c=c)
    (B, T, _), H = inputs.shape, len(weight)
    inputs = _time_first(inputs)  # (T, B, 4H)
    states, gates, squashed = _lstm_forward(inputs, weight, h, c)

    def backward(cotangent):
        by_h, by_c = _time_first(cotangent[0]), _time_first(cotangent[1])  # (T, B, H)
        by_inputs = np.empty_like(inputs)  # di, df, dg, do
        dh = np.zeros_like(states[0, 0])
        dc = np.zeros_like(states[0, 0])
        for t in reversed(range(T)):
            i, f, g, o = (gates[t, :, n * H : (n + 1) * H] for n in range(4))
            dh = dh + by_h[t]
            dc = dc + by_c[t] + dh * o * (1 - squashed[t] * squashed[t])
            d = by_inputs[t]  # (B, 4H), a view
            d[:, :H] = dc * g * i * (1 - i)
            d[:, H : 2 * H] = dc * states[1, t] * f * (1 - f)
            d[:, 2 * H : 3 * H] = dc * i * (1 - g * g)
            d[:, 3 * H :] = dh * squashed[t] * o * (1 - o)
            dh = d @ weight.T
            dc = dc * f
        rows = by_inputs.reshape(T * B, 4 * H)
        before = states[0, :-1].reshape(T * B, H)
        # The first is a copy: the backward pass may add to an array that it gets, and the weight's
        # derivative, computed after that, still reads by_inputs.
        return (
            by_inputs.swapaxes(0, 1).copy(),
            lambda out: np.matmul(before.T, rows, out=out),
            dh,
            dc,
        )

    return states[:, 1:].swapaxes(1, 2), backward


def _lstm_forward(inputs, weight, h, c):
    """What lstm_scan computes at each token. inputs (T, B, 4H).

    returns  states (2, T + 1, B, H), h and c before each token and at the end; gates (T, B, 4H), i,
             f, g and o; tanh(c') (T, B, H)
    """
    (T, B, _), H = inputs.shape, len(weight)
    states = np.empty_like(inputs, shape=(2, T + 1, B, H))
    gates = np.empty_like(inputs)
    squashed = np.empty_like(inputs, shape=(T, B, H))
    states[0, 0], states[1, 0] = h, c
    for t in range(T):
        a = states[0, t] @ weight  # (B, H) -> (B, 4H)
        a += inputs[t]
        gates[t] = _sigmoid(a)
        np.tanh(a[:, 2 * H : 3 * H], out=gates[t, :, 2 * H : 3 * H])
        i, f, g, o = (gates[t, :, n * H : (n + 1) * H] for n in range(4))
        states[1, t + 1] = f * states[1, t] + i * g
        np.tanh(states[1, t + 1], out=squashed[t])
        states[0, t + 1] = o * squashed[t]
    return states, gates, squashed


# Operations of a scan, for autograd/engine/profile.py: the products with the state, h @ W, take 2 H
# for each number of their result. A GRU makes 3 H a token, its output has H; an LSTM makes 4 H, and
# its output, hidden and cell state, has 2 H.
profile.FLOPS.update(
    gru_scan=lambda args, out, options: 2 * out.size * args[1].shape[1],
    lstm_scan=lambda args, out, options: out.size * args[1].shape[1],
)


def _maps(cell, gates, d_in, d_hidden, rng, dtype):
    """Give a cell its input map and its recurrent weights.

    Their standard deviation is 1/sqrt(width), so that a sum over the width stays of size one.
    """
    if d_in < 1 or d_hidden < 1:
        raise ConfigError(f"{type(cell).__name__}: widths {d_in} and {d_hidden} must be at least 1")
    cell.d_hidden = d_hidden
    cell.input = Linear(d_in, gates * d_hidden, rng, std=d_in**-0.5, dtype=dtype)
    cell.weight = normal_parameter((d_hidden, gates * d_hidden), rng, d_hidden**-0.5, dtype)


def _zeros(cell, batch):
    zeros = np.zeros_like(cell.weight.data, shape=(batch, cell.d_hidden))  # (B, H)
    return Tensor(zeros)


class RNNCell(Module):
    """Elman's network: h' = tanh(x W_x + h W + b).

    `cell(x, state)` takes x (B, D) and (h,), and returns the new (h,).
    """

    def __init__(self, d_in: int, d_hidden: int, rng: Random, dtype: DType = np.float32) -> None:
        _maps(self, 1, d_in, d_hidden, rng, dtype)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        """The state before the first token: (h,), zeros (B, H)."""
        return (_zeros(self, batch),)

    def __call__(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor]:
        return (rnn_step(self.input(x), *state, self.weight),)

    def scan(self, inputs: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """inputs (B, T, H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        _check("RNNCell.scan", 1, inputs, self.weight, h=state[0])
        (h,) = state
        states = []
        for t in range(inputs.shape[1]):
            h = rnn_step(inputs[:, t], h, self.weight)
            states.append(h)
        return stack(states, axis=1), (h,)


class GRUCell(Module):
    """Gated recurrent unit, see gru_step.

    `cell(x, state)` takes x (B, D) and (h,), and returns the new (h,).
    """

    def __init__(self, d_in: int, d_hidden: int, rng: Random, dtype: DType = np.float32) -> None:
        _maps(self, 3, d_in, d_hidden, rng, dtype)
        self.bias = Tensor(np.zeros(d_hidden, dtype), requires_grad=True)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        """The state before the first token: (h,), zeros (B, H)."""
        return (_zeros(self, batch),)

    def __call__(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor]:
        return (gru_step(self.input(x), *state, self.weight, self.bias),)

    def scan(self, inputs: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """inputs (B, T, 3H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        outputs = gru_scan(inputs, self.weight, self.bias, *state)
        return outputs, (outputs[:, -1],)


class LSTMCell(Module):
    """Long short-term memory, see lstm_step.

    `cell(x, state)` takes x (B, D) and (h, c), and returns the new pair. The bias of the forget
    gate starts at 1, so that the cell keeps its state before it has learned to (Jozefowicz et al.
    2015).
    """

    def __init__(self, d_in: int, d_hidden: int, rng: Random, dtype: DType = np.float32) -> None:
        _maps(self, 4, d_in, d_hidden, rng, dtype)
        self.input.bias.data[d_hidden : 2 * d_hidden] = 1

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """The states before the first token: (h, c), zeros (B, H)."""
        return _zeros(self, batch), _zeros(self, batch)

    def __call__(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return lstm_step(self.input(x), *state, self.weight)

    def scan(
        self, inputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """inputs (B, T, 4H) = cell.input(x) -> (outputs (B, T, H), state after the last token)."""
        both = lstm_scan(inputs, self.weight, *state)  # (2, B, T, H), hidden and cell states
        return both[0], (both[0, :, -1], both[1, :, -1])


CELLS = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}


class Recurrent(Module):
    """A cell applied along a sequence.

    cell  RNNCell, GRUCell or LSTMCell
    """

    def __init__(self, cell: Module) -> None:
        self.cell = cell

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """The state before the first token."""
        return self.cell.initial_state(batch)

    def __call__(
        self, x: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The outputs for T tokens, and the state after the last.

        x        (B, T, D)
        state    what an earlier call returned, to continue from there; None begins a new sequence
        returns  (outputs (B, T, H), state), the state a tuple of Tensors whose first axis is B
        """
        if state is None:
            state = self.initial_state(len(x))
        inputs = self.cell.input(x)  # x W_x + b for all tokens, (B, T, D) -> (B, T, gates H)
        return self.cell.scan(inputs, state)
