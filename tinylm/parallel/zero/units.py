"""A part of a stage, and what must be there while it runs   (Rajbhandari et al. 2020).

A stage computes in parts: the table of tokens, each block, the logits. Up to stage 1 of ZeRO all
its parameters and gradients are there all the time. From stage 2 on, a part's gradients are reduced
as soon as its backward pass is done, and only slices of the sum are kept. A backward pass goes from
the newest operation to the oldest, so a gate at the part's output is the first that it comes to,
and one at its input the last: gates are operations that change nothing and call somebody.

At stage 3 a part's parameters are gathered before it runs forward and again before it runs
backward. Operations keep the arrays they read, so a part that kept its intermediate results would
keep its parameters with them: it keeps its input alone and runs once more, as under
autograd.checkpoint. (Where a pipeline computes gradients of weights later, in a second half, it
keeps the gathered parameters until then.) Read next: shards.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, checkpoint, first_order_only
from tinylm.autograd.engine.tensor import is_recording, record


class Units:
    """The parts of a stage where all that they need is there: stages 0 and 1."""

    def run(self, unit: str, function: Callable, *inputs: Any) -> Tensor:
        """function(*inputs), one Tensor.

        unit    name of the part
        inputs  the first is the stream, to which the part's cotangent flows on
        """
        return function(*inputs)

    def finish(self) -> None:
        """Called when a backward pass through the stage is over."""


class ReducedUnits(Units):
    """The parts of a stage whose gradients are reduced part by part: stage 2.

    buckets  {unit: list of Bucket that it reads}, in one order on all ranks
    late     those that several parts read, or a part that is not run by itself: they are reduced
             when the backward pass is over
    """

    def __init__(self, buckets: dict[str, Any], late: Sequence = ()) -> None:
        self.buckets, self.late = buckets, late
        self._closed = []

    def run(self, unit: str, function: Callable, *inputs: Any) -> Tensor:
        return self._between_gates(unit, function, *inputs)

    def _between_gates(self, unit, function, x, *others):
        y = function(_gate(x, lambda: self._close(unit)), *others)
        return _gate(y, lambda: self._open(unit))

    def _open(self, unit):
        """The backward pass comes to a part: it writes into one buffer."""
        for bucket in self.buckets.get(unit, ()):
            bucket.open()

    def _close(self, unit):
        """The backward pass has left a part."""
        for bucket in self.buckets.get(unit, ()):
            bucket.release()
            if bucket not in self.late:
                self._reduce(bucket)

    def _reduce(self, bucket):
        if bucket not in self._closed:  # the end comes to all, also to those of no cotangent
            self._closed.append(bucket)
            bucket.close()

    def finish(self) -> None:
        for buckets in self.buckets.values():
            for bucket in buckets:
                bucket.release()
                self._reduce(bucket)
        self._closed.clear()


class GatheredUnits(ReducedUnits):
    """The parts of a stage whose parameters are gathered to run: stage 3."""

    def run(self, unit: str, function: Callable, *inputs: Any) -> Tensor:
        def held(*inputs):
            for bucket in self.buckets.get(unit, ()):
                bucket.gather()
            with first_order_only():
                y = self._between_gates(unit, function, *inputs)
            if not is_recording():  # the second time the backward pass of this part is next
                for bucket in self.buckets.get(unit, ()):
                    bucket.release()
            return y

        return checkpoint(held, *inputs)


def _gate(x, call):
    """x itself, and a call when a backward pass comes by: it has then done all that is newer.

    What no operation has made, such as ids, has no gate: there the end of the pass is that moment.
    """
    if not (is_recording() and isinstance(x, Tensor) and x.requires_grad):
        return x
    # A leaf of its own, so that a pass in halves (autograd/engine/halves.py) comes by when it
    # computes the gradients of leaves. Instead of a gradient for it there is the call.
    turn = Tensor(np.zeros_like(x.data, shape=()), requires_grad=True)
    return record("gate", x.data, (x, turn), lambda g, node: [g, lambda out: call()], reads="")
