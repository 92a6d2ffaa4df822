"""Mixed-precision training: passes in few bits, updates of float32 master weights   (book section
2.2.3; Micikevicius et al. 2018).

    low := rounded(master)                  a copy for the passes
    g   := d(scale x loss) / d low          every result and every cotangent in the format
    master -= update(float32(g) / scale)    an update of 1e-4 of a weight would be lost in float16

A step of MixedPrecision is a step of Trainer between two exchanges: before the passes the model's
parameters become views of the copy, and after them views of the master weights again, which alone
are updated, validated and saved. Formats, and what each needs (FORMATS):

    float16   arrays of float16. A gradient below 6e-8 is 0. The loss is multiplied by a power of
              two, which moves the gradients up without changing their digits: a step whose
              gradients are not finite is left out and halves the scale, `patience` good steps in a
              row double it. The scale itself is the first cotangent, in float16 too, so it stays
              at 2^15 or below.
    bfloat16  float32's exponents, so no scale. NumPy has no such type: arrays of float32 whose
              values are rounded to it, wherever an operation makes one
              (autograd/engine/rounding.py).
    float8    as bfloat16, but the factors of linear maps have 8 bits: E4M3 forward, E5M2 for the
              cotangent, each with a scale of its own that brings its largest number to the
              format's (Micikevicius et al. 2022; scales of the tensor at hand, not of former ones).

Operations on float16 arrays compute in float32 and round what they return, as tensor cores do with
their sums; so do the others here. Read first: ../trainer.py, formats.py.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinylm.autograd.engine.rounding import Rounding, rounding
from tinylm.backend import Random
from tinylm.errors import ConfigError, TrainingError
from tinylm.fields import LARGEST as MOST
from tinylm.fields import Fields
from tinylm.models.decoder.gpt import GPT
from tinylm.models.low_bit.bfloat16 import simulate
from tinylm.optim.flat import FlatParameters
from tinylm.pretrain.batch import Batch, Objective
from tinylm.train.alone import Workers
from tinylm.train.precision.formats import in_float8
from tinylm.train.step import Step, share_of_gradient
from tinylm.train.trainer import Trainer

LARGEST = 2.0**15  # the next power of two is infinite in float16
LEAST = 2.0**-14  # a scale below which no float16 gradient of a sane loss overflows
NEVER = 1 << 62  # steps

# Format -> how its operations round; None: the arrays themselves have the format.
FORMATS = {
    "float16": None,
    "bfloat16": Rounding(simulate, simulate),
    "float8": Rounding(simulate, simulate, {"linear": in_float8}),
}


class LossScale:
    """A scale of the loss that follows what its gradients can bear.

    value     the scale, a power of two;  patience  good steps until it is doubled
    raises    ConfigError for a scale that is no power of two, or patience below 1

    good      steps in a row that were good;  skipped  steps that were not
    """

    def __init__(self, value: float = 2.0**15, patience: int = 2000) -> None:
        if not value > 0 or math.frexp(value)[0] != 0.5 or patience < 1:
            raise ConfigError(
                f"LossScale: {value} must be a power of two, and patience {patience} at least 1"
            )
        self.value, self.patience = float(value), patience
        self.good = self.skipped = 0

    def update(self, finite: bool) -> None:
        """After a step: whether all its gradients were finite."""
        if not finite:
            self.value, self.good = self.value / 2, 0
            self.skipped += 1
            return
        self.good += 1
        if self.good >= self.patience and self.value < LARGEST:
            self.value, self.good = self.value * 2, 0


class MixedPrecision(Trainer):
    """A Trainer whose passes have fewer digits than the weights that it updates.

    format    one of FORMATS
    scale     LossScale; None: of 2^15 for float16, and for the others 1, which stays
    master    False: the updated weights are rounded to the format too, so that updates of less than
              half its last place are lost. For comparison, in one process
    others    as of Trainer; the model is in float32

    A skipped step is counted in `step` and its batch is not read again: Step.updated is False.
    """

    def __init__(
        self,
        *args: Any,
        format: str = "float16",
        scale: LossScale | None = None,
        master: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if format not in FORMATS:
            raise ConfigError(
                f"MixedPrecision: no format {format!r}, choose one of {', '.join(FORMATS)}"
            )
        self.format, self.master = format, master
        self.rule = FORMATS[format]
        self.scaled = format == "float16"
        self.scale = scale or (LossScale(LARGEST) if self.scaled else LossScale(1.0, NEVER))
        flat = self.optimizer.flat
        self._check(flat)
        for p in flat.tensors:
            p.data = self._narrow(p.data)
        self.low = FlatParameters(dict(zip(flat.names, flat.tensors)))
        flat.attach()

    def _check(self, flat):
        """Raise ConfigError for a model that cannot be trained so."""
        if flat.data.dtype != np.float32:
            raise ConfigError(
                f"MixedPrecision: the master weights are {flat.data.dtype}, not float32: "
                "make the model in float32"
            )
        held = {id(p) for p in flat.tensors}
        for name, p in self.model.named_parameters().items():
            if id(p) not in held:
                raise ConfigError(
                    f"MixedPrecision: {name} is frozen and would stay float32, and all that is "
                    "computed with it: train such a model in float32"
                )
        if not self.master and self.comm.size > 1:
            raise ConfigError("MixedPrecision: master=False is for one process")

    def _narrow(self, values):
        """Numbers of the format, in the arrays of the passes."""
        if self.rule is not None:
            return self.rule.forward(values)
        with np.errstate(over="ignore"):  # beyond 65504: infinite, which the loss shows
            return values.astype(np.float16)

    @contextlib.contextmanager
    def in_passes(self) -> Iterator[FlatParameters]:
        """A context in which the model's weights, and all that is computed, have the format.

        yields  FlatParameters of the rounded weights
        """
        flat, low = self.optimizer.flat, self.low
        low.data[...] = self._narrow(flat.data)
        low.version[0] += 1
        low.attach()
        try:
            with rounding(self.rule), np.errstate(over="ignore", under="ignore"):
                yield low
        finally:
            flat.attach()

    def gradient(
        self,
        model: GPT,
        objective: Objective,
        flat: FlatParameters,
        batch: Batch,
        first: int,
        total: int,
        micro_batch: int,
        comm: Workers,
        streams: Sequence[Random],
    ) -> float:
        """share_of_gradient of the rounded weights, in float32 and without the scale.

        The mean over targets is scaled, so that the first cotangent is no larger than the scale.
        """
        n = int(comm.all_reduce(np.array([batch.tokens], np.float64))[0])
        rows = first, total, micro_batch, comm, streams
        with self.in_passes() as low:
            loss = share_of_gradient(
                model, objective, low, batch, *rows, max(n, 1), self.scale.value
            )
        # Reading flat.grad copies the gradients over, in float32. The mean over n targets becomes
        # the one over `total` rows that train_step corrects for.
        factor = n / total
        flat.grad *= np.float32(factor / self.scale.value)
        return loss * factor

    def may_skip(self, step: Step) -> bool:
        """True for a gradient that may be finite at half the scale."""
        return self.scaled and math.isfinite(step.loss) and self.scale.value > LEAST

    def advance(self, stop: Callable | None = None) -> Step:
        """As Trainer.advance; a step whose gradient overflows is left out and halves the scale."""
        try:
            step = super().advance(stop)
        except TrainingError as error:
            hint = "; with float32 numbers are finite up to 3e38" if self.scaled else ""
            raise TrainingError(
                f"passes in {self.format}, loss scale {self.scale.value:g}: {error}{hint}"
            ) from None
        self.scale.update(step.updated)
        if not self.master:
            flat = self.optimizer.flat
            flat.data[...] = self._narrow(flat.data)
            flat.version[0] += 1
        return step

    @property
    def arithmetic(self) -> str:
        """The line of a run's start: what has which format."""
        passes = f"passes in {self.format}, loss scale {self.scale.value:g}"
        if not self.scaled:
            passes = (
                f"passes in {self.format}, simulated by rounding float32: no faster, no smaller"
            )
        return f"{passes}; updates of float32 weights, which are validated and saved"

    def figures(self) -> dict[str, float]:
        """The scale and the number of skipped steps, where there is a scale."""
        if not self.scaled:
            return {}
        return {"scale": self.scale.value, "skipped": self.scale.skipped}

    def state(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
        """As Trainer.state, with the loss scale."""
        arrays, state = super().state()
        scale = {name: getattr(self.scale, name) for name in ("value", "good", "skipped")}
        return arrays, {**state, "loss_scale": scale}

    def load_state(
        self,
        arrays: dict[str, dict[str, np.ndarray]],
        state: dict[str, Any],
        where: str = "the checkpoint",
    ) -> None:
        """As Trainer.load_state, with the loss scale."""
        fields = Fields(state, where, name="state.trainer").object("loss_scale")
        value, good = fields.number("value"), fields.integer("good", high=MOST)
        skipped = fields.integer("skipped", high=MOST)
        if not value > 0 or math.frexp(value)[0] != 0.5:
            raise fields.wrong("value", value, "a power of two")
        super().load_state(arrays, state, where)
        self.scale.value, self.scale.good, self.scale.skipped = float(value), good, skipped
