"""Going backwards in two halves: first what others wait for, then the gradients of the weights.

Of y = x W a rule makes two products, dL/dx = g W^T and dL/dW = x^T g. The chain rule continues from
the first; nobody but the optimizer reads the second, which can be computed at any time until then
(Qi et al. 2023, "Zero Bubble Pipeline Parallelism", call the halves B and W). The first half walks
back to the input as backward() does, and keeps what the rules of leaves need: of x W the pair
(x, g). Everything else is freed on the way. Read first: backward.py. Read next:
../../parallel/pipeline/schedules.py, which puts the second half where a stage would wait.
"""

import copy
from collections.abc import Callable, Sequence

from tinylm.autograd.engine.backward import add_to_grad, check_node, send, walk
from tinylm.autograd.engine.cotangent import cotangent_of
from tinylm.autograd.engine.tensor import Tensor, TensorLike, recording
from tinylm.errors import GraphError


def backward_in_halves(
    tensor: Tensor, cotangent: TensorLike | None = None, inputs: Sequence[Tensor] = ()
) -> Callable[[], None]:
    """backward(), of which only the first half is done: `.grad` of the inputs.

    tensor, cotangent  as in backward()
    inputs   list of leaves whose gradients are computed at once
    returns  function without arguments: the second half, which adds to `.grad` of all other leaves.
             In the same order as backward(), so with the same bits
    raises   as backward(); the function GraphError if it is called twice, or if an array that it
             needs was changed in place
    """
    halves = _Halves(inputs)
    walk(tensor, cotangent_of(tensor, cotangent), add_to_grad, False, False, halves.send)
    return halves.second


class _Halves:
    """Nodes that send to leaves, parted in two: what goes to the inputs and on, and the rest."""

    def __init__(self, inputs):
        self._now = {id(leaf) for leaf in inputs}
        self._later = []  # (Node, cotangent of its output), the newest first

    def _waits(self, edge):
        return isinstance(edge, Tensor) and id(edge) not in self._now

    def send(self, node, g, waiting, heap, sink):
        """send() of backward.py, without the part that goes to leaves other than the inputs."""
        waits = [self._waits(edge) for edge in node.inputs]
        if not any(waits):
            send(node, g, waiting, heap, sink)
            return
        rules = node.derive, node.derive
        if node.fused:
            # A kernel's rule runs once, and mostly gives functions: those of leaves are kept.
            made = list(node.derive(g, node))
            rules = _given(made, waits, False), _given(made, waits, True)
        first, second = _part(node, waits, False, rules[0]), _part(node, waits, True, rules[1])
        # What a kept function reads may be an array that goes on: nothing is added into those.
        first.fused = False
        send(first, g, waiting, heap, sink)
        self._later.append((second, g))

    def second(self):
        """The rest, once."""
        if self._later is None:
            raise GraphError(
                "backward_in_halves: the second half was done before; it adds gradients once"
            )
        later, self._later = self._later, None
        with recording(False):
            for node, g in later:
                check_node(node, False)
                send(node, g, {}, [], add_to_grad)


def _given(made, waits, later):
    """The rule that gives those derivatives whose time is `later`."""
    chosen = [d if wait == later else None for d, wait in zip(made, waits)]
    return lambda g, node: chosen


def _part(node, waits, later, rule):
    """A copy of a node that sends to those of its arguments whose time is `later`."""
    part = copy.copy(node)
    part.inputs = tuple([e if wait == later else None for e, wait in zip(node.inputs, waits)])
    part.derive, part.replay, part.watcher = rule, None, None
    return part
