"""Rotary positions: queries and keys are turned by an angle that grows with the position   (book
section 2.3.5).

Read next: rotary_forms.py.
"""

import numpy as np

from tinylm import backend


def rotary_frequencies(width, base=10000.0, like=None):
    """theta_i = base^(-2i/K): the radians that pair i turns per position   (book eqs. 2.92, 2.97)

    width    K, the head width; even
    like     array of the device to make them on; the CPU if None
    returns  (K/2,) float64, from 1 downwards
    """
    return base ** (-np.arange(0, width, 2, like=like) / width)


def turns(positions, frequencies, dtype=np.float32, magnitude=1.0):
    """Cosine and sine of position * frequency, times a magnitude   (book eqs. 2.95, 2.96)

    positions    (T,) or (B, T) numbers
    frequencies  (K/2,) radians per position
    returns      (cos, sin), each (T, K/2), or (B, 1, T, K/2) so that it broadcasts over heads
    """
    angles = positions[..., None] * backend.to_device(frequencies, backend.device_of(positions))
    if angles.ndim == 3:
        angles = angles[:, None]  # (B, T, K/2) -> (B, 1, T, K/2)
    return (magnitude * np.cos(angles)).astype(dtype), (magnitude * np.sin(angles)).astype(dtype)


def rotary_angles(positions, width, base=10000.0, dtype=np.float32):
    """Cosine and sine of position * base^(-2i/K), for pairs i = 0 .. K/2 - 1   (book section 2.3.5;
    Su et al. 2021)

    positions  (T,) or (B, T) integers
    width      K, the head width; even
    returns    (cos, sin), each (T, K/2), or (B, 1, T, K/2) so that it broadcasts over heads
    """
    return turns(positions, rotary_frequencies(width, base), dtype)
