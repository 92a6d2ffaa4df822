"""RoPE written five ways, and the two ways to choose its pairs   (book section 2.3.5, eqs.
2.85-2.98; Su et al. 2021).

The book pairs neighbors (x_1, x_2), (x_3, x_4), ... as GPT-J does; LLaMA in Hugging Face's layout
pairs x_i with x_{i + K/2}, which autograd.rotary computes. They differ by the order of the
channels, so one is the other after the columns of the query and key projections have changed
places. The plain-array forms here are to be read and to be tested against; models call
autograd.rotary or rotary_adjacent. Read next: rotary_scaling.py, sinusoidal.py.
"""

import math

import numpy as np

from tinylm.autograd import reshape, rotary, swapaxes
from tinylm.errors import ShapeError


def rotary_periods(frequencies):
    """T_k = 2 pi / theta_k: how many positions a pair takes for one turn   (book eq. 2.98)."""
    return 2 * math.pi / frequencies


def rotate2d(x, angle):
    """x R_angle for row vectors in the plane, counter-clockwise   (book eqs. 2.86, 2.87)

    x (..., 2), angle in radians -> (..., 2); its length stays
    """
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1)


def rotation_matrix(position, frequencies):
    """blockdiag(R_{t theta_1}, ..., R_{t theta_{K/2}}), to be multiplied from the right   (book eq.
    2.92)

    position     t, a number
    frequencies  (K/2,) NumPy array
    returns      (K, K) orthogonal
    """
    R = np.zeros((2 * len(frequencies),) * 2)
    for k, angle in enumerate(position * frequencies):
        R[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [
            [np.cos(angle), np.sin(angle)],
            [-np.sin(angle), np.cos(angle)],
        ]
    return R


def rotary_complex(x, positions, frequencies):
    """(x_{2k-1} + i x_{2k}) e^{i t theta_k} for every pair k   (book eqs. 2.88, 2.91)

    x            (..., T, K) array
    positions    (T,)
    frequencies  (K/2,) on x's device
    returns      (..., T, K/2) complex; <a, b> = a conj(b) then depends on the distance alone   (book eq. 2.89)
    """
    return (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * (positions[:, None] * frequencies))


def rotary_elementwise(x, positions, frequencies):
    """x * [cos, cos, ...] + [-x_2, x_1, -x_4, x_3, ...] * [sin, sin, ...]   (book eqs. 2.93, 2.94)

    x (..., T, K) array, positions (T,), frequencies (K/2,) -> (..., T, K)
    """
    angles = np.repeat(
        positions[:, None] * frequencies, 2, axis=-1
    )  # (T, K): t th_1, t th_1, t th_2
    crossed = np.stack([-x[..., 1::2], x[..., 0::2]], axis=-1).reshape(x.shape)
    return x * np.cos(angles) + crossed * np.sin(angles)


def rotary_adjacent(x, cos, sin):
    """Rotary positions of neighboring pairs (x_{2k-1}, x_{2k}): the book's convention, and GPT-J's

    x         (..., T, K) Tensor: queries or keys of a head
    cos, sin  (T, K/2), or what broadcasts against half of x: as rotary_angles gives them
    returns   x's shape
    """
    shape, half = x.shape, x.shape[-1] // 2
    split = reshape(
        swapaxes(reshape(x, (*shape[:-1], half, 2)), -1, -2), shape
    )  # 0, 2, 4, ..., 1, 3, 5, ...
    turned = rotary(split, cos=cos, sin=sin)
    return reshape(swapaxes(reshape(turned, (*shape[:-1], 2, half)), -1, -2), shape)


def adjacent_to_halves(array, heads=1):
    """Reorder channels from neighboring pairs to the rotate-half order: 0, 2, 4, ..., 1, 3, 5, ...
    in every head

    array    (..., heads * K): a query or key projection (D, heads * K), its bias, or the vectors
             themselves
    returns  the same shape. With both projections reordered, all scores q k^T stay what they were,
             and autograd.rotary does what rotary_adjacent did before.
    raises   ShapeError if the last axis is not `heads` times an even width
    """
    pairs = _by_head(array, heads).reshape(*array.shape[:-1], heads, -1, 2)
    return pairs.swapaxes(-1, -2).reshape(array.shape)  # (..., K/2, 2) -> (..., 2, K/2)


def halves_to_adjacent(array, heads=1):
    """The inverse of adjacent_to_halves: 0, K/2, 1, K/2 + 1, ... in every head."""
    pairs = _by_head(array, heads).reshape(*array.shape[:-1], heads, 2, -1)
    return pairs.swapaxes(-1, -2).reshape(array.shape)  # (..., 2, K/2) -> (..., K/2, 2)


def _by_head(array, heads):
    if array.shape[-1] % (2 * heads):
        raise ShapeError(
            f"rotary: {array.shape[-1]} channels do not divide into {heads} heads of an even width"
        )
    return array
