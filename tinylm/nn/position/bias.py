"""Biases of attention scores by position: T5, ALiBi, KERPLE, Sandwich, FIRE   (book section 2.3.5,
Table 2.4).

One signature: bias(query_positions (T,), key_positions (S,)) -> Tensor (1|H, T, S), which
attention(q, k, v, bias=...) adds to the scaled scores, as the papers and their code do. Positions
may be (B, T) and (B, S); then (B, 1|H, T, S). With a cache, the query positions start where the
cache ends. The book adds the bias before dividing by sqrt(K) (eqs. 2.76, 2.81, 2.83): see
inside_root. All are made of recorded operations: none has a backward of its own. Read next:
relative.py.
"""

import math

import numpy as np

from tinylm import backend
from tinylm.autograd import (
    Tensor,
    embedding,
    log,
    power,
    relu,
    sigmoid,
    softplus,
    transpose,
)
from tinylm.errors import ConfigError, DataError
from tinylm.nn.linear import INIT_STD, Linear, normal_parameter, undecayed
from tinylm.nn.module import Module
from tinylm.nn.position.t5_buckets import t5_bucket


def offsets(query_positions, key_positions):
    """i - j for every query i and key j, with an axis for heads   (book eq. 2.77)

    query_positions  (T,) or (B, T) integers;  key_positions  (S,) or (B, S)
    returns          (1, T, S), or (B, 1, T, S)
    """
    return query_positions[..., None, :, None] - key_positions[..., None, None, :]


def inside_root(bias, width):
    """bias / sqrt(K): the bias that stands beside q k^T under one root   (book eqs. 2.76, 2.81,
    2.83).

    T5 itself has no root at all (eq. 2.80): attention(..., bias=bias, scale=1.0).
    """
    return bias / math.sqrt(width)


def _heads_first(values):
    """(..., T, S, H) -> (..., H, T, S)"""
    return transpose(values, (*range(values.ndim - 3), -1, -3, -2))


def _inverse_softplus(y):
    return np.log(np.expm1(y))


class OffsetBias(Module):
    """u_{i-j}: one learned number per offset and head, the simplest design   (book section 2.3.5)

    max_offset     largest |i - j| it has a number for; it cannot be used beyond, and an offset that
                   training never met keeps its initial number
    bidirectional  offsets -max_offset .. max_offset; otherwise keys after the query share offset 0,
                   to be masked
    """

    def __init__(
        self, heads, rng, max_offset=512, bidirectional=False, std=INIT_STD, dtype=np.float32
    ):
        self.max_offset, self.lowest = max_offset, -max_offset if bidirectional else 0
        self.table = undecayed(
            normal_parameter((max_offset - self.lowest + 1, heads), rng, std, dtype)
        )

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (H, T, S). Raises DataError for an offset without a number; on a GPU it
        takes the last.
        """
        offset = offsets(query_positions, key_positions)
        if type(offset) is np.ndarray and offset.size:  # looking costs a GPU a wait
            far = np.max(np.abs(offset) if self.lowest else offset)
            if far > self.max_offset:
                raise DataError(
                    f"OffsetBias: offset {far} is beyond the largest, {self.max_offset}: shorten the "
                    "input, or use a bias that reaches further (T5Bias, AlibiBias)"
                )
        index = np.clip(offset, self.lowest, self.max_offset) - self.lowest
        return _heads_first(embedding(index[..., 0, :, :], self.table))  # (T, S, H) -> (H, T, S)


class T5Bias(Module):
    """u_{b(i-j)}: one learned number per bucket of offsets and head; one module serves all layers
    (book eq. 2.79)

    buckets, max_distance, bidirectional   as in t5_bucket
    """

    def __init__(
        self,
        heads,
        rng,
        buckets=32,
        max_distance=128,
        bidirectional=False,
        std=INIT_STD,
        dtype=np.float32,
    ):
        self.buckets, self.max_distance, self.bidirectional = buckets, max_distance, bidirectional
        self.table = undecayed(normal_parameter((buckets, heads), rng, std, dtype))

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (H, T, S)"""
        offset = offsets(query_positions, key_positions)[..., 0, :, :]  # (T, S)
        bucket = t5_bucket(offset, self.buckets, self.max_distance, self.bidirectional)
        return _heads_first(embedding(bucket, self.table))  # (T, S, H) -> (H, T, S)


