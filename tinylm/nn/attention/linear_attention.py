"""Linear attention in three equal forms: matrix, recurrence, chunks   (book eqs. 2.49-2.51).

Replace exp(q.k) by phi(q).phi(k), and the sum over keys no longer depends on the query:

    Att(q_i) = phi(q_i) mu_i / phi(q_i) nu_i
    mu_i = mu_{i-1} + phi(k_i)^T v_i          a matrix that grows by one outer product a token
    nu_i = nu_{i-1} + phi(k_i)^T              the same without v

Keys and values need not be kept: the state has F (J + 1) numbers however long the sequence
(Katharopoulos et al. 2020). This is another model, not an approximation of softmax attention; only
random features approximate that (FAVOR+, Choromanski et al. 2021). Read next: memory/fixed_size.py.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor, concatenate, cumsum, exp, pad, relu, where
from tinylm.autograd.kernels.heads import even_heads
from tinylm.autograd.kernels.masks import seen_mix, seen_scores
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module

# In all forms: q, k (B, H, T, F) are features, phi already applied; v (B, H, T, J). The state,
# (B, H, F, J + 1), is mu with nu as its last column: nu is what mu would be if every value were 1,
# so one product updates both.


def _with_ones(q, k, v):
    """[v, 1], (B, H, T, J + 1): values with the column that makes nu. Checks all three shapes."""
    if q.shape != k.shape or k.shape[:3] != v.shape[:3]:
        raise ShapeError(
            f"linear attention: q {q.shape}, k {k.shape}, v {v.shape}: "
            "need (B, H, T, F) twice and (B, H, T, J)"
        )
    ones = np.ones_like(v.data, shape=(*v.shape[:3], 1))
    return concatenate([v, ones], axis=-1)


def _normalized(y):
    """q mu / q nu, from y = q [mu, nu]: (B, H, T, J + 1) -> (B, H, T, J).

    Zero where q nu is zero: no key came before, or none has a feature in common with the query.
    """
    total = y[..., -1:]  # q nu, (B, H, T, 1)
    return y[..., :-1] / where(total.data == 0, 1.0, total)


def initial_state(q: Tensor, v: Tensor) -> Tensor:
    """The state before the first token: zeros (B, H, F, J + 1)."""
    return Tensor(np.zeros_like(q.data, shape=(*q.shape[:2], q.shape[3], v.shape[3] + 1)))


def linear_attention_matrix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All scores at once, the future masked: attention without its exponential, T^2 operations.

    returns  (B, H, T, J)
    """
    v = _with_ones(q, k, v)
    past = np.tri(q.shape[2], dtype=bool, like=q.data)  # (T, T), True on and below the diagonal
    scores = where(past, seen_scores(q, k, past), 0.0)  # phi(q_i).phi(k_j), (B, H, T, T)
    y = seen_mix(scores, v, past)  # [sum_j score v_j, sum_j score], (B, H, T, J + 1)
    return _normalized(y)


