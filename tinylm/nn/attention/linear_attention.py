"""Linear attention in three equal forms: as a masked matrix, as a recurrence, and in chunks   (book
eqs. 2.49-2.51)

Replace exp(q.k) by phi(q).phi(k) and the sum over keys no longer depends on the query: it is a
matrix that grows by one outer product a token, mu_i = mu_{i-1} + phi(k_i)^T v_i, and a vector nu
that does the same without v. Keys and values are forgotten; the state has F (J + 1) numbers however
long the sequence (Katharopoulos et al. 2020). This is another model, not an approximation of
softmax attention; only random features approximate that (FAVOR+, Choromanski et al. 2021). Read
next: memory/fixed_size.py.
"""

import math

import numpy as np

from tinylm.autograd import Tensor, concatenate, cumsum, exp, pad, relu, where
from tinylm.autograd.kernels.heads import even_heads
from tinylm.autograd.kernels.masks import seen_mix, seen_scores
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module

# In all forms: q, k (B, H, T, F) are features, phi already applied; v (B, H, T, J). The state (B,
# H, F, J + 1) is mu with nu as its last column: nu is what mu would be if every value were 1, so
# one product updates both.


def _with_ones(q, k, v):
    if q.shape != k.shape or k.shape[:3] != v.shape[:3]:
        raise ShapeError(
            f"linear attention: q {q.shape}, k {k.shape}, v {v.shape}: need (B, H, T, F) twice and (B, H, T, J)"
        )
    return concatenate(
        [v, np.ones_like(v.data, shape=(*v.shape[:3], 1))], axis=-1
    )  # (B, H, T, J + 1)


def _normalized(y):
    """q mu / q nu from q [mu, nu]; zero where q nu is zero: no key has been seen, or none has a
    feature in common.
    """
    total = y[..., -1:]
    return y[..., :-1] / where(total.data == 0, 1.0, total)


def initial_state(q, v):
    """The state before the first token: zeros (B, H, F, J + 1)."""
    return Tensor(np.zeros_like(q.data, shape=(*q.shape[:2], q.shape[3], v.shape[3] + 1)))


def linear_attention_matrix(q, k, v):
    """All scores at once, the future masked: T^2 operations, like attention without its
    exponential. -> (B, H, T, J)
    """
    v, past = _with_ones(q, k, v), np.tri(q.shape[2], dtype=bool, like=q.data)
    scores = where(past, seen_scores(q, k, past), 0.0)  # (B, H, T, T)
    return _normalized(seen_mix(scores, v, past))


def linear_attention_recurrent(q, k, v, state=None):
    """Token by token: a recurrent network whose state is mu and nu   (book eqs. 2.49-2.51)

    state    what an earlier call returned, to go on from there; None begins anew
    returns  (y (B, H, T, J), state): decoding is this with T = 1, at the same cost for every token
    """
    if state is None:
        state = initial_state(q, v)
    if q.shape[2] == 0:
        return linear_attention_matrix(q, k, v), state
    v, outputs = _with_ones(q, k, v), []
    for t in range(q.shape[2]):
        now = slice(t, t + 1)
        state = (
            state + k[:, :, now].swapaxes(-1, -2) @ v[:, :, now]
        )  # outer product: (F, 1) (1, J + 1)
        outputs.append(q[:, :, now] @ state)
    return _normalized(concatenate(outputs, axis=2)), state


