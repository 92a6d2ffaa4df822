"""Biases of attention scores by position: T5, ALiBi, KERPLE, Sandwich, FIRE   (book Table 2.4).

    score(i, j) = q_i k_j^T / sqrt(K) + bias(i - j)

All have one signature, bias(query_positions (T,), key_positions (S,)) -> Tensor (1|H, T, S), which
attention(q, k, v, bias=...) adds to the scaled scores, as in the papers and their code. Positions
may be (B, T) and (B, S); then the result is (B, 1|H, T, S). With a cache, the query positions start
where the cache ends. The book adds the bias before dividing by sqrt(K) (eqs. 2.76, 2.81, 2.83): see
inside_root. All are made of recorded operations: none has a backward of its own. Book section
2.3.5. Read next: relative.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.autograd import (
    Array,
    Tensor,
    TensorLike,
    embedding,
    log,
    power,
    relu,
    sigmoid,
    softplus,
    transpose,
)
from tinylm.backend import ArrayLike, DType, Random
from tinylm.errors import ConfigError, DataError
from tinylm.nn.linear import INIT_STD, Linear, normal_parameter, undecayed
from tinylm.nn.module import Module
from tinylm.nn.position.t5_buckets import t5_bucket


def offsets(query_positions: np.ndarray, key_positions: np.ndarray) -> np.ndarray:
    """i - j for every query i and key j, with an axis for heads   (book eq. 2.77).

    query_positions  (T,) or (B, T) integers
    key_positions    (S,) or (B, S) integers
    returns          (1, T, S), or (B, 1, T, S)
    """
    i = query_positions[..., None, :, None]  # (..., 1, T, 1)
    j = key_positions[..., None, None, :]  # (..., 1, 1, S)
    return i - j


def inside_root(bias: Tensor, width: int) -> Tensor:
    """bias / sqrt(K): (q k^T + bias) / sqrt(K) as in the book (eqs. 2.76, 2.81, 2.83).

    T5 itself has no root at all (eq. 2.80): attention(..., bias=bias, scale=1.0).
    """
    return bias / math.sqrt(width)


def _heads_first(values):
    """(..., T, S, H) -> (..., H, T, S)"""
    return transpose(values, (*range(values.ndim - 3), -1, -3, -2))


def _inverse_softplus(y):
    return np.log(np.expm1(y))  # y = log(1 + e^x)  <=>  x = log(e^y - 1)


class OffsetBias(Module):
    """u_{i-j}: one learned number per offset and head, the simplest design   (book section 2.3.5).

    max_offset     largest |i - j| in the table; it cannot be used beyond, and an offset that never
                   occurs in training keeps its initial number
    bidirectional  offsets -max_offset .. max_offset; otherwise keys after the query share offset 0,
                   to be masked
    """

    def __init__(
        self,
        heads: int,
        rng: Random,
        max_offset: int = 512,
        bidirectional: bool = False,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.max_offset = max_offset
        self.lowest = -max_offset if bidirectional else 0
        rows = max_offset - self.lowest + 1
        self.table = undecayed(normal_parameter((rows, heads), rng, std, dtype))

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S).

        raises   DataError for an offset beyond the table; on a GPU it takes the last row instead
        """
        offset = offsets(query_positions, key_positions)  # (1, T, S)
        # Reading a value on a GPU would wait for all work before it, so only the CPU checks.
        if type(offset) is np.ndarray and offset.size:
            far = np.max(np.abs(offset) if self.lowest else offset)
            if far > self.max_offset:
                raise DataError(
                    f"OffsetBias: offset {far} is beyond the largest, {self.max_offset}: "
                    "shorten the input, or use a bias that reaches further (T5Bias, AlibiBias)"
                )
        row = np.clip(offset, self.lowest, self.max_offset) - self.lowest
        values = embedding(row[..., 0, :, :], self.table)  # (T, S) -> (T, S, H)
        return _heads_first(values)  # (H, T, S)