def linear_attention_recurrent(
    q: Tensor, k: Tensor, v: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Token by token: a recurrent network whose state is mu and nu   (book eqs. 2.49-2.51).

    state    what an earlier call returned, to continue from there; None begins a new sequence
    returns  (y (B, H, T, J), state): decoding is this with T = 1, at the same cost for every token
    """
    if state is None:
        state = initial_state(q, v)
    if q.shape[2] == 0:
        return linear_attention_matrix(q, k, v), state
    v = _with_ones(q, k, v)
    outputs = []
    for t in range(q.shape[2]):
        now = slice(t, t + 1)
        column = k[:, :, now].swapaxes(-1, -2)  # phi(k_t)^T: (B, H, 1, F) -> (B, H, F, 1)
        state = state + column @ v[:, :, now]  # outer product (F, 1) (1, J + 1)
        outputs.append(q[:, :, now] @ state)  # phi(q_t) [mu_t, nu_t], (B, H, 1, J + 1)
    return _normalized(concatenate(outputs, axis=2)), state


def linear_attention_chunked(
    q: Tensor, k: Tensor, v: Tensor, state: Tensor | None = None, chunk: int = 32
) -> tuple[Tensor, Tensor]:
    """The matrix form inside chunks, the recurrence between them: few large products.

    A query sees the keys of its own chunk one by one and all chunks before it as a state. That
    takes T C (F + J + 1) multiplications inside the chunks and 2 T F (J + 1) for the states, where
    the matrix form takes T^2 (F + J + 1).

    chunk    C, tokens in a chunk
    returns  (y (B, H, T, J), state), as of linear_attention_recurrent
    raises   ConfigError, ShapeError
    """
    if chunk < 1:
        raise ConfigError(f"linear_attention_chunked: chunk {chunk} must be 1 or more")
    if state is None:
        state = initial_state(q, v)
    B, H, T, F = q.shape
    if T == 0:
        return linear_attention_matrix(q, k, v), state
    C = min(chunk, T)
    n = -(-T // C)  # chunks
    v = _with_ones(q, k, v)
    J = v.shape[3] - 1

    def chunks(x):
        # Padded with zeros, which add nothing to a state.
        x = pad(x, ((0, 0), (0, 0), (0, n * C - T), (0, 0)))
        return x.reshape(B, H, n, C, x.shape[-1])  # (B, H, n C, .) -> (B, H, n, C, .)

    q, k, v = chunks(q), chunks(k), chunks(v)
    # What each chunk adds to the state, sum_t phi(k_t)^T [v_t, 1]; and the state before each chunk,
    # with the state after the last one at the end.
    added = k.swapaxes(-1, -2) @ v  # (B, H, n, F, J + 1)
    start = state.reshape(B, H, 1, F, J + 1)
    states = cumsum(concatenate([start, added], axis=2), axis=2)  # (B, H, n + 1, F, J + 1)

    past = np.tri(C, dtype=bool, like=q.data)
    scores = where(past, seen_scores(q, k, past), 0.0)  # (B, H, n, C, C)
    y = seen_mix(scores, v, past) + q @ states[:, :, :n]  # own chunk + all chunks before
    y = y.reshape(B, H, n * C, J + 1)[:, :, :T]
    return _normalized(y), states[:, :, n]


def elu_features(x: Tensor) -> Tensor:
    """elu(x) + 1: x + 1 above zero, e^x below   (Katharopoulos et al. 2020).

    Positive everywhere, and its slope has no jump: it is 1 on both sides of zero.
    """
    above = x.data > 0
    # The inner where keeps e^x from overflowing at large x, where the outer one does not use it.
    return where(above, x + 1, exp(where(above, 0.0, x)))


def relu_features(x: Tensor) -> Tensor:
    """max(x, 0): a query whose features are all zero sees nothing."""
    return relu(x)


def exp_features(x: Tensor) -> Tensor:
    """e^x for each entry, positive. Not the softmax kernel: sum_f e^(q_f + k_f) is not e^(q.k)."""
    return exp(x)


def taylor_features(x: Tensor) -> Tensor:
    """[1, x, x_i x_j / sqrt 2]: the exponential to second order.

    phi(q).phi(k) = 1 + q.k + (q.k)^2 / 2, which is at least 1/2.

    x        (..., K)
    returns  (..., 1 + K + K^2)
    """
    K = x.shape[-1]
    ones = np.ones_like(x.data[..., :1])
    # Outer product of x with itself: sum_ij q_i q_j k_i k_j = (q.k)^2.
    squares = x.reshape(*x.shape, 1) * x.reshape(*x.shape[:-1], 1, K)  # (..., K, K)
    squares = squares * math.sqrt(0.5)
    return concatenate([ones, x, squares.reshape(*x.shape[:-1], K * K)], axis=-1)


def random_features(x: Tensor, directions: np.ndarray) -> Tensor:
    """e^(w.x - |x|^2/2) / sqrt(r) for r random directions w   (FAVOR+; Choromanski et al. 2021).

    x           (..., K);  for attention's e^(q.k / sqrt K), queries and keys divided by K^(1/4)
    directions  (r, K) array, normal or from orthogonal_directions()
    returns     (..., r), all positive. The mean of phi(q).phi(k) over directions is e^(q.k); the
                error falls as 1/sqrt(r)
    """
    # For normal w the mean of e^(w.(q + k)) is e^(|q + k|^2 / 2) = e^(|q|^2/2 + |k|^2/2 + q.k), so
    # taking e^(|x|^2/2) off both features leaves e^(q.k).
    half_squares = (x * x).sum(axis=-1, keepdims=True) * 0.5  # (..., 1)
    return exp(x @ directions.T - half_squares) * (1 / math.sqrt(len(directions)))


def orthogonal_directions(
    rng: Random, count: int, width: int, dtype: DType = np.float64
) -> np.ndarray:
    """Normal directions, orthogonal within each group of `width`: unbiased, with less variance.

    rng      tinylm Random
    returns  (count, width) array
    """
    groups = []
    for _ in range(-(-count // width)):
        basis, _ = np.linalg.qr(rng.normal((width, width), np.float64))  # columns of length 1
        normal = rng.normal((width, width), np.float64)
        lengths = np.sqrt(np.sum(normal**2, axis=1, keepdims=True))  # of independent normal rows
        groups.append(basis.T * lengths)
    return np.concatenate(groups)[:count].astype(dtype)


FEATURES = {
    "elu": elu_features,
    "relu": relu_features,
    "exp": exp_features,
    "taylor": taylor_features,
}


class LinearSelfAttention(Module):
    """Multi-head linear self-attention, causal.

    d_model   D, the width of the model
    heads     H
    features  phi, a function Tensor (..., K) -> Tensor (..., F); see FEATURES
    chunk     tokens that are computed together
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random,
        features: Callable = elu_features,
        chunk: int = 32,
        dtype: DType = np.float32,
    ) -> None:
        even_heads("LinearSelfAttention", d_model, heads)
        self.heads, self.features, self.chunk = heads, features, chunk
        self.qkv = Linear(d_model, 3 * d_model, rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), state of an earlier call or None -> (y (B, T, D), state)."""
        q, k, v = split_heads(self.qkv(x), self.heads, self.heads)  # (B, H, T, K) each
        q = self.features(q)  # (B, H, T, K) -> (B, H, T, F)
        k = self.features(k)
        y, state = linear_attention_chunked(q, k, v, state, self.chunk)
        return self.out(merge_heads(y)), state  # (B, H, T, K) -> (B, T, D)