def linear_attention_chunked(q, k, v, state=None, chunk=32):
    """Chunks as matrices inside, the recurrence between them: few large products, and T (chunk + F)
    operations

    chunk    C, tokens in a chunk
    returns  (y (B, H, T, J), state), as of linear_attention_recurrent
    raises   ConfigError, ShapeError
    """
    if chunk < 1:
        raise ConfigError(f"linear_attention_chunked: chunk {chunk} must be 1 or more")
    if state is None:
        state = initial_state(q, v)
    (B, H, T, F), C = q.shape, min(chunk, q.shape[2])
    if T == 0:
        return linear_attention_matrix(q, k, v), state
    v, n = _with_ones(q, k, v), -(-T // C)
    J = v.shape[3] - 1

    def chunks(x):  # filled up with zeros, which add nothing to a state
        return pad(x, ((0, 0), (0, 0), (0, n * C - T), (0, 0))).reshape(B, H, n, C, x.shape[-1])

    q, k, v = chunks(q), chunks(k), chunks(v)
    added = k.swapaxes(-1, -2) @ v  # by each chunk: (B, H, n, F, J + 1)
    states = cumsum(
        concatenate([state.reshape(B, H, 1, F, J + 1), added], axis=2), axis=2
    )  # before each, and at the end
    past = np.tri(C, dtype=bool, like=q.data)
    inside = where(past, seen_scores(q, k, past), 0.0)  # (B, H, n, C, C)
    y = seen_mix(inside, v, past) + q @ states[:, :, :n]
    return _normalized(y.reshape(B, H, n * C, J + 1)[:, :, :T]), states[:, :, n]


def elu_features(x):
    """elu(x) + 1: x + 1 above zero, e^x below; positive, with a slope without jump   (Katharopoulos
    et al. 2020)
    """
    above = x.data > 0
    return where(above, x + 1, exp(where(above, 0.0, x)))  # x = 0 takes the slope of one side


def relu_features(x):
    """max(x, 0): may be zero everywhere, and then a query sees nothing."""
    return relu(x)


def exp_features(x):
    """e^x for each entry, positive. Not the softmax kernel: sum_f e^(q_f + k_f) is not e^(q.k)."""
    return exp(x)


def taylor_features(x):
    """[1, x, x_i x_j / sqrt 2]: phi(q).phi(k) = 1 + q.k + (q.k)^2 / 2, the exponential to second
    order; at least 1/2.

    x (..., K) -> (..., 1 + K + K^2)
    """
    K = x.shape[-1]
    squares = x.reshape(*x.shape, 1) * x.reshape(*x.shape[:-1], 1, K) * math.sqrt(0.5)
    return concatenate(
        [np.ones_like(x.data[..., :1]), x, squares.reshape(*x.shape[:-1], K * K)], axis=-1
    )


def random_features(x, directions):
    """Positive random features: e^(w.x - |x|^2/2) / sqrt(r) for r directions w   (FAVOR+;
    Choromanski et al. 2021)

    x           (..., K);  for attention's e^(q.k / sqrt K), queries and keys divided by K^(1/4)
    directions  (r, K) array, normal or from orthogonal_directions()
    returns     (..., r). The mean of phi(q).phi(k) over directions is e^(q.k); the error falls as
                1/sqrt(r)
    """
    return exp(x @ directions.T - (x * x).sum(axis=-1, keepdims=True) * 0.5) * (
        1 / math.sqrt(len(directions))
    )


def orthogonal_directions(rng, count, width, dtype=np.float64):
    """Normal directions in groups of `width` that are orthogonal: still unbiased, with less
    variance.

    rng  tinylm Random;  returns (count, width) array
    """
    groups = []
    for _ in range(-(-count // width)):
        basis, _ = np.linalg.qr(rng.normal((width, width), np.float64))
        lengths = np.sqrt(
            np.sum(rng.normal((width, width), np.float64) ** 2, axis=1, keepdims=True)
        )  # as long as normal rows
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

    d_model   D;  heads H
    features  phi, a function of a Tensor (..., K) that gives features (..., F); see FEATURES
    chunk     tokens that are computed together
    """

    def __init__(self, d_model, heads, rng, features=elu_features, chunk=32, dtype=np.float32):
        even_heads("LinearSelfAttention", d_model, heads)
        self.heads, self.features, self.chunk = heads, features, chunk
        self.qkv = Linear(d_model, 3 * d_model, rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x, state=None):
        """x (B, T, D), state of an earlier call or None -> (y (B, T, D), state)."""
        q, k, v = split_heads(self.qkv(x), self.heads, self.heads)
        y, state = linear_attention_chunked(
            self.features(q), self.features(k), v, state, self.chunk
        )
        return self.out(merge_heads(y)), state
