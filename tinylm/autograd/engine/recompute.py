"""Recomputation: keep a function's inputs instead of all its intermediate results, and run it again
in backward.

Memory falls from the sum over layers to one layer plus the borders, for one more forward pass
(Chen et al. 2016). Read next: backward.py, which simply continues through the recomputed graph.
"""

import contextlib
import threading

from tinylm.autograd.engine.tensor import Tensor, no_grad, observers, record
from tinylm.backend import replay_draws, watch_draws
from tinylm.errors import GraphError


@contextlib.contextmanager
def _watch_reads():
    """Yields a dict of (version cell, version, label) for every Tensor from outside that this
    thread's operations read.
    """
    reads, thread = {}, threading.get_ident()

    def observe(label, args, result, options):
        if threading.get_ident() == thread:
            made.add(id(result._version))
            for arg in args:
                if isinstance(arg, Tensor) and id(arg._version) not in made:
                    label = repr(arg.name) if arg.name else f"a Tensor of shape {arg.shape}"
                    reads.setdefault(id(arg._version), (arg._version, arg._version[0], label))
            held.append(result._version)  # an id is only unique while its object lives

    made, held = set(), []
    observers.append(observe)
    try:
        yield reads
    finally:
        observers.remove(observe)


def checkpoint(function, *inputs):
    """function(*inputs), with its intermediate results recomputed when backward() needs them.

    function  returns one Tensor; may read parameters and draw random numbers: every stream it draws
              from is rewound for the second run, so dropout drops the same values
    inputs    Tensors or constants. A parameter that only the function knows gets its gradient all
              the same
    returns   the Tensor, with gradients equal to those of calling the function directly
    raises    GraphError in backward() if a Tensor that the function reads was changed in place
              before
    """
    with no_grad(), watch_draws() as draws, _watch_reads() as reads:
        out = function(*inputs)
    read = list(reads.values())

    def replay():
        changed = next((label for cell, version, label in read if cell[0] != version), None)
        if changed is not None:
            raise GraphError(
                f"checkpoint: {changed}, which the function reads, was changed in place before it ran "
                "again: call backward() first, or change a copy"
            )
        with replay_draws(draws):
            return function(*inputs)

    # The node must be there even if no input requires a gradient: the function's own parameters
    # may. A leaf that always wants a gradient and never receives one stands for them.
    return record(
        "checkpoint", out.data, (Tensor(0.0, requires_grad=True), *inputs), None, replay=replay
    )
