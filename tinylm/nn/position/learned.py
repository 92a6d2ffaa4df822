"""A learned vector added to each embedding, one per position   (book section 2.1.1). Read next:
sinusoidal.py.
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


def columns_of_tokens(ids, mask=None):
    """Positions counted in columns, from each row's first token: padding in front moves none of
    them.

    ids (B, T) or (T,);  mask (B, T) bool, True for tokens; anything else: no row begins with
                         padding
    returns  (T,) integers, or (B, T) where a row begins with padding, which gets position 0
    """
    columns = np.arange(ids.shape[-1], like=ids)
    if mask is None or mask.ndim != 2 or 0 in mask.shape:
        return columns
    first = np.argmax(mask, axis=1)[:, None]  # (B, 1)
    if bool((first > 0).any()):
        return np.maximum(columns - first, 0)
    return columns
