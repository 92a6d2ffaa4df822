"""Linear recurrences h_t = a_t h_{t-1} + b_t: Mamba's selective scan, and moving averages.

Without a nonlinearity between steps the recurrence need not be computed step by step: composing
steps is associative, (a', b') after (a, b) is (a' a, a' b + b'), so prefixes can be combined in any
grouping. Three groupings stand here and are equal: one step after the other, doubling (log2 T
rounds, Hillis & Steele 1986), and chunks. Selective state spaces: Gu & Dao 2023, book section
2.3.2; the moving average of Mega: Ma et al. 2023, book section 2.3.3. Read next:
models/early/recurrent.py.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm.autograd import (
    Tensor,
    concatenate,
    exp,
    expand_dims,
    flip,
    pad,
    power,
    primitive,
    silu,
    softplus,
    split,
    stack,
    where,
)
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.linear import Linear, normal_parameter, undecayed
from tinylm.nn.module import Module


def recurrence_by_steps(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t, h_0 = 0, one step after the other: T rounds.

    a, b     (B, T, ...)
    returns  (B, T, ...)
    """
    h = b[:, 0]
    states = [h]
    for t in range(1, b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return stack(states, axis=1)


def recurrence_by_doubling(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t in log2 T rounds: after round r each h_t has composed 2^r steps.

    a, b     (B, T, ...)
    returns  (B, T, ...)
    """
    reach = 1  # steps that (a_t, b_t) composes so far
    while reach < b.shape[1]:
        rest = ((0, 0),) * (b.ndim - 2)
        # The steps (a', b') that end at t after the steps (a, b) that end at t - reach.
        b = b + a * pad(b[:, :-reach], ((0, 0), (reach, 0), *rest))  # a' b + b'
        a = concatenate([a[:, :reach], a[:, reach:] * a[:, :-reach]], axis=1)  # a' a
        reach *= 2
    return b


def _by_b(g, h, a, b):
    # h_t goes into the output, with cotangent g_t, and into h_{t+1}:
    #   m_t = dL/dh_t = g_t + a_{t+1} m_{t+1}
    # That is a linear recurrence backwards in time, and dL/db_t = m_t.
    rest = ((0, 0),) * (a.ndim - 2)
    later = pad(a[:, 1:], ((0, 0), (0, 1), *rest))  # a_{t+1}; 0 after the last step
    return flip(linear_recurrence(flip(later, axis=1), flip(g, axis=1)), axis=1)


def _by_a(g, h, a, b):
    # a_t multiplies h_{t-1}:  dL/da_t = m_t h_{t-1}.
    rest = ((0, 0),) * (a.ndim - 2)
    before = pad(h[:, :-1], ((0, 0), (1, 0), *rest))  # h_{t-1}; 0 before the first step
    return _by_b(g, h, a, b) * before


@primitive(_by_a, _by_b, name="linear_recurrence")
def linear_recurrence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """h_t = a_t h_{t-1} + b_t along axis 1, from h_0 = 0. Twin: recurrence_by_steps.

    a, b     (B, T, ...), of one shape, T >= 1
    returns  (B, T, ...)
    raises   ShapeError

    Computed in about sqrt(T) chunks of sqrt(T) steps: all chunks advance at the same time as if
    each began at 0, then the state at the end of each is added to the next: 2 sqrt(T) array
    operations instead of T. There is no division, so it is as stable as the steps themselves. The
    derivative is the same recurrence run backwards.

    Check: tinylm gradcheck linear_recurrence
    """
    if np.shape(a) != np.shape(b) or b.ndim < 2 or b.shape[1] == 0:
        raise ShapeError(
            f"linear_recurrence: a {np.shape(a)} and b {np.shape(b)} "
            "must be (B, T, ...) of one shape, T >= 1"
        )
    T = b.shape[1]
    Q = math.isqrt(T - 1) + 1  # steps in a chunk; the last chunk may be shorter
    h = np.empty_like(b)
    so_far = np.empty_like(a)  # product of the chunk's a up to here
    starts = slice(0, T, Q)
    h[:, starts] = b[:, starts]
    so_far[:, starts] = a[:, starts]
    for q in range(1, Q):
        here = slice(q, T, Q)  # position q of every chunk that is so long
        before = slice(q - 1, T, Q)
        n = h[:, here].shape[1]  # chunks with a position q
        h[:, here] = a[:, here] * h[:, before][:, :n] + b[:, here]
        so_far[:, here] = a[:, here] * so_far[:, before][:, :n]
    # A chunk that begins with the state h_s instead of 0 ends with h + (product of its a) h_s.
    for start in range(Q, T, Q):
        h[:, start : start + Q] += so_far[:, start : start + Q] * h[:, start - 1 : start]
    return h


def selective_scan(
    x: Tensor,
    step: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor,
    state: Tensor | None = None,
    recurrence: Callable = linear_recurrence,
) -> tuple[Tensor, Tensor]:
    """Mamba's scan: linear states whose decay, input and output depend on the token.

        h_t = exp(step_t A) h_{t-1} + step_t B_t x_t,    y_t = C_t . h_t + skip x_t

    Gu & Dao 2023, S6.

    x, step     (B, T, E)  E channels; step > 0: a large step forgets the state and reads the
                           token, a small one keeps the state and ignores the token
    A           (E, N)     negative: N decay rates per channel
    B, C        (B, T, N)  what enters and leaves the N states, shared by the channels
    skip        (E,)
    state       (B, E, N)  h before the first token; None for zeros
    recurrence  one of the three equal ways: linear_recurrence, recurrence_by_steps,
                recurrence_by_doubling
    returns     (y (B, T, E), state after the last token (B, E, N))

    The states of all tokens, T E N numbers, are kept for the backward pass; a GPU kernel recomputes
    them instead.
    """
    decay = exp(expand_dims(step, -1) * A)  # (B, T, E, N)
    entering = expand_dims(step * x, -1) * expand_dims(B, 2)  # (B, T, E, 1) (B, T, 1, N)
    if state is not None:  # h_0 enters with the first token: b_1 + a_1 h_0
        first = entering[:, :1] + decay[:, :1] * expand_dims(state, 1)
        entering = concatenate([first, entering[:, 1:]], axis=1)
    h = recurrence(decay, entering)
    y = (h * expand_dims(C, 2)).sum(axis=-1) + skip * x  # (B, T, E, N) -> (B, T, E)
    return y, h[:, -1]


class MambaBlock(Module):
    """Widen, a short causal convolution, the selective scan, gate, narrow  (Gu & Dao 2023, Fig. 3).

    d_model   D
    d_inner   E, the channels of the scan; 2 D if None
    d_state   N
    width     of the convolution, in tokens
    rank      of the map to the step size; ceil(D / 16) if None
    """

    def __init__(
        self,
        d_model: int,
        rng: Random,
        d_inner: int | None = None,
        d_state: int = 16,
        width: int = 4,
        rank: int | None = None,
        dtype: DType = np.float32,
    ) -> None:
        E = d_inner or 2 * d_model
        N = d_state
        R = rank or -(-d_model // 16)
        if min(d_model, E, N, R, width) < 1:
            raise ConfigError(
                f"MambaBlock: widths {d_model}, {E}, {N}, {R} and convolution {width} "
                "must be at least 1"
            )
        self.d_inner = E
        self.d_state = N
        self.rank = R
        self.width = width
        self.input = Linear(d_model, 2 * E, rng, bias=False, std=d_model**-0.5, dtype=dtype)
        self.kernel = normal_parameter((width, E), rng, width**-0.5, dtype)
        self.kernel_bias = Tensor(np.zeros(E, dtype), requires_grad=True)
        self.select = Linear(E, R + 2 * N, rng, bias=False, std=E**-0.5, dtype=dtype)
        self.step = Linear(R, E, rng, std=R**-0.5, dtype=dtype)
        # Steps start between 0.001 and 0.1, evenly on a logarithmic scale, as in the paper: some
        # channels remember long, some short.
        steps = np.exp(rng.uniform((E,), np.float64) * math.log(100) + math.log(0.001))
        self.step.bias.data[...] = np.log(np.expm1(steps))  # softplus of this is the step
        # A = -exp(log_decay) = -1, -2, .., -N in every channel: always negative.
        log_decay = np.tile(np.log(np.arange(1, N + 1)), (E, 1)).astype(dtype)  # (E, N)
        self.log_decay = undecayed(Tensor(log_decay, requires_grad=True))
        self.skip = Tensor(np.ones(E, dtype), requires_grad=True)
        self.out = Linear(E, d_model, rng, bias=False, std=E**-0.5, dtype=dtype)

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros: the convolution's last inputs (B, width - 1, E) and the scan's state (B, E, N)."""
        E, like = self.d_inner, self.skip.data
        window = np.zeros_like(like, shape=(batch, self.width - 1, E))
        h = np.zeros_like(like, shape=(batch, E, self.d_state))
        return Tensor(window), Tensor(h)

    def __call__(
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor] | None = None,
        recurrence: Callable = linear_recurrence,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The outputs for T tokens, and the state after the last.

        x        (B, T, D)
        state    what an earlier call returned; None begins a new sequence
        returns  (outputs (B, T, D), state)
        """
        if state is None:
            state = self.initial_state(len(x))
        window, h = state
        T = x.shape[1]
        u, gate = split(self.input(x), 2, axis=-1)  # (B, T, D) -> (B, T, E) each

        # Causal convolution, channel by channel: token t sees inputs t - width + 1 .. t.
        u = concatenate([window, u], axis=1)  # (B, width - 1 + T, E)
        window = u[:, T:]  # the last width - 1 inputs, for the next call
        u = sum(u[:, k : k + T] * self.kernel[k] for k in range(self.width))  # (B, T, E)
        u = silu(u + self.kernel_bias)

        # What makes the scan selective: step size, input and output depend on the token.
        step, B, C = split(self.select(u), [self.rank, self.rank + self.d_state], axis=-1)
        step = softplus(self.step(step))  # (B, T, R) -> (B, T, E), above 0
        A = -exp(self.log_decay)  # (E, N)
        y, h = selective_scan(u, step, A, B, C, self.skip, h, recurrence)  # (B, T, E), (B, E, N)
        return self.out(y * silu(gate)), (window, h)


def moving_average(
    x: Tensor, alpha: Tensor, delta: Tensor, recurrence: Callable = linear_recurrence
) -> Tensor:
    """Mega's damped moving average y_t = alpha x_t + (1 - alpha delta) y_{t-1}   (Ma et al. 2023).

    x             (B, T, D)
    alpha, delta  (D,) in (0, 1); delta = 1 is the usual exponential average
    returns       (B, T, D)
    """
    entering = alpha * x
    kept = np.zeros_like(entering.data) + (1 - alpha * delta)  # (D,) -> (B, T, D)
    return recurrence(kept, entering)


def moving_average_by_convolution(x: Tensor, alpha: Tensor, delta: Tensor) -> Tensor:
    """moving_average() as a convolution with alpha (1 - alpha delta)^t: all tokens at once."""
    T = x.shape[1]
    t = np.arange(T, like=x.data)
    lag = t[:, None] - t  # (T, T): t - s
    # power() and not exp(lag log(kept)): kept may be 0, which has no logarithm.
    kept = (1 - alpha * delta).reshape(-1, 1, 1)  # (D, 1, 1)
    kernel = where(lag >= 0, power(kept, np.maximum(lag, 0).astype(x.dtype)), 0.0)
    kernel = kernel * alpha.reshape(-1, 1, 1)  # (D, T, T)
    columns = expand_dims(x.transpose(0, 2, 1), -1)  # (B, T, D) -> (B, D, T, 1)
    y = (kernel @ columns)[..., 0]  # (B, D, T)
    return y.transpose(0, 2, 1)
