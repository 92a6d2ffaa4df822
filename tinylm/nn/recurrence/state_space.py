"""Linear recurrences h_t = a_t h_{t-1} + b_t, and what is made of them: Mamba's selective scan,
moving averages.

Without a nonlinearity between steps the recurrence need not be computed step by step: composing
steps is associative, (a', b') after (a, b) is (a' a, a' b + b'), so prefixes can be combined in any
grouping. Three groupings stand here and are equal: one step after the other, doubling (log2 T
rounds, Hillis & Steele 1986), and chunks. Selective state spaces: Gu & Dao 2023, named in book
section 2.3.2; the moving average of Mega (Ma et al. 2023) in 2.3.3. Read next:
models/early/recurrent.py.
"""

import math

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
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.linear import Linear, normal_parameter, undecayed
from tinylm.nn.module import Module


def recurrence_by_steps(a, b):
    """h_t = a_t h_{t-1} + b_t, h_0 = 0, one step after the other: T rounds. a, b (B, T, ...) -> (B,
    T, ...).
    """
    h, states = b[:, 0], [b[:, 0]]
    for t in range(1, b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return stack(states, axis=1)


def recurrence_by_doubling(a, b):
    """The same in log2 T rounds: after round r, position t holds the composition of the 2^r steps
    that end at t.
    """
    reach = 1
    while reach < b.shape[1]:
        rest = ((0, 0),) * (b.ndim - 2)
        b = b + a * pad(b[:, :-reach], ((0, 0), (reach, 0), *rest))  # a' b + b'
        a = concatenate([a[:, :reach], a[:, reach:] * a[:, :-reach]], axis=1)  # a' a
        reach *= 2
    return b


def _by_b(g, h, a, b):
    # dL/dh_t counts h_t's own cotangent and what goes on through h_{t+1}:  m_t = g_t + a_{t+1}
    # m_{t+1}. That is a linear recurrence backwards in time, and m_t is dL/db_t.
    later = pad(
        a[:, 1:], ((0, 0), (0, 1), *((0, 0),) * (a.ndim - 2))
    )  # a_{t+1}; the last has none after it
    return flip(linear_recurrence(flip(later, axis=1), flip(g, axis=1)), axis=1)


def _by_a(g, h, a, b):  # a_t multiplies h_{t-1}:  dL/da_t = m_t h_{t-1}
    return _by_b(g, h, a, b) * pad(h[:, :-1], ((0, 0), (1, 0), *((0, 0),) * (a.ndim - 2)))


@primitive(_by_a, _by_b, name="linear_recurrence")
def linear_recurrence(a, b):
    """h_t = a_t h_{t-1} + b_t along axis 1, from h_0 = 0; the derivative is the same recurrence run
    backwards.

    a, b     (B, T, ...), of one shape, T >= 1
    returns  (B, T, ...)
    raises   ShapeError

    Computed in about sqrt(T) chunks of sqrt(T) steps: all chunks walk at the same time as if each
    began at 0, then the states at their ends are handed on, 2 sqrt(T) array operations instead of
    T. Nothing is divided, so it is as stable as the steps themselves.
    """
    if np.shape(a) != np.shape(b) or b.ndim < 2 or b.shape[1] == 0:
        raise ShapeError(
            f"linear_recurrence: a {np.shape(a)} and b {np.shape(b)} must be (B, T, ...) of one shape, T >= 1"
        )
    T = b.shape[1]
    Q = math.isqrt(T - 1) + 1  # steps in a chunk; the last chunk may be shorter
    h = np.empty_like(b)
    so_far = np.empty_like(a)  # product of the chunk's a up to here
    starts = slice(0, T, Q)
    h[:, starts], so_far[:, starts] = b[:, starts], a[:, starts]
    for q in range(1, Q):
        here = slice(q, T, Q)  # position q of every chunk that is so long
        n = h[:, here].shape[1]
        h[:, here] = a[:, here] * h[:, q - 1 : T : Q][:, :n] + b[:, here]
        so_far[:, here] = a[:, here] * so_far[:, q - 1 : T : Q][:, :n]
    for start in range(Q, T, Q):
        h[:, start : start + Q] += so_far[:, start : start + Q] * h[:, start - 1 : start]
    return h


def selective_scan(x, step, A, B, C, skip, state=None, recurrence=linear_recurrence):
    """Mamba's scan: a linear state per channel whose decay, input and output all depend on the
    token (Gu & Dao 2023, S6)

        h_t = exp(step_t A) h_{t-1} + step_t B_t x_t,    y_t = C_t . h_t + skip x_t

    x, step     (B, T, E)  E channels; step > 0: large forgets and reads, small keeps and ignores
    A           (E, N)     negative: N decay rates per channel
    B, C        (B, T, N)  what enters and leaves the N states, shared by the channels
    skip        (E,)
    state       (B, E, N)  h before the first token; None for zeros
    recurrence  which of the three equal ways
    returns     (y (B, T, E), state after the last token (B, E, N))

    The states of all tokens, T E N numbers, are kept for the backward pass; a GPU kernel recomputes
    them instead.
    """
    decay = exp(expand_dims(step, -1) * A)  # (B, T, E, N)
    entering = expand_dims(step * x, -1) * expand_dims(B, 2)  # (B, T, E, N)
    if state is not None:  # h_0 enters with the first token
        first = entering[:, :1] + decay[:, :1] * expand_dims(state, 1)
        entering = concatenate([first, entering[:, 1:]], axis=1)
    h = recurrence(decay, entering)
    y = (h * expand_dims(C, 2)).sum(axis=-1) + skip * x  # (B, T, E, N) -> (B, T, E)
    return y, h[:, -1]


class MambaBlock(Module):
    """A Mamba block: widen, a short causal convolution, the selective scan, gate, narrow (Gu & Dao
    2023, Fig. 3)

    d_model   D;  d_inner E (2 D if None);  d_state N;  width of the convolution in tokens
    rank      of the map to the step size (ceil(D / 16) if None)
    """

    def __init__(
        self, d_model, rng, d_inner=None, d_state=16, width=4, rank=None, dtype=np.float32
    ):
        E, N, R = d_inner or 2 * d_model, d_state, rank or -(-d_model // 16)
        if min(d_model, E, N, R, width) < 1:
            raise ConfigError(
                f"MambaBlock: widths {d_model}, {E}, {N}, {R} and convolution {width} must be at least 1"
            )
        self.d_inner, self.d_state, self.rank, self.width = E, N, R, width
        self.input = Linear(d_model, 2 * E, rng, bias=False, std=d_model**-0.5, dtype=dtype)
        self.kernel = normal_parameter((width, E), rng, width**-0.5, dtype)
        self.kernel_bias = Tensor(np.zeros(E, dtype), requires_grad=True)
        self.select = Linear(E, R + 2 * N, rng, bias=False, std=E**-0.5, dtype=dtype)
        self.step = Linear(R, E, rng, std=R**-0.5, dtype=dtype)
        # Steps begin spread between 0.001 and 0.1, their logarithms evenly: channels that remember
        # long and short.
        steps = np.exp(rng.uniform((E,), np.float64) * math.log(100) + math.log(0.001))
        self.step.bias.data[...] = np.log(np.expm1(steps))  # softplus of this is the step
        log_decay = np.tile(np.log(np.arange(1, N + 1)), (E, 1)).astype(dtype)  # (E, N)
        self.log_decay = undecayed(Tensor(log_decay, requires_grad=True))
        self.skip = Tensor(np.ones(E, dtype), requires_grad=True)
        self.out = Linear(E, d_model, rng, bias=False, std=E**-0.5, dtype=dtype)

    def initial_state(self, batch):
        """Zeros: the last width - 1 inputs of the convolution (B, width - 1, E) and the scan's
        state (B, E, N).
        """
        E, like = self.d_inner, self.skip.data
        return tuple(
            Tensor(np.zeros_like(like, shape=(batch, *shape)))
            for shape in ((self.width - 1, E), (E, self.d_state))
        )

    def __call__(self, x, state=None, recurrence=linear_recurrence):
        """Read T tokens.

        x        (B, T, D)
        state    what an earlier call returned; None begins anew
        returns  (outputs (B, T, D), state)
        """
        (window, h), T = self.initial_state(len(x)) if state is None else state, x.shape[1]
        u, gate = split(self.input(x), 2, axis=-1)  # (B, T, E) each
        u = concatenate([window, u], axis=1)  # (B, width - 1 + T, E)
        window = u[:, T:]
        u = silu(
            sum(u[:, k : k + T] * self.kernel[k] for k in range(self.width)) + self.kernel_bias
        )
        step, B, C = split(self.select(u), [self.rank, self.rank + self.d_state], axis=-1)
        y, h = selective_scan(
            u, softplus(self.step(step)), -exp(self.log_decay), B, C, self.skip, h, recurrence
        )
        return self.out(y * silu(gate)), (window, h)


def moving_average(x, alpha, delta, recurrence=linear_recurrence):
    """Mega's damped moving average y_t = alpha x_t + (1 - alpha delta) y_{t-1}   (Ma et al. 2023)

    x             (B, T, D);  alpha, delta (D,) in (0, 1); delta = 1 is the usual exponential average
    returns       (B, T, D)
    """
    entering = alpha * x
    return recurrence(np.zeros_like(entering.data) + (1 - alpha * delta), entering)


def moving_average_by_convolution(x, alpha, delta):
    """moving_average() as a convolution with alpha (1 - alpha delta)^t: what makes it trainable in
    parallel.
    """
    T = x.shape[1]
    lag = np.arange(T, like=x.data)[:, None] - np.arange(T, like=x.data)  # (T, T): t - s
    kept = (1 - alpha * delta).reshape(-1, 1, 1)  # may be 0, which has no logarithm
    kernel = where(lag >= 0, power(kept, np.maximum(lag, 0).astype(x.dtype)), 0.0)
    kernel = kernel * alpha.reshape(-1, 1, 1)  # (D, T, T)
    return (kernel @ expand_dims(x.transpose(0, 2, 1), -1))[..., 0].transpose(
        0, 2, 1
    )  # (B, D, T) -> (B, T, D)