def alibi_slopes(heads):
    """beta_k = 2^(-8k/H), k = 1 .. H   (book eq. 2.84; Press et al. 2022)

    For H that is no power of two: the slopes of the next smaller power P, then every other one of 2
    P.
    returns  (H,) float64
    """
    power_of_two = 2 ** int(math.log2(heads))
    slopes = 2.0 ** (-8 / power_of_two * np.arange(1, power_of_two + 1))
    if power_of_two == heads:
        return slopes
    return np.concatenate([slopes, alibi_slopes(2 * power_of_two)[0::2][: heads - power_of_two]])


class AlibiBias(Module):
    """-beta |i - j|, a slope per head, nothing learned, any length   (book eqs. 2.82, 2.83)

    slopes   (H,) instead of alibi_slopes(heads). The paper's slope is the book's divided by
             sqrt(K): see inside_root
    """

    def __init__(self, heads, rng=None, slopes=None, dtype=np.float32):
        self.slopes = alibi_slopes(heads) if slopes is None else np.asarray(slopes, np.float64)
        self.dtype = dtype

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (H, T, S)"""
        distance = np.abs(offsets(query_positions, key_positions))  # (1, T, S)
        slopes = backend.to_device(self.slopes[:, None, None], backend.device_of(distance))
        return Tensor((-slopes * distance).astype(self.dtype))


def phrase_distortion(spans):
    """-|start_i - end_{i-1} - 1|: the same penalty of distance, in phrase-based translation (Koehn
    2010)

    spans    list of (start, end) in the source, in the order they are translated
    returns  one number per phrase, 0 everywhere for a translation without reordering
    """
    ends = [-1] + [end for _, end in spans]
    return [-abs(start - end - 1) for (start, _), end in zip(spans, ends)]


def kerple_power(distance, beta1, beta2):
    """-beta1 n^beta2, beta1 > 0, 0 < beta2 <= 2   (book Table 2.4; Chi et al. 2022). A Tensor;
    ALiBi for beta2 = 1.
    """
    return -beta1 * power(distance, beta2)


def kerple_log(distance, beta1, beta2):
    """-beta1 log(1 + beta2 n), beta1, beta2 > 0   (book Table 2.4; Chi et al. 2022). A Tensor."""
    return -beta1 * log(1 + beta2 * distance)


class KerplePowerBias(Module):
    """kerple_power of |i - j| with learned beta1 = softplus(a), beta2 = 2 sigmoid(b) per head; it
    starts as ALiBi.
    """

    def __init__(self, heads, rng=None, dtype=np.float32):
        slopes = _inverse_softplus(alibi_slopes(heads))[:, None, None].astype(dtype)
        self.a = undecayed(Tensor(slopes, requires_grad=True))
        self.b = undecayed(
            Tensor(np.zeros((heads, 1, 1), dtype), requires_grad=True)
        )  # 2 sigmoid(0) = 1

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (H, T, S)"""
        distance = np.abs(offsets(query_positions, key_positions)).astype(self.a.dtype)
        return kerple_power(distance, softplus(self.a), 2 * sigmoid(self.b))


