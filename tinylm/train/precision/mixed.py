"""Mixed-precision training: passes in float16, updates of float32 master weights   (book section
2.2.3; Micikevicius et al. 2018).

    low := float16(master)                    a copy for the passes, half of the memory
    g   := d(scale x loss) / d low            in float16
    master -= update(float32(g) / scale)      an update of 1e-4 of a weight would be lost in float16

A gradient below 6e-8 is 0 in float16. The loss is multiplied by a power of two, which moves the
gradients up without changing their digits: a step whose gradients are not finite is left out and
halves the scale, `patience` good steps in a row double it. The scale itself is the first cotangent,
in float16 too, so it stays at 2^15 or below.
Operations on float16 arrays compute in float32 and round what they return, as tensor cores do with
their sums. Read first: ../trainer.py, formats.py.
"""

import contextlib
import copy
import math

import numpy as np

from tinylm.autograd import Tensor, first_order_only
from tinylm.errors import ConfigError, TrainingError
from tinylm.optim.flat import FlatParameters, clip_factor, sum_of_squares
from tinylm.train.trainer import Step, passes, random_streams, rewind

LARGEST = 2.0**15  # the next power of two is infinite in float16
LEAST = 2.0**-14  # a scale below which no float16 gradient of a sane loss overflows


class LossScale:
    """A scale of the loss that follows what its gradients can bear.

    value     the scale, a power of two;  patience  good steps until it is doubled
    raises    ConfigError for a scale that is no power of two, or patience below 1
    """

    def __init__(self, value=2.0**15, patience=2000):
        if not value > 0 or math.frexp(value)[0] != 0.5 or patience < 1:
            raise ConfigError(
                f"LossScale: {value} must be a power of two, and patience {patience} at least 1"
            )
        self.value, self.patience, self.good = float(value), patience, 0

    def update(self, finite):
        """After a step: whether all its gradients were finite."""
        if not finite:
            self.value, self.good = self.value / 2, 0
            return
        self.good += 1
        if self.good >= self.patience and self.value < LARGEST:
            self.value, self.good = self.value * 2, 0


class MixedPrecision:
    """Steps of training in which a float16 copy of the model does the passes.

    model      Module in float32: the master weights, which every step updates
    objective  as of Trainer
    make_optimizer  FlatParameters of the master weights -> optimizer of optim/
    scale      LossScale; None: 1, which only overflow changes

    skipped    steps left out because a gradient was not finite
    """

    def __init__(self, model, objective, make_optimizer, scale=None):
        self.model, self.objective = model, objective
        self.flat = FlatParameters(model.named_parameters())
        self.optimizer = make_optimizer(self.flat)
        self.low = copy.deepcopy(model)
        with np.errstate(over="ignore"):
            for parameter in self.low.parameters():
                parameter.data = parameter.data.astype(np.float16)
                parameter.slot = None
        self._low_flat = FlatParameters(self.low.named_parameters())
        self.streams = random_streams(self.low)
        self.scale = scale or LossScale(1.0, patience=2**62)
        self.skipped = 0

    def step(self, batch, lr, clip=0.0, micro_batch=0):
        """One step on a batch; returns Step, whose `updated` is False for one that was left out.

        raises  TrainingError where the loss itself is not finite, or the scale has become so small
                that it cannot be at fault
        """
        self.low.train()
        # The only place where weights lose digits: values beyond 65504 would be infinite.
        with np.errstate(over="ignore"):
            self._low_flat.data[...] = self.flat.data
        self._low_flat.version[0] += 1
        counters = [rng.counter for rng in self.streams]
        loss, tokens = self._gradients(batch, micro_batch)
        gradient = self._low_flat.collect().astype(np.float32) / np.float32(self.scale.value)
        square = sum_of_squares(gradient)
        norm = math.sqrt(square) if square >= 0 else math.nan
        finite = math.isfinite(norm)
        self.scale.update(finite)
        if not finite:
            self.skipped += 1
            rewind(self.streams, counters)
            if not math.isfinite(loss) or self.scale.value < LEAST:
                raise TrainingError(
                    f"mixed precision: loss {loss}, scale {self.scale.value:g}: not finite at any "
                    "scale; train in float32, or with a lower learning rate"
                )
            return Step(loss, norm, tokens, None, False)
        for parameter, part in zip(self.flat.tensors, self.flat.named(gradient).values()):
            parameter.grad = Tensor(part)
        self.flat.collect()
        self.optimizer.step(lr, scale=clip_factor(norm, clip or math.inf))
        return Step(loss, norm, tokens, None, True)

    def _gradients(self, batch, micro_batch):
        """Leave the scaled gradient of the mean loss in the copy's buffer: (loss, targets)."""
        flat, loss, rows = self._low_flat, 0.0, len(batch)
        flat.zero_grad()
        tokens = max(batch.tokens, 1)
        parts = passes(self.streams, batch, 0, rows, micro_batch)
        with contextlib.closing(parts), np.errstate(all="ignore"):
            for part in parts:
                with first_order_only():
                    found, metrics = self.objective.loss(self.low, part)
                share = metrics["tokens"] / tokens
                found.backward(np.float32(share * self.scale.value))
                loss += share * metrics["loss"]
        return loss, batch.tokens
