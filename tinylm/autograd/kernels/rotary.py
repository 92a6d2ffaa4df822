"""Fused rotary position embedding: queries and keys turned by angles that grow with the position.

A score then depends on the distance of the two positions alone, because rotations compose:
(R_t q) . (R_s k) = q . (R_{s-t} k). Read next: attention.py, which rotates packed projections.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed


def rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """The array x (..., T, K) with each pair (x_i, x_{i+K/2}) turned by its angle."""
    # [a']   [cos  -sin] [a]
    # [b'] = [sin   cos] [b]
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]  # (..., T, K/2) each
    y = np.empty_like(x, order="C")
    y[..., :half] = first * cos - second * sin
    y[..., half:] = first * sin + second * cos
    return y


@fused(composed.rotary)
def rotary(
    x: np.ndarray, *, cos: np.ndarray, sin: np.ndarray, keep: bool
) -> tuple[np.ndarray, Callable]:
    """Turn the pair (x_i, x_{i+K/2}) by its angle   (book section 2.3.5; Su et al. 2021)

    x         (..., T, K)    queries or keys of a head
    cos, sin  (T, K/2), or anything that broadcasts against half of x: cosine and sine of
              position * frequency
    returns   x's shape. This is the rotate-half pairing of LLaMA; its inverse is the same call with
              -sin.

    Plain twin: composed.rotary. Check: tinylm gradcheck rotary
    """
    # y = R x with R a rotation, so dL/dx = R^T g, and R^T is the rotation by -angle.
    return rotate(x, cos, sin), lambda g: (rotate(g, cos, -sin),)
