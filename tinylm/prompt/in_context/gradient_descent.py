"""Learning in context as gradient descent: attention that computes it exactly   (book section
3.1.2; von Oswald et al. 2023, Dai et al. 2023).

Attention without softmax maps tokens e_i = (x_i, y_i) to

    e_j <- e_j + P sum_i V e_i (K e_i . Q e_j)        i over the N context tokens

With the construction below, the query (x_q, -W0 x_q) ends as (x_q, -W1 x_q), where W1 is W0 after
one step of gradient descent on the context's squared loss. With W0 = 0, L such layers are L steps:
the labels become residuals y_i - W_t x_i, which is all that the next step needs. The other way
round, attention to a context is a linear map whose update sum_i v_i k_i^T has the form of a
gradient (dual_form). Read next: regression.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor, einsum
from tinylm.backend import DType, Random
from tinylm.errors import ShapeError
from tinylm.nn.module import Module


class LinearSelfAttention(Module):
    """e_j + P sum over the context of V e_i (K e_i . Q e_j): attention without softmax.

    d_token  D
    seed     of the initial weights

    Matrices K, Q, V and P are (D, D); they multiply column vectors from the left, as in the paper.
    Check: tinylm gradcheck prompt.LinearSelfAttention
    """

    def __init__(
        self, d_token: int, seed: int = 0, std: float = 0.1, dtype: DType = np.float64
    ) -> None:
        rng = Random(seed, "linear attention")
        for name in ("keys", "queries", "values", "projection"):
            weight = std * rng.normal((d_token, d_token), np.dtype(dtype))
            setattr(self, name, Tensor(weight.astype(dtype), requires_grad=True))

    def __call__(self, tokens: Tensor, context: int) -> Tensor:
        """tokens (B, T, D) -> (B, T, D); every position reads the first `context` tokens."""
        seen = tokens[:, :context]  # (B, N, D)
        keys = seen @ self.keys.T
        queries = tokens @ self.queries.T  # (B, T, D)
        values = seen @ self.values.T
        scores = einsum("btd,bnd->btn", queries, keys)
        return tokens + einsum("btn,bnd->btd", scores, values) @ self.projection.T


def construction(start: np.ndarray, rate: float, context: int) -> LinearSelfAttention:
    """The layer that makes one step of gradient descent   (von Oswald et al. 2023, proposition 1)

    start    W0 (d_y, d_x), where the step begins
    rate     eta;  context  N
    returns  LinearSelfAttention on tokens of width d_x + d_y
    """
    # K e_i . Q e_q = x_i . x_q and V e_i = (0, W0 x_i - y_i), so the query's lower part becomes
    #   -W0 x_q + (eta/N) sum_i (W0 x_i - y_i) x_i . x_q = -(W0 - (eta/N) sum_i (..) x_i^T) x_q
    start = np.asarray(start, np.float64)
    d_y, d_x = start.shape
    layer = LinearSelfAttention(d_x + d_y)
    upper = np.zeros((d_x + d_y, d_x + d_y))
    upper[:d_x, :d_x] = np.eye(d_x)
    values = np.zeros_like(upper)
    values[d_x:, :d_x] = start
    values[d_x:, d_x:] = -np.eye(d_y)
    layer.keys.assign_(upper)
    layer.queries.assign_(upper)
    layer.values.assign_(values)
    layer.projection.assign_(rate / context * np.eye(d_x + d_y))
    return layer


def tokens_of(
    x: np.ndarray, y: np.ndarray, queries: np.ndarray, start: np.ndarray | None = None
) -> Tensor:
    """Examples and queries as tokens: (B, N + M, d_x + d_y) Tensor.

    x        (B, N, d_x);  y (B, N, d_y);  queries (B, M, d_x)
    start    W0 (d_y, d_x); a query's lower part is -W0 x_q. None: 0
    """
    x, y, queries = np.asarray(x), np.asarray(y), np.asarray(queries)
    if x.shape[:2] != y.shape[:2] or x.shape[0] != queries.shape[0]:
        raise ShapeError(f"tokens_of: x {x.shape}, y {y.shape} and queries {queries.shape}")
    below = np.zeros((*queries.shape[:2], y.shape[2]))
    if start is not None:
        below = -queries @ np.asarray(start).T
    context = np.concatenate([x, y], axis=2)
    return Tensor(np.concatenate([context, np.concatenate([queries, below], axis=2)], axis=1))


def predictions(
    layers: Sequence[LinearSelfAttention],
    x: np.ndarray,
    y: np.ndarray,
    queries: np.ndarray,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """What stacked layers answer to queries: (B, M, d_y) float64, W x_q.

    layers  LinearSelfAttention one after the other; only the first may have W0 other than 0
    """
    tokens = tokens_of(x, y, queries, start)
    N, d_x = np.shape(x)[1:]
    for layer in layers:
        tokens = layer(tokens, N)
    return -tokens.data[:, N:, d_x:]


def gradient_steps(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, rate: float, steps: int = 1
) -> np.ndarray:
    """W after steps of gradient descent on (1/2N) sum_i |W x_i - y_i|^2: (..., d_y, d_x).

    x  (..., N, d_x);  y  (..., N, d_y);  start  (..., d_y, d_x)
    """
    W = np.asarray(start, np.float64)
    x_columns, y_columns = np.swapaxes(x, -1, -2), np.swapaxes(y, -1, -2)
    for _ in range(steps):
        W = W - rate / x.shape[-2] * (W @ x_columns - y_columns) @ x  # (d_y, N) @ (N, d_x)
    return W


def best_rate(examples: int, d: int) -> tuple[float, float]:
    """The rate of one step from 0 with the least expected loss, for x and w ~ N(0, I), y = w . x.

    returns  (eta, expected squared error of the query)
    """
    # With S = sum_i x_i x_i^T / N:  E (w.x_q - eta w.S x_q)^2 = d - 2 eta d + eta^2 E tr S^2, and
    # E tr S^2 = d (N + d + 1) / N, since E |x|^4 = d (d + 2). The minimum is at N / (N + d + 1).
    rate = examples / (examples + d + 1)
    return rate, d * (1 - rate)


def dual_form(
    W_zero: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The linear map that linear attention to a context is   (Dai et al. 2023, eq. 10)

        W_zero q + sum_i v_i (k_i . q) = (W_zero + sum_i v_i k_i^T) q

    W_zero   (d_v, d_k), what attention to the query's own text does
    keys     (N, d_k) and values (N, d_v) of the demonstrations
    returns  (W_zero + update, update), each (d_v, d_k). A layer that is trained on inputs x_i has
             the update sum_i e_i x_i^T, with e_i = -rate dL/d(output i): keys stand for inputs,
             values for error signals
    """
    update = np.asarray(values).T @ np.asarray(keys)
    return W_zero + update, update
