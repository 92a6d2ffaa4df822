"""Means of what a loss reports, over the micro-batches of a step or over all held-out examples.

A loss returns {"tokens": n, "loss": its mean over n, ...}: n is what it is a mean of, tokens, pairs
or answers, so a mean over several batches weighs each by its n. Read next: preference/metrics.py.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import evaluating
from tinylm.pretrain.batch import Batch
from tinylm.train.alone import ALONE, Alone
from tinylm.train.whole_batch import whole_batch, with_numbers

if TYPE_CHECKING:
    from tinylm.align.preference.judged import KTO
    from tinylm.align.preference.tuning import DPO
    from tinylm.finetune.instruct.instructions import InstructionTuning


LARGEST = "largest_ratio"  # a maximum, of which the maximum is kept


class Meter:
    """Weighted sums of reported figures."""

    def __init__(self) -> None:
        self._sums = {}
        self._weights = {}

    def add(self, figures: dict[str, Any]) -> None:
        """Take in what a loss reported: {"tokens": n, name: mean over n}.

        Figures that are means over less, such as the reward of good answers, have their own number
        in "counts": {name: m}. One that is nan, because there is none, is left out.
        """
        counts = figures.get("counts", {})
        for name, value in figures.items():
            if name in ("tokens", "counts"):
                continue
            value = float(value)  # of a GPU it is an array: this waits for it
            if math.isnan(value):
                continue
            n = counts.get(name, figures["tokens"])
            if name == LARGEST:
                self._sums[name] = max(self._sums.get(name, 0.0), value)
                self._weights[name] = 1
                continue
            self._sums[name] = self._sums.get(name, 0.0) + n * value
            self._weights[name] = self._weights.get(name, 0) + n

    def means(self, comm: Alone = ALONE) -> dict[str, float]:
        """{name: mean} of everything since the last call, which is then forgotten.

        comm  communicator of workers, each of which has metered a part, of the same figures
        """
        totals = np.array([[self._sums[name], self._weights[name]] for name in self._sums])
        summed = comm.all_reduce(totals.astype(np.float64))  # (figures, 2)
        found = {name: float(t / weight) for name, (t, weight) in zip(self._sums, summed)}
        if LARGEST in found:
            found[LARGEST] = float(comm.all_reduce(np.array(self._sums[LARGEST]), "max"))
        self.__init__()
        return found


class Metered:
    """A task whose figures can be read after each step; otherwise the task itself.

    task   of finetune.fit
    meter  Meter of all losses since the last meter.means()
    """

    def __init__(self, task: "KTO | DPO | InstructionTuning") -> None:
        self.task = task
        self.meter = Meter()

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Batch:
        """As the task's."""
        return self.task.make_batch(examples, rng)

    def loss(self, model: GPT, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As the task's, metered."""
        loss, figures = self.task.loss(model, batch)
        self.meter.add(figures)
        return loss, figures

    def whole_batch(self, model: GPT, parts: Iterator, comm: Alone = ALONE) -> dict[str, float]:
        """As the task's, {} if it has none."""
        return whole_batch(self.task, model, parts, comm)


def mean_figures(
    model: GPT, task: "KTO | DPO | InstructionTuning", examples: Sequence, batch_size: int = 16
) -> dict[str, float]:
    """What the loss of a task reports, as means over all examples, dropout off: {name: float}.

    A number that a loss needs of the whole batch, such as KTO's reference point, is that of all
    examples: the figures do not depend on batch_size.
    """
    meter, device = Meter(), model.parameters()[0].device

    def batches():
        for start in range(0, len(examples), batch_size):
            yield task.make_batch(examples[start : start + batch_size]).to(device)

    with evaluating(model), no_grad():
        numbers = whole_batch(task, model, batches())
        for batch in batches():
            meter.add(task.loss(model, with_numbers(batch, numbers))[1])
    return meter.means()
