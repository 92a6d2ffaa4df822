"""Gradient-check cases of supervised alignment."""

import numpy as np

from tinylm.align.supervised.sft import sft_loss
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import device_of, to_device

# Unequal lengths, and a row of which nothing counts: means over tokens and over rows differ.
COUNTED = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], bool)


def _loss(logp, *arguments, **options):
    return sft_loss(logp, to_device(COUNTED, device_of(logp.data)), *arguments, **options)


def _draws(rng):
    logp = [normal(rng, 3, 4) for _ in range(3)]
    return [call(logp[0]), call(logp[1], "sequence", total=7), call(logp[2], "fixed", total=5.0)]


register("align.sft_loss", _loss, _draws, covers=(), source="book eqs. 4.1 to 4.4")