class T5Bias(Module):
    """u_{b(i-j)}: one learned number per bucket of offsets and head   (book eq. 2.79).

    One module serves all layers.

    buckets, max_distance, bidirectional   as in t5_bucket
    """

    def __init__(
        self,
        heads: int,
        rng: Random | None,
        buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = False,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.buckets, self.max_distance, self.bidirectional = buckets, max_distance, bidirectional
        self.table = undecayed(normal_parameter((buckets, heads), rng, std, dtype))

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S)."""
        offset = offsets(query_positions, key_positions)[..., 0, :, :]  # (T, S)
        bucket = t5_bucket(offset, self.buckets, self.max_distance, self.bidirectional)
        values = embedding(bucket, self.table)  # (T, S) -> (T, S, H)
        return _heads_first(values)  # (H, T, S)


def alibi_slopes(heads: int) -> np.ndarray:
    """beta_k = 2^(-8k/H), k = 1 .. H   (book eq. 2.84; Press et al. 2022).

    If H is no power of two: the slopes for the next smaller power P, then every other one of those
    for 2 P.

    returns  (H,) float64
    """
    P = 2 ** int(math.log2(heads))
    slopes = 2.0 ** (-8 / P * np.arange(1, P + 1))  # (P,)
    if P == heads:
        return slopes
    between = alibi_slopes(2 * P)[0::2]  # (P,), those that the slopes for P do not contain
    return np.concatenate([slopes, between[: heads - P]])


class AlibiBias(Module):
    """-beta |i - j|: one slope per head, nothing learned, any length   (book eqs. 2.82, 2.83).

    slopes   (H,), replaces alibi_slopes(heads). The paper's slope is the book's divided by sqrt(K):
             see inside_root
    """

    def __init__(
        self,
        heads: int,
        rng: Random | None = None,
        slopes: ArrayLike | None = None,
        dtype: DType = np.float32,
    ) -> None:
        if slopes is None:
            slopes = alibi_slopes(heads)
        self.slopes = np.asarray(slopes, np.float64)
        self.dtype = dtype

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S)."""
        distance = np.abs(offsets(query_positions, key_positions))  # (1, T, S)
        slopes = self.slopes[:, None, None]  # (H, 1, 1)
        slopes = backend.to_device(slopes, backend.device_of(distance))
        return Tensor((-slopes * distance).astype(self.dtype))  # (H, T, S)


def phrase_distortion(spans: Sequence[tuple[int, int]]) -> list[int]:
    """-|start_i - end_{i-1} - 1|: the penalty of distance in phrase-based translation (Koehn 2010).

    spans    list of (start, end) in the source, in the order they are translated
    returns  one number per phrase, 0 everywhere for a translation without reordering
    """
    penalties = []
    last_end = -1  # the first phrase should start at 0
    for start, end in spans:
        penalties.append(-abs(start - last_end - 1))
        last_end = end
    return penalties


def kerple_power(distance: Array, beta1: TensorLike, beta2: TensorLike) -> Tensor:
    """-beta1 n^beta2, beta1 > 0, 0 < beta2 <= 2   (book Table 2.4; Chi et al. 2022).

    A Tensor; beta2 = 1 is ALiBi.
    """
    return -beta1 * power(distance, beta2)


def kerple_log(distance: Array, beta1: TensorLike, beta2: TensorLike) -> Tensor:
    """-beta1 log(1 + beta2 n), beta1, beta2 > 0   (book Table 2.4; Chi et al. 2022). A Tensor."""
    return -beta1 * log(1 + beta2 * distance)


class KerplePowerBias(Module):
    """kerple_power of |i - j|, with beta1 = softplus(a) and beta2 = 2 sigmoid(b) learned per head.

    It starts as ALiBi.
    """

    def __init__(self, heads: int, rng: Random | None = None, dtype: DType = np.float32) -> None:
        a = _inverse_softplus(alibi_slopes(heads))[:, None, None].astype(dtype)  # (H, 1, 1)
        b = np.zeros((heads, 1, 1), dtype)  # 2 sigmoid(0) = 1
        self.a = undecayed(Tensor(a, requires_grad=True))
        self.b = undecayed(Tensor(b, requires_grad=True))

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S)."""
        distance = np.abs(offsets(query_positions, key_positions))  # (1, T, S)
        distance = distance.astype(self.a.dtype)
        return kerple_power(distance, softplus(self.a), 2 * sigmoid(self.b))  # (H, T, S)


class KerpleLogBias(Module):
    """kerple_log of |i - j|, with beta1 = softplus(a) and beta2 = softplus(b) learned per head.

    They start at random in (0, 2) and (0, 1).
    """

    def __init__(self, heads: int, rng: Random, dtype: DType = np.float32) -> None:
        def start(top):
            # In [0.01 top, top): away from 0, which softplus never reaches.
            beta = (0.01 + 0.99 * rng.uniform((heads, 1, 1), np.dtype(dtype))) * top
            return undecayed(Tensor(_inverse_softplus(beta).astype(dtype), requires_grad=True))

        self.a = start(2)
        self.b = start(1)

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S)."""
        distance = np.abs(offsets(query_positions, key_positions))  # (1, T, S)
        distance = distance.astype(self.a.dtype)
        return kerple_log(distance, softplus(self.a), softplus(self.b))  # (H, T, S)


