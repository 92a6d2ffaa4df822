"""Gradient checks of layer-wise pretraining: both errors, and autoencoders, tied and untied."""

import numpy as np

from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.pretrain.early import layerwise

register(
    "bit_cross_entropy",
    layerwise.bit_cross_entropy,
    lambda rng: [
        call(normal(rng, 2, 3), uniform(rng, 0, 1, 2, 3)),
        call(uniform(rng, -3, 3, 2, 2), bits=np.ones((2, 2))),
    ],
    covers=(),
    source="book section 1.1.1",
)
register(
    "squared_error",
    layerwise.squared_error,
    lambda rng: [call(normal(rng, 2, 3), normal(rng, 2, 3))],
    covers=(),
)
register(
    "pretrain.Autoencoder",
    lambda layer, u: layer.loss(u),
    lambda rng: [
        call(
            layerwise.Autoencoder(3, 2, Random(int(rng.integers(99))), tied=tied, dtype=np.float64),
            u=rng.random((4, 3)),
        )
        for tied in (True, False)
    ],
    covers=(),
    source="Bengio et al. 2006",
)
register(
    "pretrain.StackedAutoencoder",
    lambda stack, x: stack(x),
    lambda rng: [
        call(
            layerwise.StackedAutoencoder((3, 2, 2), 2, int(rng.integers(99)), np.float64),
            rng.random((2, 3)),
        )
    ],
    covers=(),
)
