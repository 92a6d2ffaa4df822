"""Recomputation: keep a function's inputs instead of all its intermediate results, and run it again in backward.

Memory falls from the sum over layers to one layer plus the borders, for one more forward pass
(Chen et al. 2016). Read next: backward.py, which simply continues through the recomputed graph.
"""
from tinylm.autograd.engine.tensor import Tensor, no_grad, record
from tinylm.backend import replay_draws, watch_draws


def checkpoint(function, *inputs):
    """function(*inputs), with its intermediate results recomputed when backward() needs them.

    function  returns one Tensor; may read parameters and draw random numbers: every stream it draws from is
              rewound for the second run, so dropout drops the same values
    inputs    Tensors or constants. A parameter that only the function knows gets its gradient all the same
    returns   the Tensor, with gradients equal to those of calling the function directly
    """
    with no_grad(), watch_draws() as draws:
        out = function(*inputs)

    def replay():
        with replay_draws(draws):
            return function(*inputs)

    # The node must be there even if no input requires a gradient: the function's own parameters may. A leaf that
    # always wants a gradient and never receives one stands for them.
    return record("checkpoint", out.data, (Tensor(0.0, requires_grad=True), *inputs), None, replay=replay)
