"""Activations and gates that need no kernel of their own: a line of primitives each, differentiable to any order.

Book section 2.2.2: Swish with its slope c, of which SiLU is c = 1, and the gated linear unit (eq. 2.28) that GeGLU
and SwiGLU vary. Read next: nn/feedforward.py.
"""
from tinylm.autograd.primitives import mul, sigmoid


def swish(x, c=1.0):
    """Swish: x sigmoid(c x)   (book section 2.2.2; Ramachandran et al. 2017)

    x        Tensor or array of any shape
    c        number or Tensor that broadcasts to x, differentiated: 0 gives x/2, 1 is silu, 1.702 is close to gelu;
             the larger, the closer to relu
    returns  x's shape
    """
    return mul(x, sigmoid(mul(x, c)))


def gelu_sigmoid(x):
    """GELU by a sigmoid: x sigmoid(1.702 x)   (Hendrycks & Gimpel 2016), within 0.021 of gelu everywhere."""
    return swish(x, 1.702)


def glu(gate, up):
    """The gated linear unit's product: sigmoid(gate) * up   (book eq. 2.28; Dauphin et al. 2017)

    gate, up  of one shape, (..., F): two linear maps of the same input; returns that shape
    """
    return mul(sigmoid(gate), up)
