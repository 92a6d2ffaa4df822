"""Rotary positions (RoPE): angles by which queries and keys are rotated   (book section 2.3.5).

The angle of a pair of channels grows with the position. Rotating a query by t theta and a key by
s theta leaves their inner product a function of (t - s) theta: absolute positions go in, relative
ones come out. autograd.rotary applies the rotation. Read next: rotary_forms.py.
"""

import numpy as np

from tinylm import backend
from tinylm.backend import DType


def rotary_frequencies(
    width: int, base: float = 10000.0, like: np.ndarray | None = None
) -> np.ndarray:
    """theta_i = base^(-2i/K): radians per position of pair i   (book eqs. 2.92, 2.97).

    width    K, the head width; even
    like     array of the device to make them on; the CPU if None
    returns  (K/2,) float64, from 1 downwards
    """
    twice_i = np.arange(0, width, 2, like=like)  # 0, 2, ..., K - 2
    return base ** (-twice_i / width)


def turns(
    positions: np.ndarray,
    frequencies: np.ndarray,
    dtype: DType = np.float32,
    magnitude: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of position * frequency, times a magnitude   (book eqs. 2.95, 2.96).

    positions    (T,) or (B, T) numbers
    frequencies  (K/2,) radians per position
    returns      (cos, sin), each (T, K/2), or (B, 1, T, K/2) so that it broadcasts over heads
    """
    frequencies = backend.to_device(frequencies, backend.device_of(positions))
    angles = positions[..., None] * frequencies  # (..., T, 1) (K/2,) -> (..., T, K/2)
    if angles.ndim == 3:
        angles = angles[:, None]  # (B, T, K/2) -> (B, 1, T, K/2)
    # In float64 up to here: at position 100,000 a float32 angle is off by up to 0.004.
    cos = magnitude * np.cos(angles)
    sin = magnitude * np.sin(angles)
    return cos.astype(dtype), sin.astype(dtype)


def rotary_angles(
    positions: np.ndarray, width: int, base: float = 10000.0, dtype: DType = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of position * base^(-2i/K) for pairs i = 0 .. K/2 - 1   (Su et al. 2021).

    positions  (T,) or (B, T) integers
    width      K, the head width; even
    returns    (cos, sin), each (T, K/2), or (B, 1, T, K/2) so that it broadcasts over heads
    """
    return turns(positions, rotary_frequencies(width, base), dtype)
