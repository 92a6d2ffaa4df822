"""Means of what a loss reports, over the micro-batches of a step or over all held-out examples.

A loss returns {"tokens": n, "loss": its mean over n, ...}: n is what it is a mean of, tokens, pairs
or answers, so a mean over several batches weighs each by its n. Read next: preference/metrics.py.
"""

import math

from tinylm.autograd import no_grad
from tinylm.nn import evaluating

LARGEST = "largest_ratio"  # a maximum, of which the maximum is kept


class Meter:
    """Weighted sums of reported figures."""

    def __init__(self):
        self._sums = {}
        self._weights = {}

    def add(self, figures):
        """Take in what a loss reported: {"tokens": n, name: mean over n}.

        A figure that is nan, such as the reward of good answers where there are none, is left out.
        """
        n = figures["tokens"]
        for name, value in figures.items():
            if name == "tokens" or math.isnan(value):
                continue
            if name == LARGEST:
                self._sums[name] = max(self._sums.get(name, 0.0), value)
                self._weights[name] = 1
                continue
            self._sums[name] = self._sums.get(name, 0.0) + n * value
            self._weights[name] = self._weights.get(name, 0) + n

    def means(self):
        """{name: mean} of everything since the last call, which is then forgotten."""
        found = {name: total / self._weights[name] for name, total in self._sums.items()}
        self.__init__()
        return found


class Metered:
    """A task whose figures can be read after each step; otherwise the task itself.

    task   of finetune.fit
    meter  Meter of all losses since the last meter.means()
    """

    def __init__(self, task):
        self.task = task
        self.meter = Meter()

    def make_batch(self, examples, rng=None):
        """As the task's."""
        return self.task.make_batch(examples, rng)

    def loss(self, model, batch):
        """As the task's, metered."""
        loss, figures = self.task.loss(model, batch)
        self.meter.add(figures)
        return loss, figures


def mean_figures(model, task, examples, batch_size=16):
    """What the loss of a task reports, as means over all examples, dropout off: {name: float}."""
    meter, device = Meter(), model.parameters()[0].device
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            batch = task.make_batch(examples[start : start + batch_size]).to(device)
            meter.add(task.loss(model, batch)[1])
    return meter.means()
