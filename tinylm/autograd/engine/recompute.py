"""Recomputation: keep only a function's inputs, and run it again in backward for the rest.

With a checkpoint around each layer, memory falls from the intermediate results of all layers to
those of one layer and the input of each, for one more forward pass (Chen et al. 2016). Read next:
backward.py, which simply continues through the recomputed graph.
"""

import contextlib
import threading
from collections.abc import Callable

from tinylm.autograd.engine.tensor import Tensor, no_grad, observers, record
from tinylm.backend import replay_draws, watch_draws
from tinylm.errors import GraphError


@contextlib.contextmanager
def _watch_reads():
    """Yields a dict of the Tensors made outside that this thread's operations read inside.

    Its values are (version cell, version at the first read, label).
    """
    reads, thread = {}, threading.get_ident()
    made = set()  # ids of the version cells of results made inside
    held = []  # those cells: an id is only unique while its object lives

    def observe(operation, args, result, options):
        if threading.get_ident() != thread:
            return
        made.add(id(result._version))
        held.append(result._version)
        for arg in args:
            if isinstance(arg, Tensor) and id(arg._version) not in made:
                label = f"a Tensor of shape {arg.shape}"
                if arg.name:
                    label = repr(arg.name)
                reads.setdefault(id(arg._version), (arg._version, arg._version[0], label))

    observers.append(observe)
    try:
        yield reads
    finally:
        observers.remove(observe)


def checkpoint(function: Callable, *inputs: Tensor) -> Tensor:
    """function(*inputs), with its intermediate results recomputed when backward() needs them.

    function  returns one Tensor; may read parameters and draw random numbers: every stream it draws
              from is rewound for the second run, so dropout drops the same values
    inputs    Tensors or constants. Parameters that the function reads without being passed them
              get their gradients too
    returns   the Tensor, with gradients equal to those of calling the function directly
    raises    GraphError in backward() if a Tensor that the function reads was changed in place
              since
    """
    with no_grad(), watch_draws() as draws, _watch_reads() as reads:
        out = function(*inputs)
    read = list(reads.values())

    def replay():
        for cell, version, label in read:
            if cell[0] != version:
                raise GraphError(
                    f"checkpoint: {label}, which the function reads, was changed in place before "
                    "it ran again: call backward() first, or change a copy"
                )
        with replay_draws(draws):
            return function(*inputs)

    # A node is needed even if no input requires a gradient, because the function's own parameters
    # may. A leaf that requires a gradient and never receives one stands for them.
    parameters = Tensor(0.0, requires_grad=True)
    return record("checkpoint", out.data, (parameters, *inputs), None, replay=replay)
