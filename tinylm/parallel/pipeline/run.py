"""Doing what a schedule says: passes of micro-batches, and the messages between stages.

A message forward is the stream after a stage, a message backward its cotangent. Each says which
pass it belongs to, since two stages may have several on the way; and with dropout, how far the
stream of random numbers has come, so that every stage goes on where the single process would. Where
a schedule has the backward pass in halves, the first sends the cotangent of the input on, and what
it returns is kept for the second. Read first: schedules.py, ../../autograd/engine/halves.py. Read
next: ../step.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, first_order_only
from tinylm.autograd.engine.halves import backward_in_halves
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.pipeline.schedules import Action, schedule
from tinylm.pretrain.batch import Batch

if TYPE_CHECKING:
    from tinylm.parallel.stage import Stage


KINDS = "F", "B"


class Pipeline:
    """The stages of a rank: chunks of a pipeline, and how they exchange.

    stages   list of Stage: this rank's chunks, from below
    comm     Communicator of the ranks that share the layers
    name     of a schedule
    passed   function of an Action, called when it is computed and not yet sent; None: nothing. A
             simulated rank lets its time pass here
    """

    def __init__(
        self, stages: "Sequence[Stage]", comm: Communicator, name: str = "1f1b", passed: Any = None
    ) -> None:
        self.stages, self.comm, self.name = stages, comm, name
        self.passed = passed or (lambda action: None)
        self.rng = stages[0].rng
        self._early = {}  # messages that came before they were waited for

    def run(self, micros: Sequence[Batch], loss_of: Callable, windows: Callable) -> float:
        """Forward and backward passes of all micro-batches, whose gradients are added.

        micros   list of batches
        loss_of  (logits, batch) -> (Tensor, weight of its gradient, share of the whole loss)
        windows  (micro) -> context in which the stream draws the rows of that micro-batch
        returns  the loss: the sum of the shares; 0.0 but on the last stage
        """
        comm = self.comm
        plan = schedule(self.name, comm.size, len(micros), len(self.stages))
        self._shapes = [batch.inputs.shape for batch in micros]
        start = after = self.rng.counter
        kept, later, loss = {}, {}, 0.0
        halves = any(action.kind == "W" for action in plan[comm.rank])
        for action in plan[comm.rank]:
            k, c = action.micro, action.chunk
            if action.kind == "F":
                with windows(k), first_order_only():
                    x, y = self._forward(micros[k], k, c, start)
                    kept[k, c] = x, y, None
                    if self.stages[c].ends:
                        y, weight, share = loss_of(y, micros[k])
                        kept[k, c] = x, y, weight
                        loss += share
                after = self.rng.counter
            elif action.kind == "B":
                later[k, c] = self._backward(*kept.pop((k, c)), k, c, halves)
            else:
                later.pop((k, c))()
                self.passed(action)
                self.stages[c].units.finish()
        self.rng.counter = int(comm.broadcast(np.array(after), comm.size - 1))
        comm.flush()
        return loss

    def score(self, batch: Batch, loss_of: Callable) -> float:
        """One forward pass of a batch; returns its share of the loss, 0.0 but on the last stage."""
        self._shapes = [batch.inputs.shape]
        start, found = self.rng.counter, 0.0
        for c, stage in enumerate(self.stages):
            _, y = self._forward(batch, 0, c, start)
            if stage.ends:
                found = loss_of(y, batch)[2]
        self.comm.flush()
        return found

    def _forward(self, batch, k, c, start):
        """One pass: (what came in, what goes out)."""
        stage, shape = self.stages[c], batch.inputs.shape
        if stage.begins:
            x, self.rng.counter = batch.inputs, start
        else:
            array, self.rng.counter = self._receive("F", k, self._virtual(c) - 1)
            x = Tensor(array, requires_grad=True)
        y = stage(x, shape)
        self.passed(Action("F", k, c))
        if not stage.ends:
            self._send("F", k, self._virtual(c), y.data, 1)
        return x, y

    def _backward(self, x, y, weight, k, c, halves):
        """The backward pass of a forward pass: gradients are added, and the cotangent sent on.

        returns  None; with `halves` the function that computes the gradients of the weights
        """
        stage, virtual = self.stages[c], self._virtual(c)
        g, rest = weight, None
        if not stage.ends:
            g = self._receive("B", k, virtual + 1)[0]
        if halves:
            rest = backward_in_halves(y, g, [] if stage.begins else [x])
        else:
            y.backward(g)
            stage.units.finish()
        self.passed(Action("B", k, c))
        if not stage.begins:
            self._send("B", k, virtual, x.grad.data, -1)
        return rest

    def _virtual(self, c):
        """The number of a chunk among all, from the bottom of the model."""
        return c * self.comm.size + self.comm.rank

    def _send(self, kind, k, virtual, array, step):
        """Send what a virtual stage has made to the next one, up or down."""
        to = (self.comm.rank + step) % self.comm.size
        self.comm.isend(np.array([KINDS.index(kind), k, virtual, self.rng.counter]), to)
        self.comm.isend(array, to)

    def _receive(self, kind, k, virtual):
        """(array, counter) of the message that a virtual stage has sent about a micro-batch."""
        wanted = KINDS.index(kind), k, virtual
        stage = self.stages[0]
        while wanted not in self._early:
            header = self.comm.recv(np.zeros(4, np.int64), virtual % self.comm.size)
            *key, counter = header.tolist()
            like = np.empty(stage.stream_shape(self._shapes[key[1]]), stage.dtype)
            self._early[tuple(key)] = self.comm.recv(like, virtual % self.comm.size), counter
        return self._early.pop(wanted)
