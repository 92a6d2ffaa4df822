"""Positions: a learned vector added to each embedding, or a rotation of queries and keys.

Read next: attention.py.
"""
import numpy as np

from tinylm.nn.linear import INIT_STD, Embedding
from tinylm.nn.module import Module


class LearnedPositions(Module):
    """x_t + P[t]: one learned vector per position up to the context length   (book section 2.1.1)."""

    def __init__(self, context, d_model, rng, std=INIT_STD, dtype=np.float32):
        self.table = Embedding(context, d_model, rng, std, dtype)

    def __call__(self, x, positions):
        """x (B, T, D), positions (T,) or (B, T) integers below the context -> (B, T, D)."""
        return x + self.table(positions)


def rotary_angles(positions, width, base=10000.0, dtype=np.float32):
    """Cosine and sine of position * base^(-2i/K), for pairs i = 0 .. K/2 - 1   (book section 2.3.5; Su et al. 2021)

    positions  (T,) or (B, T) integers
    width      K, the head width; even
    returns    (cos, sin), each (T, K/2), or (B, 1, T, K/2) so that it broadcasts over heads
    """
    frequencies = base ** (-np.arange(0, width, 2, like=positions) / width)             # (K/2,)
    angles = positions[..., None] * frequencies
    if angles.ndim == 3:
        angles = angles[:, None]                                                        # (B, T, K/2) -> (B, 1, T, K/2)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