class KerpleLogBias(Module):
    """kerple_log of |i - j|; learned beta1 = softplus(a), beta2 = softplus(b) per head start in (0,
    2) and (0, 1).
    """

    def __init__(self, heads, rng, dtype=np.float32):
        start = [
            (0.01 + 0.99 * rng.uniform((heads, 1, 1), np.dtype(dtype))) * top for top in (2, 1)
        ]
        self.a, self.b = (
            undecayed(Tensor(_inverse_softplus(x).astype(dtype), requires_grad=True)) for x in start
        )

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (H, T, S)"""
        distance = np.abs(offsets(query_positions, key_positions)).astype(self.a.dtype)
        return kerple_log(distance, softplus(self.a), softplus(self.b))


def sandwich(distance, width):
    """sum_{k=1}^{w/2} cos(n / 10000^(2k/w))   (book Table 2.4; Chi et al. 2023)

    distance  array of n;  width  w, even, the book's d-bar: a number to be chosen, not the model's width
    returns   float64 array: the inner product of two sinusoidal embeddings of these frequencies;
              w/2 for n = 0
    """
    steps = np.arange(2, width + 1, 2, like=distance)  # 2k
    return np.sum(np.cos(distance[..., None] / 10000.0 ** (steps / width)), axis=-1)


class SandwichBias(Module):
    """sandwich(i - j, width), the same for all heads, nothing learned."""

    def __init__(self, heads=1, rng=None, width=128, dtype=np.float32):
        if width % 2:
            raise ConfigError(
                f"SandwichBias: width {width} counts sines and cosines, so it must be even"
            )
        self.width, self.dtype = width, dtype

    def __call__(self, query_positions, key_positions):
        """(T,), (S,) -> (1, T, S)"""
        return Tensor(
            sandwich(offsets(query_positions, key_positions), self.width).astype(self.dtype)
        )


def fire_argument(query_positions, key_positions, c, threshold, dtype=np.float64, from_start=None):
    """psi(i - j) / psi(max(m_len, i)), psi(x) = log(c x + 1)   (book Table 2.4; Li et al. 2024)

    c          > 0, number or Tensor;  threshold  m_len
    returns    Tensor (1, T, S) in [0, 1] for any length. Keys after the query count as at distance
               0, to be masked. `from_start`, as in FireBias, stands for i in the second psi. Up to
               i = m_len it depends on i - j alone; beyond, positions are measured against the whole
               past
    """
    distance = np.maximum(offsets(query_positions, key_positions), 0).astype(dtype)
    start = query_positions if from_start is None else from_start
    reach = np.maximum(start, threshold)[..., None, :, None].astype(dtype)  # (1, T, 1)
    return log(c * distance + 1) / log(c * reach + 1)


class FireBias(Module):
    """f(fire_argument), f a small network with one output per head   (book Table 2.4; Li et al.
    2024)

    hidden     width of f's one hidden layer (ReLU)
    c          initial c of psi, learned; kept positive by a softplus
    threshold  m_len
    """

    def __init__(self, heads, rng, hidden=32, c=0.1, threshold=512, dtype=np.float32):
        self.threshold = threshold
        self.c = Tensor(np.asarray(_inverse_softplus(c), dtype), requires_grad=True)
        self.hidden = Linear(1, hidden, rng, std=1.0, dtype=dtype)
        # Kinks of the hidden units spread over [0, 1]: with biases of zero f would be a straight
        # line there.
        self.hidden.bias.assign_((2 * rng.uniform(hidden, np.dtype(dtype)) - 1).astype(dtype))
        self.out = Linear(hidden, heads, rng, std=hidden**-0.5, dtype=dtype)

    def __call__(self, query_positions, key_positions, from_start=None):
        """(T,), (S,) -> (H, T, S)

        from_start  (T,) or (B, T), how far queries stand from the beginning of their own text,
                    where padding or other texts come before it; the query positions if None. (B, T)
                    gives (B, H, T, S)
        """
        z = fire_argument(
            query_positions,
            key_positions,
            softplus(self.c),
            self.threshold,
            self.c.dtype,
            from_start,
        )
        z = z[..., 0, :, :, None]  # (1, T, S) -> (T, S, 1)
        return _heads_first(self.out(relu(self.hidden(z))))  # (T, S, H) -> (H, T, S)


# Each is made as POSITION_BIASES[name](heads, rng, dtype=...), with further settings by name.
POSITION_BIASES = {
    "offset": OffsetBias,
    "t5": T5Bias,
    "alibi": AlibiBias,
    "kerple_power": KerplePowerBias,
    "kerple_log": KerpleLogBias,
    "sandwich": SandwichBias,
    "fire": FireBias,
}
