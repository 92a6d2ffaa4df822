"""Gradient-check cases of distillation from a weak model, and of the confidence loss."""

import numpy as np

from tinylm.align.weak_to_strong.confidence import confidence_loss
from tinylm.align.weak_to_strong.distillation import combined_loss, kd_loss
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import device_of, to_device
from tinylm.pretrain.batch import IGNORE

COUNTED = np.array([[False, True, True], [False, False, True]])
TARGETS = np.array([[IGNORE, 3, 0], [IGNORE, IGNORE, 2]])
WEAK = np.random.default_rng(0).normal(size=(2, 3, 4))


def _there(array, like):
    """A constant on the device of a Tensor, in its precision."""
    if array.dtype.kind == "f":
        array = array.astype(like.dtype)
    return to_device(array, device_of(like.data))


def _kd(strong, **options):
    return kd_loss(strong, _there(WEAK, strong), _there(COUNTED, strong), **options)


def _combined(strong, weight):
    fixed = [_there(array, strong) for array in (WEAK, TARGETS, COUNTED)]
    return combined_loss(strong, *fixed, weight)


register(
    "align.kd_loss",
    _kd,
    lambda rng: [
        call(normal(rng, 2, 3, 4)),
        call(normal(rng, 2, 3, 4), temperature=2.0, how="sequence", total=5),
    ],
    covers=(),
    source="book eq. 4.12",
)
register(
    "align.combined_loss",
    _combined,
    lambda rng: [call(normal(rng, 2, 3, 4), 0.0), call(normal(rng, 2, 3, 4), 0.7)],
    covers=(),
    source="book eq. 4.13",
)
# The strong model's own answers are a step function of its logits, flat almost everywhere.
LABELS = np.array([[0.2, 0.8], [1.0, 0.0], [0.6, 0.4], [0.0, 1.0]])
register(
    "align.confidence_loss",
    lambda strong, weight: confidence_loss(strong, LABELS, weight),
    lambda rng: [call(normal(rng, 4, 2), 0.0), call(normal(rng, 4, 2), 0.75)],
    covers=(),
    source="Burns et al. 2023, appendix A.4",
)
