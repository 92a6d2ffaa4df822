"""RoPE in five equal forms, and the two ways to choose its pairs   (book eqs. 2.85-2.98).

The book pairs neighbors (x_1, x_2), (x_3, x_4), ... as GPT-J does; LLaMA in Hugging Face's layout
pairs x_i with x_{i + K/2}, which autograd.rotary computes. The two differ by the order of the
channels, so reordering the columns of the query and key projections turns one into the other. The
forms on plain arrays are for reading and for tests; models call autograd.rotary or rotary_adjacent.
Book section 2.3.5; Su et al. 2021. Read next: rotary_scaling.py, sinusoidal.py.
"""

import math

import numpy as np

from tinylm.autograd import Tensor, reshape, rotary, swapaxes
from tinylm.errors import ShapeError


def rotary_periods(frequencies: np.ndarray) -> np.ndarray:
    """T_k = 2 pi / theta_k: how many positions one full turn of a pair takes (book eq. 2.98)."""
    return 2 * math.pi / frequencies


def rotate2d(x: np.ndarray, angle: float) -> np.ndarray:
    """x R_angle for row vectors in the plane, counter-clockwise   (book eqs. 2.86, 2.87).

    x        (..., 2)
    angle    radians
    returns  (..., 2), of the same length
    """
    cos, sin = np.cos(angle), np.sin(angle)
    x1, x2 = x[..., 0], x[..., 1]
    return np.stack([cos * x1 - sin * x2, sin * x1 + cos * x2], axis=-1)


def rotation_matrix(position: int, frequencies: np.ndarray) -> np.ndarray:
    """blockdiag(R_{t theta_1}, ..., R_{t theta_{K/2}}), for row vectors: x R   (book eq. 2.92).

    position     t, a number
    frequencies  (K/2,) NumPy array
    returns      (K, K) orthogonal
    """
    K = 2 * len(frequencies)
    R = np.zeros((K, K))
    for k, angle in enumerate(position * frequencies):
        cos, sin = np.cos(angle), np.sin(angle)
        pair = slice(2 * k, 2 * k + 2)
        R[pair, pair] = [[cos, sin], [-sin, cos]]
    return R


def rotary_complex(x: np.ndarray, positions: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """(x_{2k-1} + i x_{2k}) e^{i t theta_k} for every pair k   (book eqs. 2.88, 2.91).

    x            (..., T, K) array
    positions    (T,)
    frequencies  (K/2,) on x's device
    returns      (..., T, K/2) complex; <a, b> = a conj(b) then depends on the distance alone
                 (book eq. 2.89)
    """
    numbers = x[..., 0::2] + 1j * x[..., 1::2]  # (..., T, K/2): a pair as one complex number
    angles = positions[:, None] * frequencies  # (T, K/2): t theta_k
    return numbers * np.exp(1j * angles)


def rotary_elementwise(x: np.ndarray, positions: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """x * [cos, cos, ...] + [-x_2, x_1, -x_4, x_3, ...] * [sin, sin, ...]  (book eqs. 2.93, 2.94).

    x            (..., T, K) array
    positions    (T,)
    frequencies  (K/2,)
    returns      (..., T, K)
    """
    angles = positions[:, None] * frequencies  # (T, K/2): t theta_1, t theta_2, ...
    angles = np.repeat(angles, 2, axis=-1)  # (T, K): t theta_1, t theta_1, t theta_2, ...
    first, second = x[..., 0::2], x[..., 1::2]  # (..., T, K/2) each
    crossed = np.stack([-second, first], axis=-1).reshape(x.shape)  # -x_2, x_1, -x_4, x_3, ...
    return x * np.cos(angles) + crossed * np.sin(angles)


def rotary_adjacent(x: Tensor, cos: np.ndarray, sin: np.ndarray) -> Tensor:
    """Rotary positions of neighboring pairs (x_{2k-1}, x_{2k}), as in the book and GPT-J.

    x         (..., T, K) Tensor: queries or keys of a head
    cos, sin  (T, K/2), or what broadcasts against half of x: as rotary_angles returns them
    returns   (..., T, K)

    Check: tinylm gradcheck nn.rotary_adjacent
    """
    shape, half = x.shape, x.shape[-1] // 2
    # Channels 0, 2, 4, ..., 1, 3, 5, ...: the order in which rotary() pairs x_i with x_{i + K/2}.
    pairs = reshape(x, (*shape[:-1], half, 2))
    halves = reshape(swapaxes(pairs, -1, -2), shape)  # (..., K/2, 2) -> (..., 2, K/2) -> (..., K)
    rotated = rotary(halves, cos=cos, sin=sin)
    # And back.
    halves = reshape(rotated, (*shape[:-1], 2, half))
    return reshape(swapaxes(halves, -1, -2), shape)


def adjacent_to_halves(array: np.ndarray, heads: int = 1) -> np.ndarray:
    """Reorder channels from neighboring pairs to halves: 0, 2, 4, ..., 1, 3, 5, ... in every head.

    array    (..., heads * K): a query or key projection (D, heads * K), its bias, or the vectors
             themselves
    returns  the same shape. With both projections reordered, all scores q k^T are the same as
             before, and autograd.rotary computes what rotary_adjacent did.
    raises   ShapeError if the last axis is not `heads` times an even width
    """
    pairs = _by_head(array, heads).reshape(*array.shape[:-1], heads, -1, 2)
    return pairs.swapaxes(-1, -2).reshape(array.shape)  # (..., K/2, 2) -> (..., 2, K/2)


def halves_to_adjacent(array: np.ndarray, heads: int = 1) -> np.ndarray:
    """The inverse of adjacent_to_halves: 0, K/2, 1, K/2 + 1, ... in every head."""
    pairs = _by_head(array, heads).reshape(*array.shape[:-1], heads, 2, -1)
    return pairs.swapaxes(-1, -2).reshape(array.shape)  # (..., 2, K/2) -> (..., K/2, 2)


def _by_head(array, heads):
    """The array, after checking that its channels are `heads` times an even width."""
    if array.shape[-1] % (2 * heads):
        raise ShapeError(
            f"rotary: {array.shape[-1]} channels do not divide into {heads} heads of an even width"
        )
    return array
