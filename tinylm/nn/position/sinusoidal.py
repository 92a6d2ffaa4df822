"""Sinusoidal positions: waves of growing length, added to the embeddings   (book section 2.3.5).

Vaswani et al. 2017. Nothing is learned, so every position has a vector, beyond the training length
too. Moving by s positions is the same rotation everywhere; RoPE builds on that (rotary_forms.py).
Read next: bias.py.
"""

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor
from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.nn.position.rotary import rotary_frequencies, turns


def sinusoidal(
    positions: np.ndarray, d_model: int, base: float = 10000.0, dtype: DType = np.float32
) -> np.ndarray:
    """PE(i, 2k) = sin(i / base^(2k/D)), PE(i, 2k+1) = cos(i / base^(2k/D)).

    positions  (...) numbers; they need not be whole
    d_model    D, even
    returns    (..., D); the squared length of each vector is D/2, as sin^2 + cos^2 = 1
    raises     ConfigError if D is odd
    """
    if d_model % 2:
        raise ConfigError(
            f"sinusoidal: sines and cosines come in pairs, so d_model = {d_model} must be even"
        )
    frequencies = rotary_frequencies(d_model, base, like=positions)
    cos, sin = turns(positions.ravel(), frequencies, dtype)  # (n, D/2) each
    pairs = np.stack([sin, cos], axis=-1)  # (n, D/2, 2): sin_0, cos_0, sin_1, cos_1, ...
    return pairs.reshape(*positions.shape, d_model)


def shift_matrix(shift: int, d_model: int, base: float = 10000.0) -> np.ndarray:
    """The (D, D) matrix R with PE(i + shift) = PE(i) R for every i: one rotation per wave."""
    # With a = i * frequency and b = shift * frequency:
    #   sin(a + b) = sin a cos b + cos a sin b,   cos(a + b) = cos a cos b - sin a sin b.
    # Row vectors (sin a, cos a) are multiplied from the right; R does not depend on i.
    R = np.zeros((d_model, d_model))
    for k, b in enumerate(shift * rotary_frequencies(d_model, base)):
        pair = slice(2 * k, 2 * k + 2)
        R[pair, pair] = [[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]]
    return R


class SinusoidalPositions(Module):
    """x_t + PE(t) for any t. It has the signature of LearnedPositions, and no parameters."""

    def __init__(self, d_model: int, base: float = 10000.0) -> None:
        self.d_model, self.base = d_model, base

    def __call__(self, x: Tensor, positions: np.ndarray) -> Tensor:
        """x (B, T, D), positions (T,) or (B, T) -> (B, T, D)."""
        positions = backend.to_device(positions, x.device)
        waves = sinusoidal(positions, self.d_model, self.base, x.dtype)  # (T, D) or (B, T, D)
        return x + Tensor(waves)
