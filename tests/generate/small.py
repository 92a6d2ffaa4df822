"""Small models for the tests of generation, and the chi-square bound they share."""

import numpy as np

from tinylm.models import GPT, GPTConfig


def make_gpt(vocab_size=5, context=8, dtype=np.float64, seed=0, spread=0.3, **changes):
    """A GPT of two layers with parameters spread far enough from their start that its distributions
    are not flat.
    """
    settings = {"n_layer": 2, "n_head": 2, "d_model": 8, **changes}
    model = GPT(GPTConfig(vocab_size, context=context, **settings), seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data[...] += spread * rng.normal(size=parameter.shape)
    return model


def chi_square_bound(cells, z=4.75):
    """What a chi-square statistic of `cells` cells exceeds by chance once in a million runs (z =
    4.75 of the normal).

    Wilson and Hilferty's approximation (1931); this far out it lies a little above the true bound.
    """
    k = cells - 1
    return k * (1 - 2 / (9 * k) + z * (2 / (9 * k)) ** 0.5) ** 3
