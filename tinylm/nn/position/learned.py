"""A learned vector added to each embedding, one per position   (book section 2.1.1). Read next: sinusoidal.py."""
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
