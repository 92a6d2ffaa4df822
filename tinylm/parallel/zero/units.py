"""A part of a stage, and what must be there while it runs   (Rajbhandari et al. 2020).

A stage computes in parts: the table of tokens, each block, the logits. Up to stage 1 of ZeRO all
its parameters and gradients are there all the time. From stage 2 on, a part's gradients are reduced
as soon as its backward pass is done, and only slices of the sum are kept. The pass is done when the
cotangent of the part's input is complete: a backward pass goes from the newest operation to the
oldest, so all that the part has computed lies behind it then.

At stage 3 a part's parameters are gathered before it runs forward and again before it runs
backward. Operations keep the arrays they read, so a part that kept its intermediate results would
keep its parameters with them: it keeps its input alone and runs once more, as under
autograd.checkpoint. Read next: shards.py.
"""

from tinylm.autograd import Tensor, checkpoint, first_order_only
from tinylm.autograd.engine.tensor import is_recording


class Units:
    """The parts of a stage where all that they need is there: stages 0 and 1."""

    def run(self, unit, function, *inputs):
        """function(*inputs), one Tensor.

        unit    name of the part
        inputs  the first is the stream, to which the part's cotangent flows on
        """
        return function(*inputs)

    def finish(self):
        """Called when a backward pass through the stage is over."""


class ReducedUnits(Units):
    """The parts of a stage whose gradients are reduced part by part: stage 2.

    buckets  {unit: list of Bucket that it reads}, in one order on all ranks
    late     those that several parts read, or a part that is not run by itself: they are reduced
             when the backward pass is over
    """

    def __init__(self, buckets, late=()):
        self.buckets, self.late = buckets, late
        self._closed = []

    def run(self, unit, function, *inputs):
        y = function(*inputs)
        _when_complete(y, lambda: self._open(unit))
        _when_complete(inputs[0], lambda: self._close(unit))
        return y

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

    def finish(self):
        for buckets in self.buckets.values():
            for bucket in buckets:
                bucket.release()
                self._reduce(bucket)
        self._closed.clear()


class GatheredUnits(ReducedUnits):
    """The parts of a stage whose parameters are gathered to run: stage 3."""

    def run(self, unit, function, *inputs):
        def held(*inputs):
            for bucket in self.buckets.get(unit, ()):
                bucket.gather()
            with first_order_only():
                y = function(*inputs)
            if is_recording():  # for the second time: the backward pass of this part is next
                self._open(unit)
            else:
                for bucket in self.buckets.get(unit, ()):
                    bucket.release()
            return y

        y = checkpoint(held, *inputs)
        _when_complete(inputs[0], lambda: self._close(unit))
        return y


def _when_complete(x, call):
    """Call it when a backward pass has the whole cotangent of x; before what waits there already.

    Of what no operation has made, ids or what another stage has sent, the end of the pass is that
    moment.
    """
    if not isinstance(x, Tensor) or x._node is None:
        return
    node = x._node
    after = node.watcher

    def both(g):
        call()
        if after is not None:
            after(g)

    node.watcher = both