def sandwich(distance: np.ndarray, width: int) -> np.ndarray:
    """sum_{k=1}^{w/2} cos(n / 10000^(2k/w))   (book Table 2.4; Chi et al. 2023).

    It is the inner product of two sinusoidal embeddings of these frequencies.

    distance  array of n
    width     w, even, the book's d-bar: to be chosen, not the width of the model
    returns   float64 array of the same shape; w/2 for n = 0
    """
    k = np.arange(1, width // 2 + 1, like=distance)  # (w/2,)
    angles = distance[..., None] / 10000.0 ** (2 * k / width)  # (..., w/2)
    return np.sum(np.cos(angles), axis=-1)


class SandwichBias(Module):
    """sandwich(i - j, width), the same for all heads, nothing learned."""

    def __init__(
        self, heads: int = 1, rng: Random | None = None, width: int = 128, dtype: DType = np.float32
    ) -> None:
        if width % 2:
            raise ConfigError(
                f"SandwichBias: width {width} counts sines and cosines, so it must be even"
            )
        self.width, self.dtype = width, dtype

    def __call__(self, query_positions: np.ndarray, key_positions: np.ndarray) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (1, T, S)."""
        values = sandwich(offsets(query_positions, key_positions), self.width)
        return Tensor(values.astype(self.dtype))


def fire_argument(
    query_positions: np.ndarray,
    key_positions: np.ndarray,
    c: TensorLike,
    threshold: int,
    dtype: DType = np.float64,
    from_start: np.ndarray | None = None,
) -> Tensor:
    """psi(i - j) / psi(max(m_len, i)), psi(x) = log(c x + 1)   (book Table 2.4; Li et al. 2024).

    Up to i = m_len it depends on i - j alone; beyond, distances are measured against the whole
    past.

    c           > 0, number or Tensor
    threshold   m_len
    from_start  as in FireBias, replaces i in the second psi
    returns     Tensor (1, T, S) in [0, 1] for any length. Keys after the query count as at distance
                0, to be masked
    """
    if from_start is None:
        from_start = query_positions
    distance = offsets(query_positions, key_positions)  # i - j, (1, T, S)
    distance = np.maximum(distance, 0).astype(dtype)
    reach = np.maximum(from_start, threshold)  # max(m_len, i)
    reach = reach[..., None, :, None].astype(dtype)  # (1, T, 1)
    return log(c * distance + 1) / log(c * reach + 1)


class FireBias(Module):
    """f(fire_argument), f a small network with one output per head (Table 2.4; Li et al. 2024).

    hidden     width of the one hidden layer of f (ReLU)
    c          initial c of psi, learned; kept positive by a softplus
    threshold  m_len
    """

    def __init__(
        self,
        heads: int,
        rng: Random,
        hidden: int = 32,
        c: float = 0.1,
        threshold: int = 512,
        dtype: DType = np.float32,
    ) -> None:
        self.threshold = threshold
        self.c = Tensor(np.asarray(_inverse_softplus(c), dtype), requires_grad=True)
        self.hidden = Linear(1, hidden, rng, std=1.0, dtype=dtype)
        # Biases in (-1, 1), so that the kinks of the hidden units spread over the inputs [0, 1]:
        # with biases of zero f would be a straight line there.
        kinks = 2 * rng.uniform(hidden, np.dtype(dtype)) - 1
        self.hidden.bias.assign_(kinks.astype(dtype))
        self.out = Linear(hidden, heads, rng, std=hidden**-0.5, dtype=dtype)

    def __call__(
        self,
        query_positions: np.ndarray,
        key_positions: np.ndarray,
        from_start: np.ndarray | None = None,
    ) -> Tensor:
        """The bias of each score: positions (T,), (S,) -> (H, T, S).

        from_start  (T,) or (B, T), the distance of queries from the beginning of their own text,
                    where padding or other texts come before it; the query positions if None. (B, T)
                    gives (B, H, T, S)
        """
        c = softplus(self.c)
        z = fire_argument(
            query_positions, key_positions, c, self.threshold, self.c.dtype, from_start
        )
        z = z[..., 0, :, :, None]  # (1, T, S) -> (T, S, 1)
        values = self.out(relu(self.hidden(z)))  # (T, S, 1) -> (T, S, F) -> (T, S, H)
        return _heads_first(values)  # (H, T, S)


# Constructed as POSITION_BIASES[name](heads, rng, dtype=...), with further settings by keyword.
POSITION_BIASES = {
    "offset": OffsetBias,
    "t5": T5Bias,
    "alibi": AlibiBias,
    "kerple_power": KerplePowerBias,
    "kerple_log": KerpleLogBias,
    "sandwich": SandwichBias,
    "fire": FireBias,
}
