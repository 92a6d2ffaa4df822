"""Stacked attention makes all tokens alike; adding its input back keeps them apart   (Dong et al.
2021).
"""

import numpy as np

from tinylm import Tensor
from tinylm.backend import Random
from tinylm.nn import SelfAttention


def unlikeness(skip, seed):
    """||X - mean row|| / ||X|| after 8 layers of unit-size weights, all tokens visible."""
    x = Tensor(np.random.default_rng(seed).normal(size=(1, 16, 32)))
    for layer in range(8):
        attention = SelfAttention(
            32, 1, Random(seed, layer), causal=False, bias=False, dtype=np.float64
        )
        for p in attention.parameters():
            p.data *= 32**-0.5 / p.data.std()
        x = x + attention(x) if skip else attention(x)
    x = x.numpy()[0]
    return np.linalg.norm(x - x.mean(0)) / np.linalg.norm(x)


def test_attention_alone_ends_with_equal_rows_and_a_skip_keeps_them_apart():
    for seed in range(5):
        assert (
            unlikeness(skip=False, seed=seed) < 1e-12
        )  # it falls doubly exponentially, down to rounding
        assert unlikeness(skip=True, seed=seed) > 0.1
