"""Sinusoidal positions: waves of growing length, added to the embeddings   (book section 2.3.5;
Vaswani et al. 2017).

Nothing is learned, so every position has a vector; moving by s positions is the same rotation
everywhere, which is where RoPE takes up the thread (rotary_forms.py). Read next: bias.py.
"""

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.nn.position.rotary import rotary_frequencies, turns


def sinusoidal(positions, d_model, base=10000.0, dtype=np.float32):
    """PE(i, 2k) = sin(i / base^(2k/D)), PE(i, 2k+1) = cos of the same

    positions  (...) numbers; they need not be whole
    d_model    D, even
    returns    (..., D); the squared length of each is D/2
    raises     ConfigError if D is odd
    """
    if d_model % 2:
        raise ConfigError(
            f"sinusoidal: sines and cosines come in pairs, so d_model = {d_model} must be even"
        )
    frequencies = rotary_frequencies(d_model, base, like=positions)
    cos, sin = turns(positions.reshape(-1), frequencies, dtype)  # (n, D/2)
    return np.stack([sin, cos], axis=-1).reshape(*positions.shape, d_model)


def shift_matrix(shift, d_model, base=10000.0):
    """The (D, D) matrix R with PE(i + shift) = PE(i) R for every i: one rotation per wave, none
    depends on i.
    """
    # sin(a + b) = sin a cos b + cos a sin b,   cos(a + b) = cos a cos b - sin a sin b,  with b = shift * frequency
    R = np.zeros((d_model, d_model))
    for k, b in enumerate(shift * rotary_frequencies(d_model, base)):
        R[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]]
    return R


class SinusoidalPositions(Module):
    """x_t + PE(t), for any t; called as LearnedPositions is, and has no parameters."""

    def __init__(self, d_model, base=10000.0):
        self.d_model, self.base = d_model, base

    def __call__(self, x, positions):
        """x (B, T, D), positions (T,) or (B, T) -> (B, T, D)."""
        positions = backend.to_device(positions, x.device)
        return x + Tensor(sinusoidal(positions, self.d_model, self.base, x.dtype))
